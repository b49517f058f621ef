# The fields of a message that came from elsewhere: a pickle of a block, an array or a buffer.
#
# It may be garbled, or made by hand. So nothing in it has the type or the range that it should have until one of these
# functions says so; C gets what they return. They raise InvalidBlock. Handles, tickets and pickles of pools are text,
# which Handle.parse checks.

# What the record of a run has for its generation, and so what a handle can name.
cdef enum: MOST_GENERATIONS = 0xFFFFFFFFFF

cdef garbled(what, value)
cdef int64_t number_field(what, value, int64_t least, int64_t most) except? -1
cdef bint flag_field(what, value) except -1
cdef bytes id_field(value)
cdef name_field(value)
cdef tuple tuple_field(what, value)
