"""Pools that are really broken: the doctor names what is wrong, and its remedy, carried out, makes it right."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from functools import partial

import pytest

import blockpool as bp
from blockpool.doctor import diagnose, diagnose_all, facts, healthy
from gates import shut_gate
from ledgers import OPENING, head_at, named
from programs import environment, interpreter
from remedies import follow, of_code
from segment_parts import Parts, flip
from waits import await_true


def codes(findings):
    """Return the codes of findings."""
    return {finding.code for finding in findings}


def mine(name):
    """Return the findings about a pool when all are examined."""
    return [finding for finding in diagnose_all() if finding.pool == name]


# --- leaks ---


def test_leaked_tickets(shared):
    """Tickets that nobody redeems are found once they are old, with their number; the remedy frees their blocks."""
    for _ in range(3):
        shared.allocate(blocks=2).share()
    shared.allocate().share(2)
    kept = shared.allocate()
    kept.share()  # held by this process, so not lost
    inspector = bp.inspect(shared)
    assert diagnose(shared.name) == []  # not old yet
    await_true(lambda: min(run.age for run in inspector.runs()) > 1)
    finding = of_code(diagnose(shared.name, old=1), "tickets")
    assert (finding.severity, finding.pool) == ("warning", shared.name)
    assert finding.details["tickets"] == 5
    assert finding.details["blocks"] == 7
    assert f"5 tickets for 7 blocks (28 KiB) of pool '{shared.name}' are older than 1 s" in finding.sentence
    follow(finding)
    assert diagnose(shared.name, old=1) == []
    assert shared.stats().allocated == 1
    kept.release()


def test_leaked_tickets_of_a_pool_without_a_name(peer):
    """Without a name, the remedy reaches the pool through a handle."""
    pool_id = peer("pool = bp.Pool.create(8192, 16); pool.allocate().share(); bp.inspect(pool).pool_id")
    inspector = bp.inspect(pool_id)
    await_true(lambda: inspector.runs()[0].age > 1)
    finding = of_code(diagnose(inspector, old=1), "tickets")
    assert (finding.severity, finding.pool) == ("warning", pool_id)
    follow(finding)
    assert diagnose(inspector, old=1) == []
    assert peer("pool.stats().allocated") == 0


def test_tickets_in_messages_and_names_are_no_leaks(shared):
    """What a queue carries or the catalog keeps has an owner, however old it is."""
    queue = shared.queue("frames", 4)
    queue.put(shared.allocate())
    shared.keep("model", shared.allocate())
    inspector = bp.inspect(shared)
    await_true(lambda: min(run.age for run in inspector.runs()) > 1)
    assert "tickets" not in codes(diagnose(shared, old=1))


# --- dead processes ---


def test_dead_workers(shared, peers):
    """Killed workers that hold blocks are found with what they hold; the remedy brings it back."""
    workers = [peers(), peers()]
    for worker, blocks in zip(workers, (2, 3), strict=True):
        worker(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate(blocks={blocks})")
    assert diagnose(shared.name) == []
    for worker in workers:
        worker.kill()
    finding = of_code(diagnose(shared.name), "dead")
    assert (finding.severity, finding.details["blocks"]) == ("warning", 5)
    assert [one["pid"] for one in finding.details["processes"]] == [worker.pid for worker in workers]
    assert "2 dead processes still hold 5 blocks (20 KiB)" in finding.sentence
    for worker in workers:
        assert str(worker.pid) in finding.sentence
    assert codes(mine(shared.name)) == {"dead"}
    follow(finding)
    assert diagnose(shared.name) == []
    assert shared.stats().allocated == 0


def test_a_dead_receiver_with_messages(shared, peer):
    """A killed process that had taken messages is found; after the remedy they are there again."""
    queue = shared.queue("work", 4, redeliver=True)
    for number in range(2):
        queue.put(number)
    peer(f"pool = bp.Pool.attach({shared.name!r}); work = pool.queue('work'); taken = [work.receive() for _ in '12']")
    peer.kill()
    finding = of_code(diagnose(shared.name), "dead")
    assert finding.details["messages"] == 2
    assert "2 messages that they had taken" in finding.sentence
    follow(finding)
    assert diagnose(shared.name) == []
    assert [queue.get(), queue.get()] == [0, 1]


def test_a_leftover(run_in_small_shm):
    """A pool whose processes were all killed is a leftover; the remedy removes it.

    In a /dev/shm of its own, as any other program might sweep it.
    """
    run_in_small_shm(
        """
        import os
        import blockpool as bp
        from blockpool.doctor import diagnose, diagnose_all
        from remedies import follow, of_code
        from waits import await_true
        child = os.fork()
        if child == 0:
            pool = bp.Pool.create(4096, 16, name="left")
            kept = pool.allocate()
            os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        with bp.inspect("left") as inspector:
            await_true(lambda: [one.alive for one in inspector.processes()] == [False])
        finding = of_code(diagnose("left"), "leftover")
        assert str(child) in finding.sentence, finding
        assert "pool 'left' was left" in finding.sentence.lower(), finding
        assert [one.code for one in diagnose_all() if one.pool == "left"] == ["leftover"]
        follow(finding)
        assert [one for one in diagnose_all() if one.pool == "left"] == []
        try:
            diagnose("left")
        except bp.PoolNotFound:
            pass
        else:
            raise AssertionError
        """,
        8,
    )


# --- stopped processes ---


def test_a_process_that_is_stopped_in_the_gate(pool_name, peer, tmp_path):
    """A process that really stopped while it audited is found in the gate; the remedy lets it go on."""
    end = tmp_path / "end"
    pool = bp.Pool.create(64, 1 << 18, name=pool_name)
    inspector = bp.inspect(pool)
    peer(f"pool = bp.Pool.attach({pool_name!r}); kept = pool.allocate(); import pathlib")
    peer.start(f"while not pathlib.Path({str(end)!r}).exists(): pool.check()")
    ran = partial(time.clock_gettime, ~peer.pid << 3 | 2)  # its processor time, see clock_getcpuclockid(3)

    def is_stopped_in_the_gate():
        os.kill(peer.pid, signal.SIGSTOP)
        os.waitpid(peer.pid, os.WUNTRACED)
        if inspector.gate() == peer.pid:
            return True
        before = ran()
        os.kill(peer.pid, signal.SIGCONT)
        await_true(lambda: ran() > before)  # else it would be stopped at the same place again
        return False

    try:
        await_true(is_stopped_in_the_gate)
        found = diagnose(pool_name)
        finding = of_code(found, "gate")
        assert codes(found) == {"gate"}
        assert (finding.severity, finding.details) == ("error", {"pid": peer.pid, "state": "T"})
        assert finding.sentence.startswith(f"Process {peer.pid} (")
        assert f"is stopped in the gate of pool '{pool_name}'" in finding.sentence
        follow(finding)
        assert diagnose(pool_name) == []
    finally:
        os.kill(peer.pid, signal.SIGCONT)
        end.touch()
    peer.answer()


def test_a_gate_that_nobody_seen_here_holds(shared, file_of, monkeypatch):
    """A process in the gate that cannot be seen, as one in another container, is found only if it stays there."""
    file = shut_gate(file_of(shared.name))
    with contextlib.closing(bp.inspect(shared)) as inspector:
        os.pwrite(file, (1 << 22).to_bytes(8, "little"), 704)  # more than any process id
        assert inspector.gate() == 1 << 22
        finding = of_code(diagnose(inspector), "gate")
        assert (finding.severity, finding.details["pid"]) == ("warning", 1 << 22)
        monkeypatch.setattr(facts, "_GATE_SECONDS", 60.0)
        closing = threading.Timer(0.5, os.close, [file])
        closing.start()
        assert diagnose(inspector) == []
        closing.join()


def test_a_stopped_process_that_holds_blocks(shared, peer):
    """A stopped process is found with what it holds; the remedy lets it go on. One that holds nothing is no matter."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    os.kill(peer.pid, signal.SIGSTOP)
    os.waitpid(peer.pid, os.WUNTRACED)
    try:
        assert diagnose(shared.name) == []
        os.kill(peer.pid, signal.SIGCONT)
        peer("kept = pool.allocate(blocks=3)")
        os.kill(peer.pid, signal.SIGSTOP)
        os.waitpid(peer.pid, os.WUNTRACED)
        finding = of_code(diagnose(shared.name), "stopped")
        assert (finding.details["pid"], finding.details["blocks"]) == (peer.pid, 3)
        assert "holds 3 blocks (12 KiB)" in finding.sentence
        follow(finding)
        assert diagnose(shared.name) == []
    finally:
        os.kill(peer.pid, signal.SIGCONT)


def test_blocks_that_stay_in_transit(shared, peer, file_of):
    """Blocks that a killed process left half allocated are found, and brought back by the remedy."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    slot = next(one.slot for one in bp.inspect(shared).processes() if one.pid == peer.pid)
    with file_of(shared.name).open("r+b", 0) as file:  # as it is between claiming block 5 and having it
        os.pwrite(file.fileno(), (OPENING | named(slot) | 1).to_bytes(8, "little"), head_at(file, 5))
    flip(file_of(shared.name), Parts(16).bitmap, 1 << 5)
    peer.kill()
    found = diagnose(shared.name)
    assert codes(found) == {"dead", "in-transit"}
    finding = of_code(found, "in-transit")
    assert "1 block (4 KiB)" in finding.sentence
    assert str(peer.pid) in finding.sentence
    follow(finding)
    assert diagnose(shared.name) == []
    shared.check()


# --- damage ---


def test_a_damaged_word(pool_name, peer, file_of):
    """An overwritten word of the ledger is found, with its block; the remedy, once its processes ended, removes it."""
    peer(f"pool = bp.Pool.create(4096, 16, name={pool_name!r}, permanent=True); kept = pool.allocate()")
    parts = Parts(16)
    flip(file_of(pool_name), parts.entries + 5 * parts.entry + 7, 0xE0)
    finding = of_code(diagnose(pool_name), "damaged")
    assert finding.severity == "error"
    assert "block 5" in finding.sentence
    assert str(peer.pid) in finding.remedy
    assert codes(mine(pool_name)) == {"damaged"}
    peer.kill()
    follow(finding)
    assert mine(pool_name) == []
    assert not file_of(pool_name).exists()


def test_a_damaged_header(pool_name, file_of):
    """A pool that cannot even be looked at is a finding, not an error; and so is a file that is no pool."""
    pool = bp.Pool.create(4096, 16, name=pool_name, permanent=True)
    pool.close()
    whole = file_of(pool_name).read_bytes()
    file_of(pool_name).write_bytes(whole[:-4096])
    finding = of_code(diagnose(pool_name), "damaged")
    assert pool_name in finding.sentence
    assert of_code(mine(pool_name), "truncated").severity == "warning"
    file_of(pool_name).write_bytes(b"x" * 8192)
    finding = of_code(mine(pool_name), "not-a-pool")
    follow(finding)
    assert not file_of(pool_name).exists()
    assert mine(pool_name) == []


# --- limits ---


def test_a_full_shm(run_in_small_shm):
    """A full /dev/shm is found with its size and the largest pools; either way of the remedy makes room."""
    out = run_in_small_shm(
        """
        import blockpool as bp
        from blockpool.doctor import diagnose_all
        from remedies import commands, follow, of_code
        made = [bp.Pool.create(65536, blocks, name=f"full-{blocks}", permanent=True) for blocks in (20, 30)]
        assert not [one for one in diagnose_all() if one.code == "shm-full"]
        while True:
            try:
                made.append(bp.Pool.create(4096, 2, name=f"small-{len(made)}", processes=1, permanent=True))
            except bp.PoolExhausted:
                break
        finding = of_code(diagnose_all(), "shm-full")
        assert finding.severity == "error", finding
        assert "'full-30' 2" in finding.sentence, finding
        assert finding.details["total"] == 5 << 20
        print(finding.sentence)
        print(finding.remedy)
        made.pop(1).close()
        finding = of_code(diagnose_all(), "shm-full")
        assert "unlink('full-30')" in commands(finding)[0], finding
        follow(finding)
        assert not [one for one in diagnose_all() if one.code == "shm-full"]
        """,
        5,
    )
    assert "of 5 MiB free" in out


def test_a_full_pool(shared):
    """A pool that refuses requests is full, with who holds it; with room there is no finding."""
    blocks = shared.allocate_many(16)
    assert diagnose(shared.name) == []  # full, and nobody asked for more
    for _ in range(3):
        with pytest.raises(bp.PoolExhausted):
            shared.allocate()
    finding = of_code(diagnose(shared.name), "full")
    assert "3 requests found no room so far" in finding.sentence
    assert f"process {os.getpid()} (" in finding.sentence
    blocks.pop().free()
    assert diagnose(shared.name) == []


def test_a_removed_name(pool_name, peer):
    """A pool that is used without its name is found, and more so when another has the name."""
    pool = bp.Pool.create(4096, 16, name=pool_name)
    peer(f"pool = bp.Pool.attach({pool_name!r})")
    pool_id = bp.inspect(pool).pool_id
    pool.unlink()
    finding = of_code(mine(pool_name), "name-removed")
    pool.close()
    assert (finding.severity, finding.details["pids"]) == ("info", [os.getpid(), peer.pid])
    with bp.Pool.create(4096, 16, name=pool_name):
        assert of_code(mine(pool_name), "name-removed").severity == "warning"
    peer.end()
    del pool
    assert pool_id not in {finding.details.get("pool_id") for finding in diagnose_all()}


def test_a_stuck_queue(shared, peer):
    """A full queue whose messages nobody receives is found once they are old, with who has it open."""
    queue = shared.queue("frames", 4)
    peer(f"pool = bp.Pool.attach({shared.name!r}); frames = pool.queue('frames')")
    while not queue.full():
        queue.put(1)
    assert diagnose(shared.name) == []
    inspector = bp.inspect(shared)
    await_true(lambda: inspector.queues()[0].oldest > 1)
    finding = of_code(diagnose(shared.name, old=1), "queue-stuck")
    assert "Queue 'frames'" in finding.sentence
    assert f"{peer.pid} (" in finding.sentence
    queue.get()
    assert diagnose(shared.name, old=1) == []


def test_descriptors_of_a_process(shared, peer):
    """A process of the pool that has nearly used up its descriptors is found; the remedy gives it more."""
    peer(f"""
        import resource
        pool = bp.Pool.attach({shared.name!r})
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        files = []
        while len(os.listdir("/proc/self/fd")) < 61:
            files.append(open("/dev/null"))
    """)
    finding = of_code(diagnose(shared.name), "descriptors")
    assert finding.details["pid"] == peer.pid
    assert finding.details["limit"] == 64
    peer("for file in files: file.close()")
    assert diagnose(shared.name) == []


# --- bad input, and nobody is disturbed ---


@pytest.mark.parametrize("old", [-1, float("nan")])
def test_bad_ages(shared, old):
    """An age that is negative or no number is a ValueError that gives it."""
    with pytest.raises(ValueError, match=re.escape(str(old))):
        diagnose(shared, old=old)
    with pytest.raises(ValueError, match=re.escape(str(old))):
        diagnose_all(old=old)


def test_what_is_no_pool(pool_name, pool):
    """What leads to no pool raises as blockpool.inspect does."""
    with pytest.raises(bp.PoolNotFound):
        diagnose(pool_name)
    with pytest.raises(ValueError, match="private"):
        diagnose(pool)
    with pytest.raises(TypeError):
        diagnose(5)


def test_it_changes_not_one_byte(shared, file_of, peer):
    """The file of a pool is the same afterwards, with a dead process, tickets and a queue in it."""
    shared.allocate().share()
    shared.queue("q", 4).put(1)
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    peer.kill()
    before = file_of(shared.name).read_bytes()
    assert not healthy(diagnose(shared.name, old=0))
    diagnose_all(old=0)
    assert file_of(shared.name).read_bytes() == before


def test_a_full_house_can_be_examined(pool_name, peer, peers):
    """It takes no place: with all taken, another process examines the pool."""
    with bp.Pool.create(64, 4, name=pool_name, processes=2):
        peer(f"pool = bp.Pool.attach({pool_name!r})")
        found = peers()(f"from blockpool.doctor import diagnose; diagnose({pool_name!r})")
    assert [(finding.code, finding.severity) for finding in found] == [("processes", "info")]


def test_a_held_gate_is_not_waited_for(shared, file_of):
    """A process that holds the gate and runs is no finding, and does not hold up the doctor."""
    with subprocess.Popen(
        interpreter("shared/hold_the_gate.py", file_of(shared.name)),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert bp.inspect(shared).gate() == holder.pid
        assert diagnose(shared.name) == []
        os.kill(holder.pid, signal.SIGSTOP)
        os.waitpid(holder.pid, os.WUNTRACED)
        finding = of_code(diagnose(shared.name), "gate")
        follow(finding)
        assert diagnose(shared.name) == []
