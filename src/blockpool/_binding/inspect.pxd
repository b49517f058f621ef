# Looking at a pool: what `stats`, `runs`, `check`, `recover` and `residency` return.

cdef stats_of(_Mapping m)
cdef list runs_of(_Mapping m)
cdef check_pool(_Mapping m)
cdef recover_pool(_Mapping m, double ticket_seconds)
cdef residency_of(_Mapping m)
