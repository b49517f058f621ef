"""What the doctor knows of one pool: two looks at it some time apart, and what the machine says of its processes.

Much that would be wrong if it stayed is usual for a moment: a process in the gate, a block that is just being freed, a
full queue. So a rule asks whether something was there at both looks.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blockpool.doctor.findings import title
from blockpool.doctor.machine import SHM, descriptors, state_of
from blockpool.errors import PoolCorrupt
from blockpool.observe import snapshot
from blockpool.stats import BY_NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockpool._core import Inspector
    from blockpool.doctor.machine import Machine
    from blockpool.observe import Snapshot
    from blockpool.stats import Damage, ProcessInfo

__all__ = ["LOOKS_APART", "OLD", "Case", "PoolFacts"]

# Seconds between the two looks: long against what a process does at a pool, short for a person who waits.
LOOKS_APART = 0.2

# Seconds after which tickets, messages and dead weight are old: a receiver that is at work takes a fraction of that.
OLD = 60.0

# How many runs a look lists: enough to name those that leak, and some ten milliseconds' work.
_MOST_RUNS = 10_000

# Blocks that seem to be in transit are looked at so many times more: one that is busy is at rest at some of them.
_TRANSIT_LOOKS = 12
# Seconds that it takes if a stopped or dead process explains them; and if nothing does, as a process may just be slow.
_TRANSIT_SECONDS = 0.3
_TRANSIT_SECONDS_UNEXPLAINED = 3.0
# Seconds that a process which cannot be seen must stay in the gate: an audit of a large pool takes a good part of one.
_GATE_SECONDS = 2.0
_GATE_LOOKS = 20
# The most cells of a picture.
_MOST_CELLS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """A pool at two looks.

    Attributes
    ----------
    before, now : Snapshot
        The looks.
    machine : Machine
        What the machine says.
    old : float
        Seconds after which something is old.
    states : dict of int to str
        The states (letters of ``/proc/PID/stat``) of processes that had the same at both looks, by slot.
    descriptors : dict of int to tuple of int
        How many descriptors processes have, and how many they may have, by slot.
    gate : int or None
        The process that was in the gate at both looks.
    gate_state : str or None
        Its state, if it was the same at both looks; None if there is no such process here.
    fault : str or None
        What the audit says is wrong.
    stuck : int
        Blocks that were in transit at each of many looks.
    resident : int or None
        Bytes of the pool's file that memory was given to.
    damage : tuple of Damage
        What a pool in debug mode found of runs whose processes died.
    has_name : bool
        Whether its name still leads to it; true if it has none.
    """

    before: Snapshot
    now: Snapshot
    machine: Machine
    old: float = OLD
    states: dict[int, str]
    descriptors: dict[int, tuple[int, int]]
    gate: int | None = None
    gate_state: str | None = None
    fault: str | None = None
    stuck: int = 0
    resident: int | None = None
    damage: tuple[Damage, ...] = ()
    has_name: bool = True

    @property
    def pool(self) -> str:
        """The pool's name, or its id."""
        return self.now.name if self.now.name is not None else self.now.pool_id

    @property
    def title(self) -> str:
        """How a sentence calls the pool."""
        return title(self.now.name, self.now.pool_id)

    @property
    def living(self) -> list[ProcessInfo]:
        """The processes that are not known to be dead."""
        return [one for one in self.now.processes if one.alive is not False]

    @property
    def dead(self) -> list[ProcessInfo]:
        """The processes that were in the pool and dead at both looks."""
        before = {(one.slot, one.pid) for one in self.before.processes if one.alive is False}
        return [one for one in self.now.processes if one.alive is False and (one.slot, one.pid) in before]

    @property
    def stopped(self) -> list[ProcessInfo]:
        """The processes that were stopped, or held by a debugger, at both looks."""
        return [one for one in self.living if self.states.get(one.slot) in ("T", "t")]

    def taken_by(self, process: ProcessInfo) -> int:
        """Return how many messages a process has received and not done."""
        return sum(number for queue in self.now.queues for pid, number in queue.taken if pid == process.pid)

    def expression(self) -> str | None:
        """Return code that leads to a Pool of it; None if nothing does."""
        if self.now.name is not None and self.has_name:
            return f"Pool.attach('{self.now.name}')"
        handles = [run.handle for run in self.now.survey.top if run.handle is not None]
        return f"redeem('{handles[0]}').pool" if handles else None


class Case:
    """A pool that is being examined: begun at its first look, and finished at a later one.

    Parameters
    ----------
    inspector : Inspector
        The pool.
    machine : Machine
        What the machine says.
    old : float
        Seconds after which something is old.
    """

    def __init__(self, inspector: Inspector, machine: Machine, old: float) -> None:
        self._inspector = inspector
        self._machine = machine
        self._old = old
        self._before = snapshot(inspector, most=0)
        self._states = dict(_states(self._before))
        self._gate_state = _state_at_gate(self._before)
        self._fault = self._audit()

    def finish(self) -> PoolFacts:
        """Look again, and return what is known.

        Returns
        -------
        PoolFacts
            The facts.

        Raises
        ------
        PoolCorrupt
            If the pool's file was cut short.
        """
        now = snapshot(self._inspector, most=_MOST_RUNS)
        gate = now.gate if now.gate == self._before.gate else None
        state = _state_at_gate(now)
        if gate is not None and state is None and not _stays_in_gate(self._inspector, gate):
            gate = None
        states = {slot: letter for slot, letter in _states(now) if self._states.get(slot) == letter}
        # processes that write while the audit looks cannot make the same fault twice
        fault = self._audit() if self._fault is not None else None
        facts = PoolFacts(
            before=self._before,
            now=now,
            machine=self._machine,
            old=self._old,
            states=states,
            descriptors=dict(_descriptors(now)),
            gate=gate,
            gate_state=state if state == self._gate_state else None if state is None else "?",
            fault=fault,
            resident=_resident(now),
            damage=tuple(self._inspector.damage()),
            has_name=_has_name(self._inspector, now),
        )
        if not (self._before.survey.nobody and now.survey.nobody) or fault is not None:
            return facts
        seconds = _TRANSIT_SECONDS if facts.stopped or facts.dead else _TRANSIT_SECONDS_UNEXPLAINED
        return replace(facts, stuck=len(_stuck(self._inspector, seconds)))

    def _audit(self) -> str | None:
        try:
            self._inspector.check()
        except PoolCorrupt as error:
            return str(error)
        return None


def _states(seen: Snapshot) -> Iterator[tuple[int, str]]:
    for one in seen.processes:
        if one.pid and one.alive is not False:
            state = state_of(one.pid, one.started)
            if state is not None:
                yield one.slot, state


def _descriptors(seen: Snapshot) -> Iterator[tuple[int, tuple[int, int]]]:
    for one in seen.processes:
        if one.pid and one.alive is not False and state_of(one.pid, one.started) is not None:
            found = descriptors(one.pid)
            if found is not None:
                yield one.slot, found


def _state_at_gate(seen: Snapshot) -> str | None:
    if seen.gate is None:
        return None
    return state_of(seen.gate, next((one.started for one in seen.processes if one.pid == seen.gate), None))


def _stays_in_gate(inspector: Inspector, process: int) -> bool:
    """Whether a process is in the gate at each of many looks."""
    for _ in range(_GATE_LOOKS):
        if inspector.gate() != process:
            return False
        time.sleep(_GATE_SECONDS / _GATE_LOOKS)
    return True


def _stuck(inspector: Inspector, seconds: float) -> set[int]:
    """Return the blocks that are in transit at each of many looks; soon none in a pool at work."""
    found = set()
    for first in range(0, inspector.blocks, _MOST_CELLS):
        found |= _in_transit(inspector, first, min(_MOST_CELLS, inspector.blocks - first))
    for _ in range(_TRANSIT_LOOKS):
        if not found:
            break
        time.sleep(seconds / _TRANSIT_LOOKS)
        found = {block for block in found if _in_transit(inspector, block, 1)}
    return found


def _in_transit(inspector: Inspector, first: int, blocks: int) -> set[int]:
    """Return the blocks among these that nobody holds although they are allocated."""
    drawn = inspector.map(blocks, first=first, blocks=blocks)
    cells = zip(drawn.holder, drawn.allocated, strict=True)
    return {first + cell for cell, (holder, allocated) in enumerate(cells) if allocated and holder == BY_NOBODY}


def _resident(seen: Snapshot) -> int | None:
    if seen.name is not None:
        with suppress(OSError):
            return (SHM / f"blockpool.{seen.name}").stat().st_blocks * 512
    return None


def _has_name(inspector: Inspector, seen: Snapshot) -> bool:
    """Whether the pool's name, if it has one, still leads to it."""
    from blockpool._core import look_at
    from blockpool.errors import BlockPoolError

    if seen.name is None:
        return True
    try:
        with look_at(seen.name) as other:
            return other.pool_id == inspector.pool_id
    except BlockPoolError:
        return False
