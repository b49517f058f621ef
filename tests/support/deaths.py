"""The death of a process as pools see it: when its memory is gone, which may be after its parent has waited for it.

Who reads ``cmdline``, ``maps`` or ``smaps`` of a process in ``/proc``, as ps(1) does, keeps its memory meanwhile.
"""

import blockpool as bp
from waits import await_true


def await_death(pid):
    """Return when no pool takes a process that has ended for a living one."""
    await_true(lambda: not any(one.pid == pid and one.alive for pool in bp.pools() for one in pool.processes))
