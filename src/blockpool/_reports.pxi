# The numbers that a pool tells, as the dataclasses of blockpool.stats.

# The names of blockpool.stats, once one is needed: with what it imports, it takes longer than all the rest.
cdef dict stats_names = None
# A thread imports them; and in a forked child, that one did which no longer exists: its import never ends.
cdef bint stats_come = False, stats_never_come = False
# What takes their place when the interpreter ends before they were needed, and nothing can be imported any more.
cdef object plain_object = type(implementation)


cdef report(str kind, dict fields):
    """The dataclass of that name; or, where none can be imported any more, an object that only has its attributes."""
    global stats_names, stats_come
    if stats_names is None:
        if Py_IsFinalizing() or stats_never_come:
            return plain_object(**fields)
        stats_come = True
        try:
            stats = __import__("blockpool.stats", fromlist=[kind])
            stats_names = dict(vars(stats))
        finally:
            stats_come = False
    return stats_names[kind](**fields)


cdef double fragmentation_of(uint64_t free, uint64_t longest) noexcept:
    """The share of what is free that is outside the longest free run; 0 when nothing is free."""
    # the two are counted one after the other, so the run may be the larger
    return 1 - <double>min(longest, free) / <double>free if free else 0.0


cdef run_report(index, blocks, nbytes, tuple holders, tickets):
    return report("Run", dict(index=index, blocks=blocks, nbytes=nbytes, holders=holders, tickets=tickets))
