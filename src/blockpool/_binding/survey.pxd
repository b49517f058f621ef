# Maps and surveys: what lies where in a shared pool, cheap enough to look many times a second; see shared/survey.h.

# Raises PoolClosed if a look was begun before this process was forked, or PoolCorrupt if the file was cut short.
cdef int require_look(_Mapping m) except -1

# A PoolMap of `blocks` blocks from `first` on in `cells` cells; `blocks` None means all from there on. Raises
# ValueError
# or TypeError.
cdef map_of(_Mapping m, cells, first, blocks)
# A Surveyor that has looked at nothing yet; by "age" or "size". Raises ValueError or TypeError.
cdef surveyor_of(_Mapping m, most, order)
