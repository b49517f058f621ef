"""What can be wrong with the queues of a shared pool: rules that turn its facts into findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.doctor.findings import WARNING, Finding, begin, duration, listed, who
from blockpool.report.text import count

if TYPE_CHECKING:
    from blockpool.doctor.facts import PoolFacts
    from blockpool.stats import QueueInfo

__all__ = ["QUEUE_RULES"]

# Seconds. Nobody who is at work leaves a message so long; a queue that is a store for later may.
_VERY_OLD = 3600.0


def stuck_queues(facts: PoolFacts) -> list[Finding]:
    """Find full queues that nobody receives from."""
    found = []
    for before, queue in _twice(facts):
        full = _is_full(before) and _is_full(queue)
        if not full or queue.shut or _received(before) != _received(queue) or not _older(queue, facts.old):
            continue
        found.append(
            Finding(
                code="queue-stuck",
                severity=WARNING,
                pool=facts.pool,
                sentence=f"{begin(_title(facts, queue))} is full: {count(queue.waiting, 'message')} wait, the oldest "
                f"for {duration(queue.oldest or 0)}, and nobody receives. {_open_in(facts, queue)}",
                remedy="Start a process that receives, or continue it if it is stopped; if the messages are not "
                "needed, call Queue.shutdown(immediate=True).",
                details=_details(queue),
            )
        )
    return found


def deserted_queues(facts: PoolFacts) -> list[Finding]:
    """Find messages in queues that no living process has open."""
    living = {one.pid for one in facts.living}
    found = []
    for _, queue in _twice(facts):
        deserted = queue.kind == "queue" and queue.waiting and not living.intersection(queue.processes)
        if deserted and _older(queue, facts.old) and not _is_full(queue):
            found.append(
                Finding(
                    code="queue-deserted",
                    severity=WARNING,
                    pool=facts.pool,
                    sentence=f"{begin(count(queue.waiting, 'message'))} wait in {_title(facts, queue)}, the oldest "
                    f"for {duration(queue.oldest or 0)}, and no living process has it open.",
                    remedy="Start a process that receives; if they are not needed, call Queue.unlink().",
                    details=_details(queue),
                )
            )
    return found


def old_messages(facts: PoolFacts) -> list[Finding]:
    """Find messages that wait very long in a queue that processes have open."""
    living = {one.pid for one in facts.living}
    found = []
    for before, queue in _twice(facts):
        waits = queue.kind == "queue" and queue.waiting and living.intersection(queue.processes) and not _is_full(queue)
        if waits and _received(before) == _received(queue) and _older(queue, max(_VERY_OLD, facts.old)):
            found.append(
                Finding(
                    code="queue-old",
                    severity=WARNING,
                    pool=facts.pool,
                    sentence=f"{begin(count(queue.waiting, 'message'))} wait in {_title(facts, queue)}, the oldest "
                    f"for {duration(queue.oldest or 0)}, and nobody receives. {_open_in(facts, queue)}",
                    remedy="See whether its receivers still run, or are stopped.",
                    details=_details(queue),
                )
            )
    return found


QUEUE_RULES = (stuck_queues, deserted_queues, old_messages)


def _twice(facts: PoolFacts) -> list[tuple[QueueInfo, QueueInfo]]:
    """Return the queues that were there at both looks."""
    before = {(queue.number, queue.kind, queue.name): queue for queue in facts.before.queues}
    pairs = ((before.get((queue.number, queue.kind, queue.name)), queue) for queue in facts.now.queues)
    return [(first, second) for first, second in pairs if first is not None]


def _is_full(queue: QueueInfo) -> bool:
    return queue.kind == "queue" and queue.waiting >= queue.capacity


def _received(queue: QueueInfo) -> int:
    return queue.put - queue.waiting - queue.lost


def _older(queue: QueueInfo, seconds: float) -> bool:
    return queue.oldest is not None and queue.oldest > seconds


def _title(facts: PoolFacts, queue: QueueInfo) -> str:
    name = f"queue {queue.name!r}" if queue.name is not None else f"the queue without a name at block {queue.number}"
    return f"{name} of {facts.title}"


def _open_in(facts: PoolFacts, queue: QueueInfo) -> str:
    commands = {one.pid: one.command for one in facts.living}
    have = [who(pid, commands[pid]) for pid in queue.processes if pid in commands]
    return f"It is open in {listed(have)}." if have else "No living process has it open."


def _details(queue: QueueInfo) -> dict[str, object]:
    return {
        "queue": queue.name,
        "number": queue.number,
        "waiting": queue.waiting,
        "capacity": queue.capacity,
        "oldest": queue.oldest,
        "processes": list(queue.processes),
    }
