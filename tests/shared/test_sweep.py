"""What killed programs leave behind: create and sweep remove it, and live processes do not notice."""

import os
import threading

import pytest

import blockpool as bp


def test_a_crashed_service_starts_again(run_in_small_shm):
    """A service that is killed again and again, with a new pool name each time, finds room in its next create."""
    run_in_small_shm("shared/small_shm.py", 8, "start_again")


def test_the_first_create_of_a_process_sweeps(run_in_small_shm):
    """The first create of a process, named or not, removes what killed programs left, even if there is room."""
    run_in_small_shm("shared/small_shm.py", 8, "create_in_a_new_process")


def test_no_room_sweeps_first(run_in_small_shm):
    """A create without room removes pools that no process has, and tries again; permanent pools stay and are named."""
    run_in_small_shm("shared/small_shm.py", 8, "create_without_room")


def test_a_full_directory_names_the_largest_pools(run_in_small_shm):
    """The error for a full /dev/shm names the three largest pools, and says how many more there are."""
    run_in_small_shm("shared/small_shm.py", 16, "name_the_largest")


@pytest.fixture
def sweepers(peers):
    """Have two other processes sweep until the test ends; return a function that waits for one more round of each."""
    started = [peers(), peers()]
    for each in started:
        each("from shared.peer_work import AtWork; at_work = AtWork(bp.sweep)")

    def one_more_round():
        for each in started:
            each("at_work.await_rounds(2)")

    yield one_more_round
    for each in started:
        each("at_work.stop()")


def test_nobody_sees_a_sweeper(shared, sweepers):
    """While other processes sweep, a pool has no more processes than before, nor fewer free slots."""
    seen = set()
    for _ in range(10):
        for _ in range(200):
            seen.add(shared.stats().processes)
        sweepers()
    assert seen == {1}


def test_the_last_to_leave_removes_the_name_beside_sweepers(pool_names, file_of, sweepers):
    """When a pool's last process leaves, its name is gone at once, even if another process is sweeping."""
    sweepers()
    for _ in range(300):
        name = pool_names()
        bp.Pool.create(64, 2, name=name).close()
        assert not file_of(name).exists()


def test_a_pool_with_all_its_processes_is_swept_past(run_program, pool_name):
    """A sweep takes no slot from a process that attaches or forks: the last slot of a pool can always be had."""
    run_program("shared/forks_beside_others.py", "fill_the_slots_beside_a_sweeper", pool_name, timeout=300)


def test_sweep_beside_threads_that_open_files(shared):
    """While one thread sweeps, no file that another thread opened is closed."""
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
