# References: how runs of shared pools pass between processes, in handles, tickets and messages.
#
# A reference in flight keeps its run allocated until some process redeems it, or it is taken back. Callers have made
# sure that this process holds the run that they send. All may be called from any thread.

# A Handle or Ticket (`kind`) for a run; if `run` is NULL, for the pool. Raises TypeError for a private pool.
cdef handle_of(_Mapping m, const pool_run *run, kind)
# Puts `count` references in flight, a positive int, for as long as the pool says. What they travel in has to exist
# already, so that nothing fails afterwards. Raises TooManyTickets, otherwise as raise_run_failure().
cdef int share_run(_Mapping m, const pool_run *run, count) except -1
# The same for `lifetime` seconds (see as_lifetime). Raises PoolExhausted or OSError too, if there is no memory for
# lifetimes.
cdef int share_run_for(_Mapping m, const pool_run *run, count, double lifetime) except -1

# Makes this process a holder of the run that run.index and run.generation name, and fills in run.blocks. If `flying`,
# it takes over a reference in flight if there is one. Raises StaleHandle, otherwise as raise_run_failure().
cdef int redeem_run(_Mapping m, pool_run *run, bint flying) except -1

# A reference as five fields of a message: the pool's id, index, generation, process and name.
cdef tuple reference_of(_Mapping m, const pool_run *run)
# Checks those fields, attaches the pool if need be and redeems the reference into *run. Returns the mapping. Raises
# InvalidBlock for a garbled field, otherwise as redeem().
cdef _Mapping receive_run(pool_id, index, generation, process, name, pool_run *run)

# Puts the reference of a message in flight, and appends `parts`, its fields, to `sent` unless that is None. If this
# raises, `sent` is unchanged.
cdef int send_run(_Mapping m, const pool_run *run, tuple parts, list sent) except -1
# Takes the references in `sent` out of flight, since no process will receive them, and empties the list. Attaches pools
# that this process has left; skips those that are gone.
cdef int take_references_back(list sent) except -1
# The same for one reference; returns false, and does nothing, if this process has left the pool.
cdef bint take_reference_back(tuple parts) noexcept
