# The numbers that a pool tells, as the dataclasses of blockpool.stats.

# To be called before what an answer tells of is done: the import that it takes may fail.
cdef int need_reports() except -1

# The dataclass of that name; or, where none can be imported any more, an object that only has its attributes.
cdef report(str kind, dict fields)

# The share of what is free that is outside the longest free run; 0 when nothing is free.
cdef double fragmentation_of(uint64_t free, uint64_t longest) noexcept

# For a forked child: what another thread was importing never comes.
cdef void give_up_import() noexcept
