"""What can be wrong with a shared pool: rules that turn its facts into findings. Each is a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.doctor.findings import ERROR, INFO, WARNING, Finding, begin, call, duration, listed, who
from blockpool.report.text import count, in_bytes, shown_pid

if TYPE_CHECKING:
    from blockpool.doctor.facts import PoolFacts
    from blockpool.stats import ProcessInfo, Run

__all__ = ["POOL_RULES"]

# From here on a pool with free blocks that refuses requests is fragmented rather than full: so many of its blocks are
# free, and so many of these are outside the longest free run.
_FREE_SHARE = 0.1
_FRAGMENTED = 0.5

# Places and names are nearly used up from this share on; enough is left to act before the next process is refused.
_NEARLY = 0.9
# A pool for so few processes was made for just those: a full house is good to know, but no fault.
_FEW_PROCESSES = 16
# Names that a pool's catalog has room for; as in core/src/shared/layout.h.
_MOST_NAMES = 256

# If requests wait for so many seconds in each second, at least one always waits.
_ALWAYS_WAITING = 1.0

# A permanent pool that nobody uses is usually between two runs of its program; after an hour it may be forgotten.
_UNUSED = 3600.0
# Blocks that only the catalog keeps are what it is for; from this share on they crowd out the rest.
_KEPT_SHARE = 0.5
# A run of a debug pool that is this old may be forgotten, and its stack says where.
_OLD_RUN = 600.0

# What PoolCorrupt says after its faults; the remedy says it here.
_ADVICE = ". Something wrote over it"

# Names of pools that blockpool.shared_memory makes. Their one ticket is the name of a segment, and may get old.
_SEGMENT = "shm."
_SEGMENT_BLOCK = 4096
_SEGMENT_BLOCKS = 1024


def damaged(facts: PoolFacts) -> list[Finding]:
    """Find bookkeeping that contradicts itself."""
    if facts.fault is None:
        return []
    unlink = "" if facts.now.name is None else f", remove it with {call(f'unlink({facts.now.name!r})')}"
    return [
        Finding(
            code="damaged",
            severity=ERROR,
            pool=facts.pool,
            sentence=f"The bookkeeping of {facts.title} is damaged: {facts.fault.partition(_ADVICE)[0]}.",
            remedy=f"Save what you need from it, end its processes ({_pids(facts.living)}){unlink}, and make it again; "
            "something wrote over it, and debug=True helps to find out what.",
            details={"fault": facts.fault, "pids": [one.pid for one in facts.living]},
        )
    ]


def leftover(facts: PoolFacts) -> list[Finding]:
    """Find a pool that killed programs left."""
    if facts.living or facts.now.permanent or facts.now.name is None or not facts.has_name:
        return []
    if [one for one in facts.before.processes if one.alive is not False]:
        return []
    return [
        Finding(
            code="leftover",
            severity=WARNING,
            pool=facts.pool,
            sentence=f"{begin(facts.title)} was left by programs that were killed: it takes "
            f"{in_bytes(facts.now.segment_bytes)} and no living process has it ({_pids(facts.now.processes)}).",
            remedy=f"Remove all such pools: {call('sweep()')}.",
            details={"bytes": facts.now.segment_bytes, "pids": [one.pid for one in facts.now.processes]},
        )
    ]


def dead_processes(facts: PoolFacts) -> list[Finding]:
    """Find dead processes that still hold something."""
    if leftover(facts):
        return []
    held = {one: facts.now.survey.held.get(one.slot, 0) for one in facts.dead}
    losses = [one for one in facts.dead if held[one] or facts.taken_by(one)]
    if not losses:
        return []
    blocks = sum(held.values())
    messages = sum(map(facts.taken_by, losses))
    taken = f" and {count(messages, 'message')} that they had taken" if messages else ""
    return [
        Finding(
            code="dead",
            severity=WARNING,
            pool=facts.pool,
            sentence=f"{begin(count(len(losses), 'dead process', 'dead processes'))} still "
            f"{'hold' if len(losses) > 1 else 'holds'} {_of_blocks(facts, blocks)} of {facts.title}{taken}: "
            f"{listed(f'{_who(one)} {held[one]}' for one in losses)}.",
            remedy=_with_pool(facts, "recover()", "Bring it all back"),
            details={
                "blocks": blocks,
                "messages": messages,
                "processes": [{"pid": one.pid, "blocks": held[one], "command": one.command} for one in losses],
            },
        )
    ]


def stopped_processes(facts: PoolFacts) -> list[Finding]:
    """Find stopped processes that hold something. That they are in the gate is a finding of its own."""
    found = []
    for one in facts.stopped:
        blocks, messages = facts.now.survey.held.get(one.slot, 0), facts.taken_by(one)
        if (not blocks and not messages) or one.pid == facts.gate:
            continue
        taken = f" and {count(messages, 'message')} that it has taken" if messages else ""
        found.append(
            Finding(
                code="stopped",
                severity=WARNING,
                pool=facts.pool,
                sentence=f"{begin(_who(one))} is stopped{_debugger(facts.states[one.slot])}, and holds "
                f"{_of_blocks(facts, blocks)} of {facts.title}{taken}; they are lost to others until it goes on or "
                f"ends.",
                remedy=_wake(one.pid),
                details={"pid": one.pid, "command": one.command, "blocks": blocks, "messages": messages},
            )
        )
    return found


def gate(facts: PoolFacts) -> list[Finding]:
    """Find a process that stays in the gate."""
    pid, state = facts.gate, facts.gate_state
    if pid is None or state not in ("T", "t", None):
        return []
    name = next((_who(one) for one in facts.now.processes if one.pid == pid), f"process {pid}")
    blocked = "Until it goes on or ends nobody can attach or recover the pool; allocating goes on."
    if state is None:
        sentence = f"{begin(name)} is in the gate of {facts.title} and cannot be seen from here. {blocked}"
        remedy = (
            f"Look for process {pid} in the other containers, and for children that it forked; let it go on or end it."
        )
    else:
        sentence = f"{begin(name)} is stopped{_debugger(state)} in the gate of {facts.title}. {blocked}"
        remedy = _wake(pid)
    return [
        Finding(
            code="gate",
            severity=WARNING if state is None else ERROR,
            pool=facts.pool,
            sentence=sentence,
            remedy=remedy,
            details={"pid": pid, "state": state},
        )
    ]


def in_transit(facts: PoolFacts) -> list[Finding]:
    """Find blocks that a process began to allocate or free and did not finish."""
    if not facts.stuck or leftover(facts):
        return []
    blocks = _of_blocks(facts, facts.stuck)
    if facts.stopped:
        whose = f"; perhaps those of {listed(map(_who, facts.stopped))}, which is stopped"
        remedy = _wake(facts.stopped[0].pid)
    elif facts.dead:
        whose = f"; perhaps those of {listed(map(_who, facts.dead))}, which is dead"
        remedy = _with_pool(facts, "recover()", "Bring them back")
    else:
        whose = ", and no process of the pool is seen to be stopped or dead"
        remedy = "Look for processes of the pool that are frozen or very slow: " + _pids(facts.living) + "."
    return [
        Finding(
            code="in-transit",
            severity=WARNING,
            pool=facts.pool,
            sentence=f"{begin(blocks)} of {facts.title} {'is' if facts.stuck == 1 else 'are'} half allocated or half "
            f"freed, and stay{'s' if facts.stuck == 1 else ''} so{whose}.",
            remedy=remedy,
            details={"blocks": facts.stuck, "stopped": [one.pid for one in facts.stopped], "dead": _ids(facts.dead)},
        )
    ]


def leaked_tickets(facts: PoolFacts) -> list[Finding]:
    """Find old references in flight to what nobody holds."""
    if not facts.now.survey.only_tickets or (facts.now.name or "").startswith(_SEGMENT):
        return []
    leaked = [run for run in facts.now.survey.top if _leaks(run, facts.old)]
    if not leaked:
        return []
    segments = facts.now.name is None and facts.now.block_size == _SEGMENT_BLOCK
    segments = segments and facts.now.blocks in (1, _SEGMENT_BLOCKS)
    blocks, tickets = sum(run.blocks for run in leaked), sum(run.tickets for run in leaked)
    oldest = max(run.age or 0 for run in leaked)
    warning = (
        "; unless they are segments of blockpool.shared_memory whose names are still to be used" if segments else ""
    )
    return [
        Finding(
            code="tickets",
            severity=INFO if segments else WARNING,
            pool=facts.pool,
            sentence=f"{count(tickets, 'ticket')} for {_of_blocks(facts, blocks)} of {facts.title} "
            f"{'is' if tickets == 1 else 'are'} older than {duration(facts.old)}, the oldest {duration(oldest)}, and "
            f"no process holds these blocks: their receivers are gone, or never came.",
            remedy=_with_pool(
                facts,
                f"recover(tickets_older_than={facts.old:g})",
                f"Drop all tickets that are older than {duration(facts.old)}{warning}",
            ),
            details={
                "tickets": tickets,
                "blocks": blocks,
                "bytes": blocks * facts.now.block_size,
                "oldest": oldest,
                "handles": [str(run.handle) for run in leaked[:100]],
            },
        )
    ]


def exhausted(facts: PoolFacts) -> list[Finding]:
    """Find requests that find no room: the pool is full, or its free blocks lie scattered."""
    before, now = facts.before.counts, facts.now.counts
    seconds = max(facts.now.time - facts.before.time, 1e-3)
    failed = now.failures - before.failures
    full = before.free == now.free == 0
    still = full and now.failures > 0 and now.allocations == before.allocations
    if failed <= 0 and not still:
        waiting = (now.waited - before.waited) / seconds
        if not full or waiting < _ALWAYS_WAITING:
            return []
        return [
            Finding(
                code="waits",
                severity=INFO,
                pool=facts.pool,
                sentence=f"{begin(facts.title)} is full, and requests wait for room: {waiting:.1f} at a time on "
                f"average.",
                remedy=f"If that is too slow, make it larger than {now.blocks} blocks, or hold blocks for shorter.",
                details={"waiting": waiting, "waits": now.waits, "waited": now.waited},
            )
        ]
    details: dict[str, object] = {
        "blocks": now.blocks,
        "free": now.free,
        "largest_free_run": now.largest_free_run,
        "failed": failed,
        "failures": now.failures,
        "waits": now.waits,
        "waited": now.waited,
    }
    at_times = "" if now.free == 0 else " at times, or was asked for more than its longest free run"
    rate = f"{count(failed, 'request')} found no room within {duration(seconds)} ({now.failures:,} so far)"
    so_far = f"{count(now.failures, 'request')} found no room so far, and nothing was freed meanwhile"
    scattered = all(
        each.free >= _FREE_SHARE * each.blocks and each.fragmentation >= _FRAGMENTED for each in (before, now)
    )
    if scattered:
        return [
            Finding(
                code="fragmented",
                severity=WARNING,
                pool=facts.pool,
                sentence=f"{begin(facts.title)} has {now.free:,} free blocks of {now.blocks:,}, but no more than "
                f"{now.largest_free_run:,} in a row: {rate}.",
                remedy="Ask for shorter runs, or make the pool with larger blocks; what is long-lived should be "
                "allocated first.",
                details=details,
            )
        ]
    return [
        Finding(
            code="full",
            severity=WARNING,
            pool=facts.pool,
            sentence=f"{begin(facts.title)} is full{at_times}, with {now.allocated:,} of {now.blocks:,} blocks "
            f"allocated now: {rate if failed > 0 else so_far}. {_holders(facts)}",
            remedy="Free what is not needed, wait for room with timeout=, or make the pool larger.",
            details=details,
        )
    ]


def places(facts: PoolFacts) -> list[Finding]:
    """Find places for processes that are nearly used up."""
    used, most = len(facts.now.processes), facts.now.counts.max_processes
    few = most <= _FEW_PROCESSES
    if most == 1 or used < most * (1 if few else _NEARLY):
        return []
    dead = len(facts.dead)
    return [
        Finding(
            code="processes",
            severity=INFO if few else WARNING,
            pool=facts.pool,
            sentence=f"{used:,} of the {count(most, 'place')} for processes in {facts.title} are taken"
            + (f", {dead:,} by dead ones." if dead else "."),
            remedy=(_with_pool(facts, "recover()", "Free the places of the dead") + " " if dead else "")
            + "If more processes are to come, make the pool with a larger processes=.",
            details={"used": used, "most": most, "dead": dead},
        )
    ]


def names(facts: PoolFacts) -> list[Finding]:
    """Find a catalog that is nearly full."""
    used = len(facts.now.names)
    if used < _MOST_NAMES * _NEARLY:
        return []
    return [
        Finding(
            code="names",
            severity=WARNING,
            pool=facts.pool,
            sentence=f"The catalog of {facts.title} has {used} of {_MOST_NAMES} names.",
            remedy="Remove those that are not needed with Pool.forget() and Queue.unlink().",
            details={"used": used, "most": _MOST_NAMES},
        )
    ]


def kept(facts: PoolFacts) -> list[Finding]:
    """Find much that only the catalog keeps."""
    blocks = facts.now.survey.only_kept
    if blocks < _KEPT_SHARE * facts.now.blocks or (facts.now.name or "").startswith(_SEGMENT):
        return []
    return [
        Finding(
            code="kept",
            severity=INFO,
            pool=facts.pool,
            sentence=f"{begin(_of_blocks(facts, blocks))} of the {facts.now.blocks:,} of {facts.title} are kept by "
            f"names alone: {listed(map(repr, facts.now.names))}.",
            remedy="Forget names that are not needed: Pool.forget(name).",
            details={"blocks": blocks, "names": list(facts.now.names)},
        )
    ]


def unused(facts: PoolFacts) -> list[Finding]:
    """Find a permanent pool that nobody has."""
    age = facts.now.time - (facts.now.created or facts.now.time)
    name = facts.now.name
    if not facts.now.permanent or facts.living or name is None or not facts.has_name or age < _UNUSED:
        return []
    return [
        Finding(
            code="unused",
            severity=INFO,
            pool=facts.pool,
            sentence=f"No process has the permanent pool {name!r}, which takes {in_bytes(facts.now.segment_bytes)} "
            f"and was made {duration(age)} ago; {_of_blocks(facts, facts.now.counts.allocated)} are allocated.",
            remedy=f"If nobody will need it any more, remove it: {call(f'unlink({name!r})')}.",
            details={"bytes": facts.now.segment_bytes, "age": age, "allocated": facts.now.counts.allocated},
        )
    ]


def misuse(facts: PoolFacts) -> list[Finding]:
    """Find what a pool in debug mode found in runs of dead processes, which nobody was told of yet."""
    found = []
    for one in facts.damage:
        by = "a process that is not known" if one.allocated_by is None else f"process {one.allocated_by}"
        where = (one.stack or "").strip().splitlines()
        place = f", at {where[-1].strip()[:200]}" if where else ""
        size = "its" if one.nbytes is None else f"the {one.nbytes:,}"
        found.append(
            Finding(
                code="misuse",
                severity=ERROR,
                pool=facts.pool,
                sentence=f"Something wrote past {size} bytes that were asked for, at byte {one.at:,} of the run at "
                f"block {one.index:,} of {facts.title}, which {by} allocated{place}.",
                remedy="Mend the program that used the run; the next allocation of the block raises BlockOverrun.",
                details={"index": one.index, "at": one.at, "allocated_by": one.allocated_by, "stack": one.stack},
            )
        )
    return found


def old_runs(facts: PoolFacts) -> list[Finding]:
    """Find old runs of a pool in debug mode, with the places where they were allocated."""
    old = [run for run in facts.now.survey.top if run.stack and (run.age or 0) > _OLD_RUN]
    if not old:
        return []
    stacks: dict[str, list[Run]] = {}
    for run in old:
        stacks.setdefault(str(run.stack), []).append(run)
    stack, most = max(stacks.items(), key=lambda item: len(item[1]))
    where = stack.splitlines()[-1].strip()[:200]  # the innermost frame
    blocks = sum(run.blocks for run in old)
    return [
        Finding(
            code="old-runs",
            severity=INFO,
            pool=facts.pool,
            sentence=f"{count(len(old), 'run')} with {_of_blocks(facts, blocks)} of {facts.title} "
            f"{'was' if len(old) == 1 else 'were'} allocated more than {duration(_OLD_RUN)} ago, {len(most):,} of "
            f"them at one place: {where}.",
            remedy="If that is a leak, free them there; the details have the stacks.",
            details={
                "runs": len(old),
                "blocks": blocks,
                "stacks": [{"runs": len(runs), "stack": text} for text, runs in stacks.items()],
            },
        )
    ]


POOL_RULES = (
    damaged,
    misuse,
    leftover,
    gate,
    dead_processes,
    stopped_processes,
    in_transit,
    leaked_tickets,
    exhausted,
    places,
    names,
    kept,
    unused,
    old_runs,
)


# --- what sentences are made of ---


def _leaks(run: Run, old: float) -> bool:
    alone = not run.holders and not run.names and run.queue is None
    return alone and run.tickets > 0 and run.age is not None and run.age > old


def _of_blocks(facts: PoolFacts, blocks: int) -> str:
    return f"{count(blocks, 'block')} ({in_bytes(blocks * facts.now.block_size)})"


def _who(process: ProcessInfo) -> str:
    return who(process.pid, process.command)


def _ids(processes: list[ProcessInfo]) -> list[int | None]:
    return [one.pid for one in processes]


def _pids(processes: list[ProcessInfo] | tuple[ProcessInfo, ...]) -> str:
    return listed(shown_pid(one.pid) for one in processes) or "none"


def _debugger(state: str) -> str:
    return " by a debugger" if state == "t" else ""


def _wake(pid: int | None) -> str:  # of a process that was seen to be stopped, so it is known
    return f"Let it go on with `kill -CONT {pid}`, or end it with `kill -KILL {pid}`."


def _with_pool(facts: PoolFacts, method: str, purpose: str) -> str:
    """Return how to call a method of the pool."""
    expression = facts.expression()
    if expression is None:
        return f"{purpose}: call Pool.{method} in a process that has the pool."
    return f"{purpose}: {call(f'{expression}.{method}')}."


def _holders(facts: PoolFacts) -> str:
    """Say who holds most."""
    survey = facts.now.survey
    slots = {one.slot: one for one in facts.now.processes}
    held = sorted(((blocks, slot) for slot, blocks in survey.held.items() if slot in slots), reverse=True)
    parts = [f"{_who(slots[slot])} {blocks:,}" for blocks, slot in held[:3]]
    others = ((survey.only_tickets, "tickets"), (survey.only_messages, "messages"), (survey.only_kept, "names"))
    parts += [f"{name} alone {blocks:,}" for blocks, name in others if blocks]
    return f"Who holds how many: {listed(parts)}." if parts else ""
