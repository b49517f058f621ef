"""What is wrong with pools, in sentences, and what to do about it.

`diagnose` looks at one pool, `diagnose_all` at all pools of this user and at the machine. Both look from outside, twice
within a fifth of a second: they take no part in a pool, change nothing and hold nobody up.

>>> import blockpool
>>> from blockpool.doctor import diagnose
>>> pool = blockpool.Pool.create("4KiB", 16)
>>> diagnose(pool)
[]
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blockpool._core import Inspector, summary
from blockpool._looking import inspect, nameless_files, pools
from blockpool.doctor.facts import LOOKS_APART, OLD, Case, PoolFacts
from blockpool.doctor.findings import ERROR, INFO, WARNING, Finding, begin, call, title
from blockpool.doctor.machine import SHM, look_at_machine
from blockpool.doctor.machine_rules import FIT_RULES, MACHINE_RULES, other_files, removed_pools, shm_room
from blockpool.doctor.pool_rules import POOL_RULES
from blockpool.doctor.queue_rules import QUEUE_RULES
from blockpool.errors import BlockPoolError, PoolCorrupt, PoolVersion

if TYPE_CHECKING:
    from blockpool._core import Pool
    from blockpool._handles import Handle
    from blockpool.doctor.machine import Machine
    from blockpool.stats import PoolSummary

__all__ = ["Finding", "diagnose", "diagnose_all", "findings_of", "healthy"]

# The link of a descriptor of a pool that has, or had, a name; the name itself only if it was attached by that.
_REMOVED = re.compile(rf"{SHM}/(?:blockpool\.([A-Za-z0-9_.-]{{1,180}})|#.*) \(deleted\)")
_RANK = {ERROR: 0, WARNING: 1, INFO: 2}


def diagnose(pool: str | Pool | Handle | Inspector, *, old: float = OLD) -> list[Finding]:
    """Look for what is wrong with one shared pool.

    Parameters
    ----------
    pool : str, Pool, Handle, Ticket or Inspector
        The pool, as for `blockpool.inspect`.
    old : float
        Seconds after which tickets and messages are old.

    Returns
    -------
    list of Finding
        What was found, the worst first; empty for a healthy pool, however busy. A pool that is damaged or of another
        release is a finding too.

    Raises
    ------
    ValueError, TypeError
        If `pool` is nothing of these, or `old` is negative.
    BlockPoolError, OSError
        As `blockpool.inspect` does, but for damaged pools and other releases.

    Notes
    -----
    May be called from any thread. It takes a fifth of a second; some seconds if blocks seem to be in transit.
    """
    _require_old(old)
    with ExitStack() as stack:
        try:
            inspector = pool if isinstance(pool, Inspector) else stack.enter_context(inspect(pool))
            case = Case(inspector, look_at_machine(), old)
            time.sleep(LOOKS_APART)
            return findings_of(case.finish())
        except (PoolCorrupt, PoolVersion) as error:
            return [_unusable(getattr(pool, "name", None) or str(pool), error)]


def diagnose_all(*, old: float = OLD) -> list[Finding]:
    """Look for what is wrong with all shared pools of this user, and with what the machine has for them.

    Parameters
    ----------
    old : float
        Seconds after which tickets and messages are old.

    Returns
    -------
    list of Finding
        What was found, the worst first.

    Raises
    ------
    ValueError
        If `old` is negative.
    BlockPoolError, OSError
        As `blockpool.pools` does.

    Notes
    -----
    May be called from any thread. Pools that appear or vanish during the call are left out.
    """
    _require_old(old)
    machine = look_at_machine()
    with ExitStack() as stack:
        first, removed = pools(), _removed()
        cases = []
        for one in first:
            with suppress(BlockPoolError):
                case = _begin(one, machine, old, stack)
                if case is not None:
                    cases.append(case)
        time.sleep(LOOKS_APART)
        found = []
        for case in cases:
            with suppress(BlockPoolError):
                found += findings_of(case.finish())
        again = pools()
        found += _of_machine(look_at_machine(), again)
        states = {(one.name, one.pool_id, one.state) for one in first}
        same = [one for one in again if (one.name, one.pool_id, one.state) in states]
        found += other_files(same, _release())
        still = _removed()
        found += removed_pools([still[file] for file in removed if file in still], again)
    return _sorted(found)


def findings_of(facts: PoolFacts) -> list[Finding]:
    """Apply all rules about one pool to its facts.

    Parameters
    ----------
    facts : PoolFacts
        What is known of the pool.

    Returns
    -------
    list of Finding
        What was found, the worst first.
    """
    return _sorted([finding for rule in (*POOL_RULES, *QUEUE_RULES, *FIT_RULES) for finding in rule(facts)])


def healthy(findings: list[Finding]) -> bool:
    """Say whether nothing is wrong: there is no warning and no error.

    Parameters
    ----------
    findings : list of Finding
        From `diagnose` or `diagnose_all`.

    Returns
    -------
    bool
        True if there are none, or only some that are good to know.
    """
    return all(finding.severity == INFO for finding in findings)


def _begin(one: PoolSummary, machine: Machine, old: float, stack: ExitStack) -> Case | None:
    """Take the first look at a pool of the list; None if it cannot be attached."""
    if one.state != "ok":
        return None
    inspector = stack.enter_context(inspect(one.name or one.pool_id or ""))
    return Case(inspector, machine, old)


def _removed() -> dict[tuple[int, int], tuple[str | None, PoolSummary]]:
    """Return the pools in use whose names were removed, by file, with their names where they are known."""
    found: dict[tuple[int, int], tuple[str | None, PoolSummary]] = {}
    for file, process, number in nameless_files():
        with suppress(OSError):
            link = Path(f"/proc/{process}/fd/{number}")
            match = _REMOVED.fullmatch(str(link.readlink()))
            if match and not link.stat().st_nlink and not (file in found and found[file][0]):
                pool = summary(None, process, number)
                if pool is not None:
                    found[file] = match[1], pool
    return found


def _of_machine(machine: Machine, summaries: list[PoolSummary]) -> list[Finding]:
    return [*shm_room(machine, summaries), *(finding for rule in MACHINE_RULES for finding in rule(machine))]


def _unusable(name: str, error: Exception) -> Finding:
    """Return the finding about a pool that cannot even be looked at."""
    return Finding(
        code="damaged" if isinstance(error, PoolCorrupt) else "other-version",
        severity=ERROR if isinstance(error, PoolCorrupt) else WARNING,
        pool=name,
        sentence=f"{begin(title(name, None))} cannot be looked at: {error}",
        remedy=f"If nobody needs it, remove it with {call(f'unlink({name!r})')}.",
        details={"error": str(error)},
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: _RANK[finding.severity])


def _require_old(old: float) -> None:
    if not old >= 0:
        raise ValueError(f"old must be 0 or more seconds, not {old!r:.60}")


def _release() -> str:
    from blockpool import __version__

    return __version__
