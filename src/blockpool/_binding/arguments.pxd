# Arguments as Python programs give them: counts, sizes, times, choices. Each function returns what C needs, or raises
# TypeError or ValueError with what was given and what is meant.

cdef as_count(value, what)
cdef as_block_size(value)
cdef as_on_fork(value)
cdef double as_seconds(timeout) except? -1.0
cdef number_of_seconds(what, value, others)
cdef double deadline_of(timeout) except? -1.0
cdef bint is_debug(debug) except -1
cdef int refuse_keyword(str what, dict given, str other, tuple of_other) except -1
cdef int refuse_positional(str method, given) except -1
