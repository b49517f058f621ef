# Guards: Python code cannot create an object of an internal class, nor import the binding in a subinterpreter.

cdef extern from *:
    """
    /* From now on Python code cannot create an object of that class, by a call, __new__, copy or pickle: it would lack
     * the memory that its methods rely on. Cython's own Class.__new__(Class) still works, as it bypasses tp_new.
     * Returns 0, or -1 and an exception. Once for each class, while the module is initialised. */
    static int seal(PyObject *type) {
        PyTypeObject *sealed = (PyTypeObject *)type;
        if (PyDict_DelItemString(sealed->tp_dict, "__new__") < 0) {
            return -1;
        }
        sealed->tp_new = NULL;
        PyType_Modified(sealed);
        return 0;
    }

    /* Cython binds a module to the first interpreter that imports it. So that this is never a subinterpreter, Cython's
     * query for the interpreter's id fails there, before Cython has stored anything. */
    static int64_t number_of_main(PyInterpreterState *interpreter) {
        if (interpreter == PyInterpreterState_Main()) {
            return PyInterpreterState_GetID(interpreter);
        }
        PyErr_SetString(PyExc_ImportError, "blockpool works in the main interpreter of a process only, and this is a "
                                           "subinterpreter; import it there, or use processes");
        return -1;
    }
    #define PyInterpreterState_GetID(interpreter) number_of_main(interpreter)
    """
    int seal(object type) except -1
