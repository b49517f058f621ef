# The arguments of public calls: counts, sizes, times and choices, checked and converted.
#
# Each function returns what C needs, or raises TypeError or ValueError with a message that gives the value and says
# what is expected. `what` is the argument's name, for the message.

# A whole number, at least 1. As a Python int: it may be larger than 64 bits.
cdef as_count(value, what)
# The bytes of a block, from an int or a string: a multiple of 8, at least 8.
cdef as_block_size(value)
# "share", "detach" or None, as it is.
cdef as_on_fork(value)
# A timeout in seconds, at least 0; INFINITY for None.
cdef double as_seconds(timeout) except? -1.0
# A float of any sign, infinite if the number is too large; `others` says for the message what else it may be.
cdef number_of_seconds(what, value, others)
# How long tickets live, in seconds, more than 0; 0 for None, without an end.
cdef double as_lifetime(value, what) except? -1.0
# When a wait of that timeout ends, in seconds on the monotonic clock (os_now); 0 if it is not to wait at all.
cdef double deadline_of(timeout) except? -1.0
# Whether a new pool is to be in debug mode. None means the default, from BLOCKPOOL_DEBUG and, if the pool belongs to
# this process `alone`, from `python -X dev`.
cdef bint is_debug(debug, bint alone) except -1

# Always raises TypeError: `what`() has no such argument. If the name is in `of_other`, the call `other`() has it.
cdef int refuse_keyword(str what, dict given, str other, tuple of_other) except -1
# Always raises TypeError: the arguments of the method have names, and must be given by name.
cdef int refuse_positional(str method, given) except -1
