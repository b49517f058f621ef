# Maps and surveys: what lies where in a shared pool, cheap enough to look many times a second; see shared/survey.h.

# A survey that goes on when it is asked to; `busy` while a thread is at it.
cdef class Surveyor:
    cdef _Mapping mapping
    cdef survey_t *state
    cdef bint busy


# The most cells of a map, and the most runs that a survey remembers.
cdef enum: MOST_CELLS = 1 << 20
cdef enum: MOST_REMEMBERED = 100_000

# Raises PoolClosed if a look was begun before this process was forked, or PoolCorrupt if the file was cut short.
cdef int require_look(_Mapping m) except -1

# A PoolMap of `blocks` blocks from `first` on in `cells` cells; `blocks` None means all from there on. Raises ValueError
# or TypeError.
cdef map_of(_Mapping m, cells, first, blocks)
# A survey that has looked at nothing yet; by "age" or "size". Raises ValueError or TypeError.
cdef Surveyor surveyor_of(_Mapping m, most, order)

