# Events: what the binding tells the log, by blockpool._log, which has the rules.
#
# A function named tell_… takes what there is to tell, so that it is told once, and makes a record; Python code may run
# in it, such as a handler of the program. It raises only what a signal handler raises. None is called by a destructor,
# or where a run or message is half made. The core keeps the account of recoveries and sweeps, so an event that is not
# told at once is told by a later call.

# Dead processes that this process recovered since the last call. Quick if there are none, as after most calls.
cdef int tell_of_recovered(_Mapping m) except -1
# Pools that this process swept since the last call.
cdef int tell_of_swept() except -1
# The error of a request for which there was no room: at most one record a minute for each pool. Quick within it.
cdef int tell_of_exhaustion(_Mapping m, error) except -1
# recover() dropped that many tickets for their age.
cdef int tell_of_dropped(_Mapping m, uint64_t tickets, double seconds) except -1
# For the first array or buffer that is sent without the pool in this process although `install` would have it sent
# through it: why, and what to do.
cdef int tell_of_refusal(name, bytes pool_id, why, bint counted) except -1
