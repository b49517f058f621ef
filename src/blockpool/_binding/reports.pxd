# Reports: the figures of a pool as the dataclasses of blockpool.stats, which is imported when it is first needed.

# Imports blockpool.stats unless it is imported already, or no longer can be. Raises OSError if no file descriptor is
# free, so it is called before a call changes anything that its report is about.
cdef int need_reports() except -1

# An object of the dataclass with that name. If blockpool.stats could not be imported, as the interpreter is shutting
# down, a plain object with the same attributes.
cdef report(str kind, dict fields)

# What a notebook shows of an object, as HTML. None, so that it shows the repr, while the interpreter is shutting down.
cdef notebook_view(thing)

# The share of the free blocks that are outside the longest free run, from 0 to 1; 0 if none is free.
cdef double fragmentation_of(uint64_t free, uint64_t longest) noexcept

# In a forked child: don't wait for an import that another thread of the parent had started.
cdef void give_up_import() noexcept
