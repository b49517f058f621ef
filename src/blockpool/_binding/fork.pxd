# Fork hooks: what a forked child resets, and what a process does at its end.
#
# Shared pools need nothing here: core/src/shared/fork.c handles them right before and after the kernel forks. The hooks
# here run only in the child, in this order:
#
#   1. the engine: no thread waits for a private pool any more; and the lock of the binding's own tables. The C library
#      calls this right after the fork, when no Python object of the child has ended yet; all else is called by Python
#   2. an import that another thread had started: it will never finish, so the child does without it
#   3. what the parts of the binding have registered here, lower parts first
#   4. the package's locks, which are now free unless the forking thread holds them; then its tables, which become empty
#
# Until the tables are emptied only C code runs: no signal handler can come in between, and nothing can fail.

# Registers a function to be called in each forked child. A part calls this while the module is initialised, so the
# order is that of the parts. Raises RuntimeError if HOOKS functions are registered already.
cdef int call_in_child(void (*call)() noexcept) except -1

# To be called before a destructor takes a lock of the package: what other threads of the parent had ends in the child
# before step 2, while they still seem to hold the lock.
cdef int before_locks_in_child() except -1

# Whether the interpreter is shutting down beside other threads that ran Python. They may be in C code that was given no
# more than an address, so what Python drops from now on is kept: runs do not go back, and memory stays mapped. With the
# process all of it ends, and other processes take the runs back.
cdef bint ends_beside_threads() noexcept
# Published late in the program's end: before, ends_beside_threads() is false, so hot calls need not ask.
cdef int near_the_end
