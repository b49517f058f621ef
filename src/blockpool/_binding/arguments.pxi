# See arguments.pxd. Sizes in bytes, such as "4KiB", are parsed by blockpool._sizes.

cdef as_count(value, what):
    """Return a whole number, at least 1."""
    try:
        count = PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int, not {type(value).__name__} {value!r:.60}") from None
    if count < 1:
        raise ValueError(f"{what} must be at least 1, not {readable(count)}")
    return count


cdef as_block_size(value):
    """Return the size of a block in bytes."""
    size = parse_size(value, "block_size")
    if size % 8:
        raise ValueError(f"block_size must be a multiple of 8, not {size}; the next one is {size + 8 - size % 8}")
    return size


cdef as_on_fork(value):
    """Return "share", "detach" or None."""
    if value not in (None, "share", "detach"):
        raise ValueError(f"on_fork must be 'share' or 'detach', not {value!r:.60}")
    return value


cdef double deadline_of(timeout) except? -1.0:
    """Return when to stop waiting, on the monotonic clock; 0 means not to wait at all."""
    cdef double seconds = as_seconds(timeout)
    return os_now() + seconds if seconds else 0


cdef double as_seconds(timeout) except? -1.0:
    """Return how many seconds to wait; infinity for None."""
    if timeout is None:
        return INFINITY
    seconds = number_of_seconds("timeout", timeout, " or None")
    if not seconds >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None to wait as long as it takes, not {seconds}")
    return seconds


cdef double as_lifetime(value, what) except? -1.0:
    """Return how many seconds tickets live; 0 for None."""
    if value is None:
        return 0
    if isinstance(value, bool):
        raise TypeError(f"{what} must be a number of seconds or None, not bool {value}")
    seconds = number_of_seconds(what, value, " or None")
    if not 0 < seconds <= ENDINGS_MOST:
        raise ValueError(
            f"{what} must be more than 0 and at most {ENDINGS_MOST} seconds, not {seconds}; None is for no end"
        )
    return seconds


cdef number_of_seconds(what, value, others):
    """Return a number as a float, of any sign and size; `others` says for the message what else it may be."""
    if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{what} must be a number of seconds{others}, not {type(value).__name__} {value!r:.60}")
    try:
        return float(value)
    except OverflowError:
        return INFINITY if value > 0 else -INFINITY


cdef bint is_debug(debug, bint alone) except -1:
    """Return whether a pool is to be in debug mode; None means the default of the whole program."""
    if debug is None:
        return alone and flags.dev_mode or environ.get("BLOCKPOOL_DEBUG", "0") not in ("", "0")
    return bool(debug)


cdef int refuse_keyword(str what, dict given, str other, tuple of_other) except -1:
    """Raise TypeError: there is no such argument, or only the other kind of pool has it."""
    name = next(iter(given))
    if name in of_other:
        kind = "shared" if other == "Pool.create" else "private"
        raise TypeError(f"{what}() has no {name}=: it is for {kind} pools; create one with {other}(…, {name}=…)")
    raise TypeError(f"{what}() has no argument {name!r}")


cdef int refuse_positional(str method, given) except -1:
    """Raise TypeError: the arguments of an allocation are given by name."""
    name = "nbytes" if type(given) is str else "blocks"
    raise TypeError(f"{method}() takes its arguments by name: write {method}({name}={given!r:.60})")
