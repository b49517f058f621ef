# Sites: debug mode of shared pools. The work is done in C (core/src/shared/sites.h), which keeps in the segment who
# allocated and freed each run; here stacks become texts on their way in, and findings become errors on their way out.
#
# The guard of a shared mapping (blockpool._debug_shared) is asked for both. It is Python code, so during the shutdown
# of the interpreter there are no stacks, and findings are not raised. Nothing here is for pools without debug mode.

# Fills a run that was just allocated. Raises WriteAfterFree, BlockOverrun or what a signal handler raises; then the
# caller has to undo the allocation.
cdef int issue_run(_Mapping m, const pool_run *run, uint64_t nbytes) except -1
# Drops a reference as release_run does; raises after that: BlockOverrun, or what a signal handler raises.
cdef int release_watched(_Mapping m, const pool_run *run, uint64_t nbytes) except -1
# The stack of the caller for sites_set_caller; the texts are in the object that is returned. Empty during a shutdown.
cdef tuple caller_of(_Mapping m, site_caller *caller)
# The error for a finding; `freed` is the stack of the call that frees the run now, or None.
cdef object finding_error(_Mapping m, const site_finding *finding, tuple freed)
# The text of a stack.
cdef str stack_text(const site_told *told)
