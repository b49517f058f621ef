# What a process begins again when it is forked, and ends when it ends.
#
# The shared pools of the process need nothing here: see core/src/shared/fork.c, whose handlers run right before and
# after the kernel forks. What is here runs later, in the child alone, in this order:
#
#   1. the engine: nobody waits for a private pool any more
#   2. an import that another thread had begun: it never ends, so it is not waited for
#   3. what the parts of the binding have registered here, lower ones first
#   4. the package's locks, which nobody holds now but the thread that forked; then its tables, which begin empty
#
# Up to the tables it is C alone: no signal handler comes in between, and nothing can fail.

# Has the function called in each forked child. A part calls this when the module is made, so in the order of the parts.
cdef int call_in_child(void (*call)() noexcept) except -1
