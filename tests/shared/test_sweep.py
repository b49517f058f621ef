"""What killed programs leave behind: create and sweep remove it, and those who live cannot tell that anybody looked."""

import os
import threading

import pytest

import blockpool as bp

# What the programs here begin with: each has a /dev/shm of its own.
LEAVE = """
import os, signal, subprocess, sys
import blockpool as bp

def leave(name, blocks, permanent=False):
    arguments = f"'1MiB', {blocks}, name={name!r}, permanent={permanent}"
    code = f"import os, blockpool; pool = blockpool.Pool.create({arguments}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert "blockpool." + name in os.listdir("/dev/shm")

def there():
    return sorted(name.removeprefix("blockpool.") for name in os.listdir("/dev/shm"))
"""


def test_a_crashed_service_starts_again(run_in_small_shm):
    """Each run names its pool anew and is killed: the next finds room all the same, in the very first call."""
    run_in_small_shm(
        LEAVE
        + """
for run in range(3):
    leave(f"run-{run}", 6)
pool = bp.Pool.create("1MiB", 6, name="run-3")
assert there() == ["run-3"]
""",
        8,
    )


def test_the_first_create_of_a_process_sweeps(run_in_small_shm):
    """Under whatever name, or none, and though there is room."""
    run_in_small_shm(
        LEAVE
        + """
for name in ("another", None):
    leave("left", 1)
    if os.fork() == 0:
        pool = bp.Pool.create(64, 8, name=name)
        os._exit("left" in there())
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
""",
        8,
    )


def test_no_room_sweeps_first(run_in_small_shm):
    """A create that finds no room removes what nobody has, and then finds it; permanent pools stay."""
    run_in_small_shm(
        LEAVE
        + """
first = bp.Pool.create(64, 8, name="first")
for name in ("second", "third"):
    leave("left", 5)
    bp.Pool.create("1MiB", 5, name=name).close()
    assert there() == ["first"]
leave("kept", 5, permanent=True)
leave("left", 1)
try:
    bp.Pool.create("1MiB", 4, name="second")
except bp.PoolExhausted as error:
    message = str(error)
assert there() == ["first", "kept"]
assert "'kept' " in message and "bytes, permanent" in message, message
assert "'first' " in message and "bytes, in use" in message, message
bp.unlink("kept")
bp.Pool.create("1MiB", 4, name="second")
""",
        8,
    )


def test_a_full_directory_names_the_largest_pools(run_in_small_shm):
    """The message has the names and bytes of the three largest, and how many more there are."""
    run_in_small_shm(
        LEAVE
        + """
pools = [bp.Pool.create("64KiB", blocks, name=f"p{blocks}") for blocks in range(1, 13)]
try:
    bp.Pool.create("1MiB", 8, name="large")
except bp.PoolExhausted as error:
    message = str(error)
places = [message.index(f"'p{blocks}' ") for blocks in (12, 11, 10)]
assert places == sorted(places), message
assert "and 9 more" in message, message
""",
        8,
    )


@pytest.fixture
def sweepers(peers):
    """Have two other processes sweep until the test ends; give the function that waits for one more round of each."""
    started = [peers(), peers()]
    for each in started:
        each("""
            stop, rounds = False, 0
            def work():
                global rounds
                while not stop:
                    bp.sweep()
                    rounds += 1
            thread = threading.Thread(target=work)
            thread.start()
        """)

    def one_more_round():
        for each in started:
            each("""
                before = rounds
                while rounds < before + 2: time.sleep(0.001)
            """)

    yield one_more_round
    for each in started:
        each("stop = True; thread.join()")


def test_nobody_sees_a_sweeper(shared, sweepers):
    """A pool that is swept past has no more processes than before, nor fewer free slots."""
    seen = set()
    for _ in range(10):
        for _ in range(200):
            seen.add(shared.stats().processes)
        sweepers()
    assert seen == {1}


def test_the_last_to_leave_removes_the_name_beside_sweepers(pool_names, file_of, sweepers):
    """When a pool's last process leaves, its name is gone at once, whoever looks at that moment."""
    sweepers()
    for _ in range(300):
        name = pool_names()
        bp.Pool.create(64, 2, name=name).close()
        assert not file_of(name).exists()


def test_a_pool_with_all_its_processes_is_swept_past(run_forking, pool_name):
    """Sweepers take no slot from a process that attaches or is forked: the last one is always to be had."""
    run_forking(
        """
        pool = bp.Pool.create(64, 64, name=sys.argv[1])
        waits, go = steps()
        idle = [in_child(waits) for _ in range(45)]

        sweeper = os.fork()
        if sweeper == 0:
            globals().pop("pool").close()
            while True:
                bp.sweep()
        deadline = time.monotonic() + 30
        while pool.stats().processes > 46 and time.monotonic() < deadline:
            pool.recover()
        assert pool.stats().processes == 46
        for _ in range(100):
            await_child(in_child(lambda: pool.allocate().free()))
        os.kill(sweeper, signal.SIGKILL)
        os.waitpid(sweeper, 0)
        for _ in idle:
            go()
        for child in idle:
            await_child(child)
        """,
        pool_name,
    )


def test_sweep_beside_threads_that_open_files(shared):
    """It closes each descriptor once: no other thread's file is closed under its hands."""
    stop = threading.Event()
    wrong = []

    def work():
        while not stop.is_set():
            reading, writing = os.pipe()
            try:
                os.write(writing, b"x")
                assert os.read(reading, 1) == b"x"
                os.close(reading)
                os.close(writing)
            except (OSError, AssertionError) as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        bp.sweep()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert shared.check().allocated == 0
