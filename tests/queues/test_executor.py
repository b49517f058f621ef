"""`blockpool.Executor`: what it returns, and that no way to die makes it hang or costs more than one task."""

import concurrent.futures
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp
import calls
from blockpool import _executor, _worker
from programs import environment, interpreter
from waits import await_true

LONG = 60  # seconds that no wait here takes unless something hangs
KILLS = int(os.environ.get("EXECUTOR_KILLS", "60"))  # make queue-soak asks for more


@pytest.fixture
def pool():
    """Make a shared pool of 256 blocks of 4 KiB; nothing may be left in it after the test."""
    made = bp.Pool.create("4KiB", 256)
    yield made
    if made.closed:
        return
    gc.collect()
    await_true(lambda: made.stats().processes == 1)  # a killed process is there for a moment longer
    made.recover()  # not before: what it held stays until a recovery after its end
    stats = made.stats()
    assert (stats.allocated, stats.tickets) == (0, 0), made.runs()
    made.check()


@pytest.fixture
def make(pool):
    """Return a function that makes executors; they are shut down after the test, and leave no process and no thread."""
    made = []

    def executor(workers=2, **options):
        made.append(bp.Executor(workers, **{"pool": pool} | options))
        return made[-1]

    before = set(multiprocessing.active_children())
    yield executor
    for each in made:
        each.shutdown()
    assert set(multiprocessing.active_children()) <= before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("blockpool-executor")]


@pytest.fixture
def executor(make):
    """Make an executor of two workers."""
    return make()


@pytest.fixture
def go(tmp_path):
    """Give the path of a file that is not there before the end of the test: what tasks of `calls.until` wait for."""
    path = tmp_path / "go"
    yield path
    path.touch()


def workers_of(executor):
    """Return the process ids of the workers that are ready."""
    return {worker.pid for worker in list(executor._crew.workers.values()) if worker.ready}


def await_file(path):
    """Wait for a file and return what is in it."""
    await_true(lambda: path.exists() and path.read_text())
    return path.read_text()


def fill_with_messages(queue):
    """Put messages until there is no room for another."""
    with suppress(bp.PoolExhausted):
        while True:
            queue.put_nowait(0)
    assert not queue.full()


def is_gone(pid):
    """Return whether the process is gone, or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


# --- results ---


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_calls(make, method):
    """Functions are called in workers, with each start method, and their results come back in the order of map."""
    executor = make(mp_context=multiprocessing.get_context(method))
    assert executor.submit(calls.double, 4).result(LONG) == 8
    assert executor.submit(calls.everything, 1, self=2, fn=3).result(LONG) == ((1,), {"self": 2, "fn": 3})
    assert list(executor.map(calls.divide, range(20), range(1, 21), timeout=LONG)) == [n // (n + 1) for n in range(20)]
    assert executor.submit(calls.pid).result(LONG) != os.getpid()


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_map_in_chunks(executor, size):
    """Map gives the same results whatever the chunks."""
    assert list(executor.map(calls.double, range(10), chunksize=size)) == [2 * n for n in range(10)]


def test_map_of_nothing(executor):
    """Map of nothing gives nothing."""
    assert list(executor.map(calls.double, [])) == []
    assert list(executor.map(calls.double, [], chunksize=4)) == []


def test_an_error_and_where_it_came_from(executor):
    """A future gets the error that the function raised; its cause shows the traceback in the worker."""
    error = executor.submit(calls.divide, 1, 0).exception(LONG)
    assert type(error) is ZeroDivisionError
    assert "in divide" in str(error.__cause__)
    with pytest.raises(ZeroDivisionError):
        list(executor.map(calls.divide, [1, 1], [1, 0], chunksize=2))


def test_workers_are_started_as_they_are_needed(make, go):
    """One task at a time needs one worker; more at a time need more, up to the number asked for."""
    executor = make(3)
    for _ in range(5):
        executor.submit(calls.double, 1).result(LONG)
    assert len(workers_of(executor)) == 1
    futures = [executor.submit(calls.until, go) for _ in range(20)]
    await_true(lambda: len(workers_of(executor)) == 3)
    go.touch()
    concurrent.futures.wait(futures, LONG)
    assert len(executor._crew.workers) == 3


def test_a_callback_may_submit(executor):
    """A callback of a future may submit another task."""
    more = []
    executor.submit(calls.double, 1).add_done_callback(
        lambda done: more.append(executor.submit(calls.double, done.result()))
    )
    await_true(lambda: more)
    assert more[0].result(LONG) == 4


def test_an_executor_in_a_worker(executor):
    """A worker may use an executor of its own, which ends with it."""
    assert executor.submit(calls.inner_sum, 5).result(LONG) == 20


def test_nothing_refers_to_what_is_done(executor):
    """The executor keeps neither arguments nor results."""
    argument = calls.Here("some")
    weak = weakref.ref(argument)
    future = executor.submit(calls.same, argument)
    del argument
    assert future.result(LONG) == set("some")
    await_true(lambda: weak() is None)
    weak = weakref.ref(future.result())
    del future
    await_true(lambda: weak() is None)


# --- through the pool ---


def test_an_array_of_the_pool_is_shared(executor, pool):
    """A worker writes to the very array of the pool, also if it is a view with gaps."""
    array = pool.zeros((10, 10))
    executor.submit(calls.add_in_place, array, 1).result(LONG)
    executor.submit(calls.add_in_place, array[::2, 1::3], 1).result(LONG)
    assert array.sum() == 100 + 15
    back = executor.submit(calls.same, array).result(LONG)
    back[0, 0] = 50
    assert array[0, 0] == 50


def test_a_block_is_shared(executor, pool):
    """A worker writes to the very block, and can return it."""
    block = pool.allocate()
    executor.submit(calls.fill, block, b"x").result(LONG)
    assert bytes(block.buf) == b"x" * 4096
    back = executor.submit(calls.same, [block, "and more"]).result(LONG)
    assert back[0].index == block.index
    back[0].release()
    block.release()


def test_an_array_is_copied_into_the_pool(executor, pool):
    """A result that is an array is in the pool, and goes when it is dropped."""
    result = executor.submit(calls.add, np.zeros(4096), 3).result(LONG)
    assert pool.stats().allocated == 8
    assert (result == 3).all()
    result += 1
    del result
    await_true(lambda: pool.stats().allocated == 0)


def test_what_is_larger_than_the_pool(executor, pool):
    """Arguments and results that do not fit in the pool come and go all the same."""
    assert executor.submit(calls.ones, 3 * pool.nbytes).result(LONG).sum() == 3 * pool.nbytes
    assert executor.submit(calls.total, np.ones(3 * pool.nbytes, np.uint8)).result(LONG) == 3 * pool.nbytes
    assert len(executor.submit(calls.same, b"x" * (2 * pool.nbytes)).result(LONG)) == 2 * pool.nbytes


def test_results_that_fill_the_pool(executor, pool):
    """Results that are kept may be more than the pool has room for; an array of the pool is shared all the same."""
    array = pool.zeros(8)
    results = [executor.submit(calls.ones, pool.nbytes // 8) for _ in range(20)]
    for result in results:
        assert result.result(LONG).all()
    assert pool.stats().free < pool.blocks // 8
    executor.submit(calls.everything, np.ones(pool.nbytes), array).result(LONG)
    executor.submit(calls.add_in_place, array, 1).result(LONG)
    assert array.all()


def test_no_room_for_a_message(make, monkeypatch):
    """If there is no room for a message, the future gets PoolExhausted in the end; later tasks are done."""
    pool = bp.Pool.create("4KiB", 16, queue_room="256KiB")
    executor = make(1, pool=pool)
    executor.submit(calls.double, 1).result(LONG)
    monkeypatch.setattr(_worker, "ROOM_SECONDS", 0.2)
    queue = pool.queue(capacity=4096)
    fill_with_messages(queue)
    assert isinstance(executor.submit(calls.double, 1).exception(LONG), bp.PoolExhausted)
    queue.close()
    assert executor.submit(calls.double, 1).result(LONG) == 2


def test_no_room_for_an_answer(make, tmp_path, go):
    """If there is no room for an answer nor for an error, the worker ends and the future gets BrokenWorker."""
    pool = bp.Pool.create("4KiB", 16, queue_room="256KiB")
    executor = make(1, pool=pool, initializer=calls.hurry, initargs=(0.2,))
    task = executor.submit(calls.tell_and_wait, tmp_path / "begun", go)
    await_true((tmp_path / "begun").exists)  # its message is gone
    queue = pool.queue(capacity=4096)
    fill_with_messages(queue)
    go.touch()
    while not task.done():  # what the executor has told itself goes when it comes to it
        fill_with_messages(queue)
        time.sleep(0.001)
    error = task.exception(LONG)
    assert (type(error), error.exit_code) == (bp.BrokenWorker, _worker.NO_ROOM)
    assert "no room" in str(error)
    queue.close()
    assert executor.submit(calls.double, 1).result(LONG) == 2


# --- what cannot be pickled ---


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (lambda: 1, (), (pickle.PicklingError, AttributeError)),
        (calls.same, (lambda: 1,), (pickle.PicklingError, AttributeError)),
        (calls.same, (calls.Unpicklable(),), OSError),
        (calls.a_lambda, (), (pickle.PicklingError, AttributeError)),
        (calls.raise_stubborn, (), TypeError),
        (calls.raise_strange, (), TypeError),
        (calls.same, (calls.WhenUnpickled(divmod, 1, 0),), ZeroDivisionError),
    ],
    ids=["function", "argument", "argument raises", "result", "error", "error raises here", "argument raises there"],
)
def test_what_cannot_be_pickled(executor, pool, function, arguments, error):
    """The future gets the error in pickling or unpickling; workers and the pool are as before."""
    executor.submit(calls.pid).result(LONG)
    workers = workers_of(executor)
    assert isinstance(executor.submit(function, *arguments).exception(LONG), error)
    array = np.ones(10000)
    assert isinstance(executor.submit(calls.everything, array, pool.zeros(3), lambda: 1).exception(LONG), Exception)
    assert executor.submit(calls.double, 1).result(LONG) == 2
    assert workers_of(executor) == workers
    await_true(lambda: pool.stats().allocated == 0)


def test_errors_that_are_lost_show_where_they_came_from(executor):
    """In place of an error that cannot be pickled or unpickled there is one that says so, and its traceback."""
    for function in (calls.raise_stubborn, calls.raise_strange):
        error = executor.submit(function).exception(LONG)
        assert "pickled" in str(error)
        assert function.__name__ in str(error.__cause__)


# --- workers that die ---


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    ("function", "argument", "exit_code", "says"),
    [
        (calls.kill_self, signal.SIGKILL, -9, "SIGKILL"),
        (calls.kill_self, signal.SIGUSR1, -10, "SIGUSR1"),
        (calls.exit_at_once, 3, 3, "exit code 3"),
        (calls.exit_at_once, 0, 0, "exit code 0"),
        (calls.same, calls.WhenUnpickled(os._exit, 4), 4, "exit code 4"),
    ],
    ids=["killed", "crashed", "exit", "exit well", "exit in unpickling"],
)
def test_a_worker_that_dies_costs_its_task(make, method, function, argument, exit_code, says, go):  # noqa: PLR0917 - the parts of a row
    """The future gets BrokenWorker, other tasks their results, and another worker takes the place."""
    executor = make(2, mp_context=multiprocessing.get_context(method))
    others = [executor.submit(calls.nap, 0.05, n) for n in range(4)]
    error = executor.submit(function, argument).exception(LONG)
    others += [executor.submit(calls.until, go, n) for n in range(4, 8)]
    assert (type(error), error.exit_code) == (bp.BrokenWorker, exit_code)
    assert says in str(error)
    assert str(error.pid) in str(error)
    assert isinstance(error, concurrent.futures.BrokenExecutor)
    await_true(lambda: len(workers_of(executor)) == 2)
    assert error.pid not in workers_of(executor)
    go.touch()
    assert [other.result(LONG) for other in others] == list(range(8))


def test_a_broken_worker_can_be_pickled():
    """A BrokenWorker comes through a pickle with all it says."""
    error = pickle.loads(pickle.dumps(bp.BrokenWorker("so", 5, -9)))
    assert (str(error), error.pid, error.exit_code) == ("so", 5, -9)


def test_killing_one_leaves_the_other_alone(executor, tmp_path, go):
    """While one worker is killed, the other one goes on with its task."""
    slow = executor.submit(calls.until, go, "done")
    doomed = executor.submit(calls.tell_and_sleep, tmp_path / "pid")
    os.kill(int(await_file(tmp_path / "pid")), signal.SIGKILL)
    assert isinstance(doomed.exception(LONG), bp.BrokenWorker)
    go.touch()
    assert slow.result(LONG) == "done"


@pytest.mark.parametrize(("retries", "deaths"), [(1, 1), (3, 2), (2, 2)])
def test_retries(make, tmp_path, retries, deaths):
    """A task is run again when its worker dies, as often as was asked for."""
    executor = make(2, retries=retries)
    assert executor.submit(calls.kill_the_first, tmp_path / "calls", deaths).result(LONG) == deaths + 1


def test_retries_have_an_end(make, tmp_path):
    """A task that kills each worker fails in the end; an error that it raises is not retried."""
    executor = make(2, retries=2)
    assert isinstance(executor.submit(calls.kill_the_first, tmp_path / "calls", 9).exception(LONG), bp.BrokenWorker)
    assert (tmp_path / "calls").stat().st_size == 3
    assert isinstance(executor.submit(calls.fail_the_first, tmp_path / "fails", 1).exception(LONG), OSError)


def test_an_idle_worker_is_killed(executor):
    """A worker that is killed while it is idle costs no task."""
    for _ in range(5):
        os.kill(executor.submit(calls.pid).result(LONG), signal.SIGKILL)
        assert executor.submit(calls.double, 1).result(LONG) == 2


def test_a_worker_that_did_not_take_its_task(make):
    """A worker that is killed before it has taken its task costs nothing: another one gets the task."""
    executor = make(1)
    pid = executor.submit(calls.pid).result(LONG)
    os.kill(pid, signal.SIGSTOP)
    task = executor.submit(calls.pid)
    await_true(lambda: executor._crew.busy)
    assert not task.done()
    os.kill(pid, signal.SIGKILL)
    assert task.result(LONG) != pid


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_the_worker_lives_on(make, tmp_path, method):
    """The death of a worker is noticed although a child of it keeps all its descriptors open."""
    executor = make(1, mp_context=multiprocessing.get_context(method))
    try:
        assert executor.submit(calls.leave_child_and_die, tmp_path / "child").exception(LONG).exit_code == -9
        assert executor.submit(calls.double, 1).result(LONG) == 2
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_arrays_of_a_dead_worker(executor, pool):
    """What a dead worker had of the pool comes back, and what it shared is not lost."""
    array = pool.zeros(10)
    error = executor.submit(calls.everything, array, np.ones(5000), calls.WhenUnpickled(os._exit, 1)).exception(LONG)
    assert isinstance(error, bp.BrokenWorker)
    executor.submit(calls.add_in_place, array, 1).result(LONG)
    assert array.all()
    await_true(lambda: pool.stats().allocated == 1)


# --- initializers ---


def test_an_initializer(make):
    """The initializer is called in each worker, before its first task."""
    executor = make(2, initializer=calls.set_letter, initargs=("x",))
    assert set(executor.map(calls.get_letter, range(10))) == {"x"}


def test_an_initializer_that_raises(make, tmp_path):
    """If the initializer always raises, all tasks get BrokenWorker, whose cause is the error, and so does submit."""
    executor = make(2, initializer=calls.fail_the_first, initargs=(tmp_path / "starts", 1 << 30))
    futures = [executor.submit(calls.double, n) for n in range(5)]
    for future in futures:
        error = future.exception(LONG)
        assert (type(error), error.pid) == (bp.BrokenWorker, None)
        assert str(error.__cause__) == "not yet"
        assert "not yet" in str(error)
    with pytest.raises(bp.BrokenWorker, match="not yet"):
        executor.submit(calls.double, 1)


def test_an_initializer_that_fails_a_few_times(make, tmp_path):
    """If the initializer raises only a few times, all tasks are done."""
    executor = make(2, initializer=calls.fail_the_first, initargs=(tmp_path / "starts", 5))
    assert list(executor.map(calls.double, range(10), timeout=LONG)) == [2 * n for n in range(10)]


def test_an_initializer_that_ends_the_worker(make):
    """If the initializer ends each worker, all tasks get BrokenWorker."""
    executor = make(2, initializer=os._exit, initargs=(3,))
    assert "exit code 3" in str(executor.submit(calls.double, 1).exception(LONG))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_initializer_that_cannot_be_pickled(make, method):
    """If no process can be started with the initializer, all tasks get BrokenWorker, after a single try."""
    executor = make(2, initializer=lambda: None, mp_context=multiprocessing.get_context(method))
    error = executor.submit(calls.double, 1).exception(LONG)
    assert type(error) is bp.BrokenWorker
    assert error.__cause__ is not None
    assert executor._crew.failures == 1


# --- cancelling and the end ---


def test_cancelling(make, tmp_path, go):
    """A task that no worker has can be cancelled; one that is running cannot."""
    executor = make(1)
    running = executor.submit(calls.until, go, 1)
    await_true(running.running)
    pending = executor.submit(calls.times, tmp_path / "calls")
    assert pending.cancel()
    assert not running.cancel()
    go.touch()
    assert running.result(LONG) == 1
    assert executor.submit(calls.double, 1).result(LONG) == 2
    assert not (tmp_path / "calls").exists()


def test_shutdown(make):
    """Shutdown finishes all tasks; then there are no workers, and no more tasks are taken."""
    executor = make(2)
    futures = [executor.submit(calls.nap, 0.05, n) for n in range(10)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == list(range(10))
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(calls.double, 1)
    executor.shutdown()


def test_shutdown_that_cancels(make, go):
    """Shutdown can cancel what no worker has, and wakes those who wait for these futures."""
    executor = make(2)
    futures = [executor.submit(calls.until, go, n) for n in range(20)]
    await_true(futures[0].running)
    waiting = threading.Thread(target=concurrent.futures.wait, args=(futures,))
    closing = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True})
    for thread in (waiting, closing):
        thread.start()
    await_true(futures[-1].cancelled)
    assert closing.is_alive()
    go.touch()
    for thread in (waiting, closing):
        thread.join(LONG)
        assert not thread.is_alive()
    assert 1 <= sum(not future.cancelled() for future in futures) <= 2
    assert all(future.done() for future in futures)


def test_shutdown_without_waiting(make, go):
    """Shutdown need not wait; tasks are finished all the same."""
    executor = make(2)
    future = executor.submit(calls.until, go, 1)
    executor.shutdown(wait=False)
    assert not future.done()
    go.touch()
    assert future.result(LONG) == 1


def test_shutdown_of_an_executor_without_tasks(make):
    """An executor that was never used has nothing to shut down."""
    make().shutdown()
    with make():
        pass


def test_a_dropped_executor_finishes_its_tasks(pool):
    """When an executor is dropped, its tasks are finished, and then its workers and threads end."""
    executor = bp.Executor(2, pool=pool)
    futures = [executor.submit(calls.nap, 0.1, n) for n in range(5)]
    manager = executor._crew.manager
    del executor
    gc.collect()
    assert [future.result(LONG) for future in futures] == list(range(5))
    manager.join(LONG)
    assert not manager.is_alive()


def test_shutdown_in_the_middle_of_deaths(make):
    """Shutdown returns although workers are killed meanwhile."""
    executor = make(2, retries=1)
    futures = [executor.submit(calls.nap, 0.05, n) for n in range(20)]
    await_true(lambda: workers_of(executor))
    closing = threading.Thread(target=executor.shutdown)
    closing.start()
    for _ in range(4):
        for pid in workers_of(executor):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
    closing.join(LONG)
    assert not closing.is_alive()
    assert all(future.done() for future in futures)


def test_a_closed_pool(make):
    """If the pool is closed, the workers that run go on; tasks fail when none can be started, and nothing hangs."""
    pool = bp.Pool.create("4KiB", 16)
    executor = make(1, pool=pool)
    assert executor.submit(calls.double, 1).result(LONG) == 2
    pool.close()
    assert executor.submit(calls.double, 1).result(LONG) == 2
    assert isinstance(executor.submit(calls.kill_self).exception(LONG), bp.BrokenWorker)
    with pytest.raises(bp.BrokenWorker) as caught:  # by the call if it is known by then
        executor.submit(calls.double, 1).result(LONG)
    assert type(caught.value.__cause__) is bp.PoolClosed
    assert executor._crew.failures == 1


# --- other processes ---


def test_a_forked_child_cannot_use_it(executor):
    """In a forked child, submit raises RuntimeError, shutdown does nothing, and the child can exit."""
    executor.submit(calls.double, 1).result(LONG)
    child = os.fork()
    if child == 0:
        try:
            executor.submit(calls.double, 1)
        except RuntimeError as error:
            executor.shutdown()
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert executor.submit(calls.double, 1).result(LONG) == 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("how", ["exits", "in a child", "in a thread", "unused", "with a long task"])
def test_an_exit_without_shutdown(run_program, method, how):
    """When a program ends without shutting its executor down, all tasks are done first, and nothing is said."""
    expected = "" if how == "unused" else "0\n2\n4\ndone\n"
    assert run_program("queues/exits.py", method, how) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_end_with_their_executor(method):
    """When the process of the executor is killed, its workers end by themselves, busy or idle."""
    with subprocess.Popen(
        interpreter("queues/is_killed.py", method),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 3
        process.kill()
        process.wait(LONG)
        await_true(lambda: all(is_gone(pid) for pid in workers))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_ctrl_c(method, tmp_path):
    """Ctrl-C in a terminal ends running tasks and drops others; the program ends soon, and its workers say nothing."""
    with subprocess.Popen(
        interpreter("queues/ctrl_c.py", method, tmp_path),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert process.stdout.readline() == "waits\n"
        await_true(lambda: len(list(tmp_path.iterdir())) == 2)  # both workers have begun
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=LONG)
    assert (process.returncode, out, err) == (0, "interrupted\n['KeyboardInterrupt', 'KeyboardInterrupt']\n", "")
    await_true(lambda: all(is_gone(pid) for pid in workers))  # they are no children of this process


def test_an_interrupt_of_a_worker(executor, tmp_path):
    """SIGINT ends the task that a worker is calling, and not the worker; an idle worker ignores it."""
    pid = executor.submit(calls.pid).result(LONG)
    os.kill(pid, signal.SIGINT)
    assert executor.submit(calls.pid).result(LONG) == pid
    task = executor.submit(calls.tell_and_sleep, tmp_path / "pid")
    assert int(await_file(tmp_path / "pid")) == pid
    for _ in range(6):
        os.kill(pid, signal.SIGINT)  # one that comes right before the sleep begins may not end it
        if concurrent.futures.wait([task], 5).done:
            break
    assert isinstance(task.exception(LONG), KeyboardInterrupt)
    assert executor.submit(calls.pid).result(LONG) == pid


# --- bad arguments ---


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"max_workers": "2"}, TypeError),
        ({"retries": -1}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"pool": "a pool"}, TypeError),
        ({"initializer": 3}, TypeError),
        ({"initargs": 3}, TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    """Arguments of a wrong type or value are refused at once."""
    with pytest.raises(error):
        bp.Executor(**arguments)


def test_a_private_pool_is_refused():
    """A private pool is refused, as workers cannot reach it."""
    with pytest.raises(ValueError, match="private"):
        bp.Executor(1, pool=bp.Pool(64, 4))


def test_a_chunk_size_of_nothing(executor):
    """A chunk has at least one call."""
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(calls.double, [1], chunksize=0)


def test_the_manager_fails(make, monkeypatch, go):
    """If the manager fails for whatever reason, no future is left waiting: what is not done gets BrokenWorker."""
    executor = make(1)
    running = executor.submit(calls.until, go, "done")
    await_true(running.running)
    pending = executor.submit(calls.nap, 0)
    monkeypatch.setattr(_executor._Crew, "give", lambda _crew: 1 / 0)
    go.touch()
    assert running.result(LONG) == "done"
    error = pending.exception(LONG)
    assert (type(error), type(error.__cause__)) == (bp.BrokenWorker, ZeroDivisionError)
    with pytest.raises(bp.BrokenWorker, match="ZeroDivisionError"):
        executor.submit(calls.nap, 0)


# --- all at once ---


@pytest.mark.stress
@pytest.mark.parametrize("retries", [0, 2])
def test_random_kills(make, pool, retries):
    """Workers are killed at random, and there are ten tasks for each kill: each future ends, as it should."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201 - shown if it fails
    random = np.random.default_rng(seed)
    executor = make(3, retries=retries)
    shared = pool.zeros(100)
    futures = [executor.submit(calls.everything, n, np.full(1000, n), shared) for n in range(8 * KILLS)]
    kills = 0
    while kills < KILLS:
        if executor._crew.busy == 0:
            futures += [executor.submit(calls.nap, 0.002, n) for n in range(len(futures), len(futures) + 100)]
        workers = list(executor._crew.alive.values())
        if workers and executor._crew.failures < 5:  # where starting takes long, all would die before they are ready
            try:
                os.kill(workers[random.integers(len(workers))].pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            kills += 1
        time.sleep(random.random() * 0.2)
    futures += [executor.submit(calls.nap, 0, n) for n in range(len(futures), 10 * KILLS)]
    lost = 0
    for n, future in enumerate(futures):
        error = future.exception(LONG)
        if error is None:
            result = future.result()
            assert result == n or (result[0][0] == n and (result[0][1] == n).all())
        else:
            assert (type(error), error.exit_code) == (bp.BrokenWorker, -9)
            lost += 1
    print(f"{len(futures)} tasks, {kills} kills, {lost} tasks lost")  # noqa: T201 - the same
    assert lost <= kills
