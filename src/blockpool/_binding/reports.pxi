# See reports.pxd. Included by _index.pyx too.

# The names in blockpool.stats; imported late, as it takes longer than the rest of the package. None until then.
cdef dict stats_names = None
# Whether a thread is importing them; and whether, in a forked child, that was a thread of the parent: it never ends.
cdef bint stats_come = False, stats_never_come = False
# Their replacement if the interpreter is shutting down and can import nothing more: types.SimpleNamespace.
cdef object plain_object = type(implementation)


cdef int need_reports() except -1:
    """Import blockpool.stats, unless that is no longer possible."""
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


cdef notebook_view(thing):
    if Py_IsFinalizing():
        return None
    try:
        from blockpool.report.notebook import view
    except (ImportError, OSError):  # no file descriptor is free
        return None
    return view(thing)


cdef double fragmentation_of(uint64_t free, uint64_t longest) noexcept:
    # the two are not counted at the same moment, so `longest` may be larger than `free`
    return 1 - <double>min(longest, free) / <double>free if free else 0.0


cdef void give_up_import() noexcept:
    global stats_never_come
    stats_never_come = stats_come
