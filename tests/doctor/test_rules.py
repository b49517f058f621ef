"""The rules of the doctor, on made-up pools and machines: each finds its fault, and nothing else does."""

import dataclasses

import pytest

import blockpool as bp
from blockpool import stats
from blockpool.doctor import findings_of, healthy
from blockpool.doctor.facts import PoolFacts
from blockpool.doctor.machine import ControlGroup, Machine, SharedMemory
from blockpool.doctor.machine_rules import MACHINE_RULES, other_files, removed_pools, shm_room
from blockpool.observe import Snapshot
from remedies import of_code

GIB = 1 << 30
NOW = 1_000_000.0

GOOD = Machine(
    shm=SharedMemory(kind="tmpfs", options=("rw",), total=8 * GIB, free=4 * GIB, files_free=1000),
    memory=16 * GIB,
    available=8 * GIB,
    groups=(ControlGroup(path="/sys/fs/cgroup/a", limit=8 * GIB, used=GIB),),
    files=10,
    files_limit=1024,
    address_space=GIB,
    address_space_limit=None,
)
SURVEY = stats.Survey(
    allocated=10, runs=10, requested_bytes=40960, tickets=0, oldest_ticket=None, held={0: 10}, only_kept=0,
    only_messages=0, only_tickets=0, nobody=0, top=(),
)  # fmt: skip
COUNTS = stats.PoolCounts(
    blocks=100, block_size=4096, allocated=10, free=90, peak=50, largest_free_run=80, fragmentation=0.1,
    allocations=1000, failures=0, waits=0, waited=0.0, processes=1, max_processes=256,
)  # fmt: skip
QUEUE = stats.QueueInfo(
    number=3, kind="queue", name="frames", capacity=8, redeliver=False, permanent=False, shut=False, waiting=8,
    taken=(), oldest=100.0, put=50, lost=0, readers=0, processes=(100,),
)  # fmt: skip


def process(slot=0, *, alive=True, pid=None):
    """Return a process."""
    return stats.ProcessInfo(
        slot=slot, pid=100 + slot if pid is None else pid, alive=alive, command="python worker.py", started=NOW - 9000,
        allocations=5, failures=0, waits=0, waited=0.0,
    )  # fmt: skip


def look(**changes):
    """Return a look at a healthy pool with some changes."""
    made = Snapshot(
        time=NOW, name="camera", pool_id="0a" * 16, block_size=4096, blocks=100, nbytes=409600, segment_bytes=GIB,
        made_by="0.1.0", created=NOW - 9000, permanent=False, on_fork="share", exists=True, counts=COUNTS,
        processes=(process(),), queues=(), names=(), gate=None, survey=SURVEY, map=None,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def facts(now=None, before=None, **changes):
    """Return facts about a healthy pool with some changes; the first look was like the second unless given."""
    now = look() if now is None else now
    before = dataclasses.replace(now, time=NOW - 0.2) if before is None else before
    made = PoolFacts(before=before, now=now, machine=GOOD, states={0: "S"}, descriptors={0: (10, 1024)}, resident=GIB)
    return dataclasses.replace(made, **changes)


def counts(**changes):
    """Return changed counts."""
    return dataclasses.replace(COUNTS, **changes)


def survey(**changes):
    """Return a changed survey."""
    return dataclasses.replace(SURVEY, **changes)


def queue(**changes):
    """Return a changed queue, which is full and whose oldest message is old."""
    return dataclasses.replace(QUEUE, **changes)


def run(**changes):
    """Return an old run that only a ticket holds."""
    made = stats.Run(index=3, blocks=2, nbytes=8192, holders=(), tickets=1, age=100.0, handle="blockpool-handle:x")
    return dataclasses.replace(made, **changes)


def codes(found):
    """Return the codes of findings."""
    return [finding.code for finding in found]


def test_a_healthy_pool():
    """A healthy pool on a healthy machine has no finding."""
    assert findings_of(facts()) == []
    assert [finding for rule in MACHINE_RULES for finding in rule(GOOD)] == []
    assert shm_room(GOOD, []) == []


FULL = counts(free=0, allocated=100, largest_free_run=0)
SCATTERED = counts(free=50, allocated=50, largest_free_run=1, fragmentation=0.98)
LEAK = survey(only_tickets=2, top=(run(),))

BROKEN = {
    "damaged": facts(fault="block 5: its word is nonsense"),
    "gate": facts(gate=100, gate_state="T"),
    "gate of a process that is not seen": facts(gate=7, gate_state=None),
    "dead": facts(look(processes=(process(), process(1, alive=False)), survey=survey(held={0: 8, 1: 2}))),
    "leftover": facts(look(processes=(process(alive=False),))),
    "stopped": facts(states={0: "T"}),
    "stopped by a debugger": facts(states={0: "t"}),
    "in-transit": facts(stuck=3),
    "tickets": facts(look(survey=LEAK)),
    "full": facts(look(counts=dataclasses.replace(FULL, failures=7)), look(time=NOW - 0.2, counts=FULL)),
    "full and at rest": facts(look(counts=dataclasses.replace(FULL, failures=7))),
    "fragmented": facts(look(counts=dataclasses.replace(SCATTERED, failures=7)), look(time=NOW - 1, counts=SCATTERED)),
    "processes": facts(look(processes=tuple(map(process, range(240))))),
    "names": facts(look(names=tuple(f"name-{number}" for number in range(240)))),
    "queue-stuck": facts(look(queues=(queue(),))),
    "queue-deserted": facts(look(queues=(queue(waiting=3, processes=()),))),
    "queue-old": facts(look(queues=(queue(waiting=3, oldest=9000.0),))),
    "too-large": facts(resident=0, machine=dataclasses.replace(GOOD, available=GIB // 2)),
    "address-space": facts(machine=dataclasses.replace(GOOD, address_space_limit=GIB + 5)),
    "descriptors": facts(descriptors={0: (1000, 1024)}),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_a_pool(what):
    """Each fault has its finding, alone, as a warning or an error; it names the pool, and there is a remedy."""
    found = findings_of(BROKEN[what])
    assert codes(found) == [what.split()[0]]
    assert not healthy(found)
    assert found[0].pool == "camera"
    assert "camera" in found[0].sentence
    assert found[0].sentence[0].isupper() or found[0].sentence[0].isdigit()
    assert found[0].remedy


RIGHT = {
    "a process in the gate that runs": facts(gate=100, gate_state="S"),
    "a process in the gate at one look": facts(look(gate=100), look(), gate=None),
    "a stopped process that holds nothing": facts(look(survey=survey(held={})), states={0: "T"}),
    "a process that was just killed": facts(
        look(processes=(process(), process(1, alive=False)), survey=survey(held={1: 2})),
        look(processes=(process(), process(1))),
    ),
    "a dead process that holds nothing": facts(look(processes=(process(), process(1, alive=False)))),
    "a new ticket": facts(look(survey=survey(only_tickets=2, top=(run(age=5.0),)))),
    "an old ticket whose block has a holder": facts(look(survey=survey(only_tickets=2, top=(run(holders=(100,)),)))),
    "a segment of shared memory": facts(look(name="shm.x", survey=LEAK)),
    "a full pool": facts(look(counts=FULL)),
    "a full pool at work": facts(
        look(counts=dataclasses.replace(FULL, failures=7, allocations=1005)),
        look(counts=dataclasses.replace(FULL, failures=7)),
    ),
    "a scattered pool": facts(look(counts=dataclasses.replace(SCATTERED, failures=7))),
    "a full queue at work": facts(look(queues=(queue(put=51),)), look(queues=(queue(),))),
    "a queue that was just filled": facts(look(queues=(queue(oldest=1.0),))),
    "a queue that was shut down": facts(look(queues=(queue(shut=True),))),
    "a topic": facts(look(queues=(queue(kind="topic"),))),
    "a queue that appears": facts(look(queues=(queue(),)), look()),
    "a small pool that has its memory": facts(machine=dataclasses.replace(GOOD, available=0)),
    "a pool for one process": facts(look(counts=counts(max_processes=1))),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_with_a_pool(what):
    """What is usual for a moment, or meant, is no finding."""
    assert findings_of(RIGHT[what]) == []


GOOD_TO_KNOW = {
    "waits": facts(
        look(counts=dataclasses.replace(FULL, waits=9, waited=8.0, allocations=2000)), look(time=NOW - 1, counts=FULL)
    ),
    "processes": facts(look(counts=counts(max_processes=2), processes=(process(), process(1)))),
    "kept": facts(look(names=("model",), survey=survey(only_kept=60))),
    "unused": facts(look(permanent=True, processes=())),
    "tickets": facts(look(name=None, block_size=4096, blocks=1024, survey=LEAK)),
}


@pytest.mark.parametrize("what", GOOD_TO_KNOW)
def test_what_is_good_to_know(what):
    """What may be meant is told, and the pool counts as healthy."""
    found = findings_of(GOOD_TO_KNOW[what])
    assert [(finding.code, finding.severity) for finding in found] == [(what, "info")]
    assert healthy(found)


def test_old_runs_of_a_debug_pool():
    """Where old runs were allocated is told with the place that has the most of them."""
    here, there = "main.py:9 main\nhere.py:1 make", "main.py:9 main\nthere.py:2 make"
    made = run(holders=(100,), tickets=0, blocks=1, age=1000.0)
    runs = [dataclasses.replace(made, index=index, stack=stack) for index, stack in enumerate((here, there, there))]
    runs.append(dataclasses.replace(made, stack=here, age=1.0))
    finding = of_code(findings_of(facts(look(survey=survey(top=tuple(runs))))), "old-runs")
    assert "3 runs with 3 blocks" in finding.sentence
    assert "2 of them at one place: there.py:2 make." in finding.sentence
    assert {one["stack"] for one in finding.details["stacks"]} == {here, there}


def test_what_debug_mode_found():
    """What a dead process wrote past the end of its run is told with its place, or without where that is not known."""
    known = stats.Damage(
        index=3, blocks=1, nbytes=10, at=12, found=0,
        allocated_by=100, stack="main.py:9 main\nthere.py:2 make\n", freed_by=7, freed_stack="",
    )  # fmt: skip
    finding = of_code(findings_of(facts(damage=(known,))), "misuse")
    assert "past the 10 bytes" in finding.sentence
    assert "at byte 12 of the run at block 3" in finding.sentence
    assert finding.sentence.endswith("which process 100 allocated, at there.py:2 make.")
    unknown = dataclasses.replace(known, nbytes=None, allocated_by=None, stack=None)
    finding = of_code(findings_of(facts(damage=(unknown,))), "misuse")
    assert finding.sentence.endswith("which a process that is not known allocated.")


def test_who_has_the_blocks_of_a_full_pool():
    """A full pool's sentence says who holds most of it."""
    now = look(counts=dataclasses.replace(FULL, failures=7), survey=survey(held={0: 70}, only_tickets=30))
    finding = of_code(findings_of(facts(now)), "full")
    assert "process 100 (python worker.py) 70, tickets alone 30" in finding.sentence


def shm(**changes):
    """Return a machine with another /dev/shm."""
    return dataclasses.replace(GOOD, shm=dataclasses.replace(GOOD.shm, **changes))


MACHINES = {
    "shm-missing": dataclasses.replace(GOOD, shm=None),
    "shm-read-only": shm(options=("ro",)),
    "shm-not-memory": shm(kind="ext4"),
    "shm-full": shm(free=1 << 20),
    "shm-full of files": shm(files_free=0),
    "memory": dataclasses.replace(GOOD, available=GIB // 2),
    "cgroup": dataclasses.replace(
        GOOD, groups=(*GOOD.groups, ControlGroup(path="/sys/fs/cgroup", limit=4 * GIB, used=4 * GIB - 5))
    ),
    "descriptors": dataclasses.replace(GOOD, files=1000),
    "address-space": dataclasses.replace(GOOD, address_space_limit=GIB + 5),
}


@pytest.mark.parametrize("what", MACHINES)
def test_what_is_wrong_with_a_machine(what):
    """Each fault of the machine has its finding, alone."""
    machine = MACHINES[what]
    found = [finding for rule in MACHINE_RULES for finding in rule(machine)] + shm_room(machine, [])
    assert codes(found) == [what.split()[0]]
    assert not healthy(found)
    assert found[0].remedy


def pool(name="camera", **changes):
    """Return a pool of the list."""
    made = stats.PoolSummary(
        name=name, state="ok", pool_id="0a" * 16, block_size=4096, blocks=100, nbytes=409600, allocated=3,
        segment_bytes=1 << 20, permanent=True, max_processes=256, made_by=bp.__version__, created=NOW, processes=(),
        leftover=False,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_a_full_shm_names_what_can_go():
    """The largest pools are named, and the remedy removes those that nobody uses first."""
    pools = [pool("small"), pool("used", segment_bytes=GIB, processes=(process(),)), pool("big", segment_bytes=5 << 20)]
    finding = of_code(shm_room(shm(free=5000), pools), "shm-full")
    assert "'used' 1 GiB, 'big' 5 MiB, 'small' 1 MiB" in finding.sentence
    assert "unlink('big')" in finding.remedy
    assert "sweep()" not in finding.remedy
    assert "sweep()" in of_code(shm_room(shm(free=5000), [pool(leftover=True)]), "shm-full").remedy


@pytest.mark.parametrize("state", ["damaged", "truncated", "other version", "not a pool", "unreadable"])
def test_files_that_are_no_pools(state):
    """A file that cannot be attached is found, with why and how to remove it."""
    found = other_files([pool(state=state, made_by=None), pool("fine")], bp.__version__)
    assert codes(found) == [state.replace(" ", "-")]
    assert "unlink('camera')" in found[0].remedy
    assert not healthy(found)


def test_another_release():
    """A pool of another release that can be attached is good to know."""
    found = other_files([pool(made_by="0.0.9")], "0.1.0")
    assert [(finding.code, finding.severity) for finding in found] == [("version-mix", "info")]
    assert "0.0.9" in found[0].sentence


def test_removed_names():
    """A pool whose name was removed is told; if another has the name, it is a warning."""
    removed = [("camera", pool(None, processes=(process(),))), (None, pool(None, processes=(process(1),)))]
    assert [finding.severity for finding in removed_pools(removed, [pool("other")])] == ["info", "info"]
    assert [finding.severity for finding in removed_pools(removed, [pool()])] == ["warning", "info"]


def test_hostile_commands_stay_text():
    """A report holds no control characters, whatever a process calls itself."""
    from blockpool.report.doctor import doctor_json, doctor_lines

    evil = dataclasses.replace(process(1, alive=False), command="x\x1b[31m\r\n\u202e")
    found = findings_of(facts(look(processes=(process(), evil), survey=survey(held={1: 2}))))
    assert codes(found) == ["dead"]
    text = "".join(line for line, _ in doctor_lines(found))
    assert text.isprintable()
    assert "\\x1b[31m" in text
    assert "\x1b" not in doctor_json(found, "camera")
