# Inspection: the answers of Pool.stats, runs, check, recover and residency, as dataclasses of blockpool.stats.
#
# The caller has checked that the pool is open. May be called from any thread, while others use the pool.

# A PoolStats.
cdef stats_of(_Mapping m)
# A PoolCounts.
cdef counts_of(_Mapping m)
# The Run that a look found; `names` as from names_of.
cdef run_of(_Mapping m, const pool_look *look, dict names)
# A list of Run, in the order of addresses.
cdef list runs_of(_Mapping m)
# What this process holds in a shared pool in debug mode: a list of Outstanding.
cdef list outstanding_of(_Mapping m)
# What debug mode noted and nobody was told of yet: a list of Damage.
cdef list damage_of(_Mapping m)
# An Audit. Raises PoolCorrupt if the bookkeeping is damaged, otherwise as recover_pool. Without `repair` it changes
# nothing, waits for nothing, and raises nothing else.
cdef check_pool(_Mapping m, bint repair)

# Brings back what dead processes held; returns a Recovered. If ticket_seconds is not negative, also drops the tickets
# of every run whose newest one is older. Raises lost_error(), or what raise_failure() makes of the status.
cdef recover_pool(_Mapping m, double ticket_seconds)
# A Residency. Raises OSError if the kernel cannot be asked.
cdef residency_of(_Mapping m)
