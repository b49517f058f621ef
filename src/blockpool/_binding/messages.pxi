# See messages.pxd.

cdef garbled(what, value):
    shown = readable(value) if PyLong_CheckExact(value) else f"{type(value).__name__} {value!r:.60}"
    return InvalidBlock(
        f"a message arrived garbled: its {what} is {shown}; send it again, with the same version of blockpool"
    )


cdef int64_t number_field(what, value, int64_t least, int64_t most) except? -1:
    """An int from `least` to `most`."""
    cdef int overflow = 0
    cdef int64_t number
    if PyLong_CheckExact(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow == 0 and least <= number <= most:
            return number
    raise garbled(what, value)


cdef bint flag_field(what, value) except -1:
    if value is not True and value is not False:
        raise garbled(what, value)
    return value is True


cdef bytes id_field(value):
    if type(value) is not bytes or len(<bytes>value) != LAYOUT_ID_BYTES:
        raise garbled("pool", value)
    return <bytes>value


cdef name_field(value):
    """The name of a pool, or None. Whether it is a possible name is checked when the pool is attached."""
    if value is not None and type(value) is not str:
        raise garbled("name", value)
    return value


cdef tuple tuple_field(what, value):
    if type(value) is not tuple:
        raise garbled(what, value)
    return <tuple>value
