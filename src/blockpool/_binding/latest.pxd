# Latest values: the class whose methods programs call, and what was read with what is known of it.
#
# A latest value is a topic with a history of one. Readers copy (channels.pxd), and write nothing to the segment unless
# they are about to sleep.

# The Latest of that name, which is made if there is none; see Pool.latest().
cdef object open_latest(_Mapping m, name, permanent, spin)
