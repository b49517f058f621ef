# What Python must not make of the binding: an object of an internal class, and a second copy in another interpreter.

cdef extern from *:
    """
    /* From now on Python has no way to make an object of that class: neither a call, nor __new__, copy or pickle. It
     * would lack the memory that its methods count on. Cython's own Class.__new__(Class) does not ask the type. */
    static int seal(PyObject *type) {
        PyTypeObject *sealed = (PyTypeObject *)type;
        if (PyDict_DelItemString(sealed->tp_dict, "__new__") < 0) {
            return -1;
        }
        sealed->tp_new = NULL;
        PyType_Modified(sealed);
        return 0;
    }

    /* Cython lets a module into the first interpreter that imports it, and no other. So that this is not a
     * subinterpreter, its question for the number of the interpreter fails there, before it has noted anything. */
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
