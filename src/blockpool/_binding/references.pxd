# References to runs of shared pools, as they pass from process to process: in handles, tickets and messages.

# A Handle or Ticket of a run; for a run that is NULL, of the pool.
cdef handle_of(_Mapping m, const pool_run *run, kind)
# Puts references in flight; whatever they travel in is made before.
cdef int share_run(_Mapping m, const pool_run *run, count) except -1

# Makes this process a holder of the run that *run names by its index and generation, and fills the rest in. `flying`
# takes a reference out of flight for it.
cdef int redeem_run(_Mapping m, pool_run *run, bint flying) except -1

# The same in a message, as a tuple of five: reference_of makes it, receive_run takes it and returns the mapping.
cdef tuple reference_of(_Mapping m, const pool_run *run)
cdef _Mapping receive_run(pool_id, index, generation, process, name, pool_run *run)

# Takes the reference of a message into flight, and notes its parts in the list of what goes with the message, if
# there is one.
cdef int send_run(_Mapping m, const pool_run *run, tuple parts, list sent) except -1
# Takes the references of such a list out of flight again: nobody will receive them. One of them, without attaching a
# pool that this process has left: then it returns false.
cdef int take_references_back(list sent) except -1
cdef bint take_reference_back(tuple parts) noexcept
