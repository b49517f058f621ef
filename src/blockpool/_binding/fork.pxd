# Fork hooks: what a forked child resets, and what a process does at its end.
#
# Shared pools need nothing here: core/src/shared/fork.c handles them right before and after the kernel forks. The hooks
# here run later, only in the child, in this order:
#
#   1. the engine: no thread waits for a private pool any more; and the lock of the binding's own tables
#   2. an import that another thread had started: it will never finish, so the child does without it
#   3. what the parts of the binding have registered here, lower parts first
#   4. the package's locks, which are now free unless the forking thread holds them; then its tables, which become empty
#
# Until the tables are emptied only C code runs: no signal handler can come in between, and nothing can fail.

# Registers a function to be called in each forked child. A part calls this while the module is initialised, so the
# order is that of the parts. Raises RuntimeError if HOOKS functions are registered already.
cdef int call_in_child(void (*call)() noexcept) except -1
