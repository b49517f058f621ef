# See reports.pxd. Included by _index.pyx too.

# The names of blockpool.stats, once one is needed: with what it imports, it takes longer than all the rest.
cdef dict stats_names = None
# A thread imports them; and in a forked child, that one did which no longer exists: its import never ends.
cdef bint stats_come = False, stats_never_come = False
# What takes their place when the interpreter ends before they were needed, and nothing can be imported any more.
cdef object plain_object = type(implementation)


cdef int need_reports() except -1:
    """Import blockpool.stats, unless that cannot be any more."""
    global stats_names, stats_come
    if stats_names is not None or Py_IsFinalizing() or stats_never_come:
        return 0
    stats_come = True
    try:
        stats_names = dict(vars(__import__("blockpool.stats", fromlist=["PoolStats"])))
    except OSError as error:
        if error.errno not in (EMFILE, ENFILE):
            raise
        raise OSError(
            error.errno, f"the first report about a pool imports a module: {error.strerror}: {NO_DESCRIPTOR}"
        ) from None
    finally:
        stats_come = False
    return 0


cdef report(str kind, dict fields):
    need_reports()
    if stats_names is None:
        return plain_object(**fields)
    return stats_names[kind](**fields)


cdef double fragmentation_of(uint64_t free, uint64_t longest) noexcept:
    # the two are counted one after the other, so the run may be the larger
    return 1 - <double>min(longest, free) / <double>free if free else 0.0


cdef void give_up_import() noexcept:
    global stats_never_come
    stats_never_come = stats_come
