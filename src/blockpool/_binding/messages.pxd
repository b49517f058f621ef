# Message fields: checking what arrives in the pickle of a block, an array or a buffer.
#
# A message may be garbled or written by hand, so no field is trusted to have the right type or range. Each function
# returns the checked value for C, or raises garbled(); `what` names the field in that message. Handles, tickets and
# pickles of pools are text, which Handle.parse checks.

# The largest generation that the record of a run has room for.
cdef enum: MOST_GENERATIONS = 0xFFFFFFFFFF

# InvalidBlock for a field with that value.
cdef garbled(what, value)
# An int from `least` to `most`.
cdef int64_t number_field(what, value, int64_t least, int64_t most) except? -1
# True or False.
cdef bint flag_field(what, value) except -1
# The id of a pool: bytes of the right length.
cdef bytes id_field(value)
# The name of a pool, or None. Whether it is a possible name is checked when the pool is attached.
cdef name_field(value)
# A tuple; its items are not checked.
cdef tuple tuple_field(what, value)
