"""What the package tells the logger ``blockpool``: each event, what a handler may do, and who hears nothing."""

import logging
import os
import signal
import threading
from contextlib import suppress

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
import calls
from blockpool import _core
from sweeps import unswept
from waits import await_true


@pytest.fixture
def heard(caplog):
    """Return a function that gives the records of an event so far."""
    caplog.set_level(logging.DEBUG, "blockpool")
    return lambda event: [record for record in caplog.records if getattr(record, "blockpool_event", "") == event]


@pytest.fixture
def no_rest():
    """Let exhaustion be told again at once; return a function that lets it rest."""
    before = _core.rest_after_exhaustion(0)
    yield lambda: _core.rest_after_exhaustion(before)
    _core.rest_after_exhaustion(before)


class Broken(logging.Handler):
    """A handler that raises."""

    def emit(self, record):
        """Fail."""
        raise RuntimeError(f"cannot write {record.getMessage()!r}")


@pytest.fixture
def with_handler():
    """Return a function that adds a handler to the logger until the test ends."""
    logger = logging.getLogger("blockpool")
    added = []

    def add(handler):
        added.append(handler)
        logger.addHandler(handler)

    yield add
    for handler in added:
        logger.removeHandler(handler)


def die_with(peer, pool, blocks):
    """Let another process die while it holds so many blocks of a pool; return its process id."""
    peer(f"pool = bp.Pool.attach({pool.name!r}); kept = [pool.allocate() for _ in range({blocks})]")
    peer.kill()
    return peer.pid


def refuse(pool):
    """Ask for a block, which there is not."""
    with pytest.raises(bp.PoolExhausted):
        pool.allocate()


# --- recovery ---


@pytest.mark.parametrize("by", ["recover", "allocate", "check", "wait"])
def test_a_recovery_is_a_warning(by, shared, peers, heard):
    """Whatever call brings back what a dead process held, a warning says who it was and how many blocks there were."""
    kept = shared.allocate_many(3)
    pid = die_with(peers(), shared, 13)
    if by == "recover":
        shared.recover()
    elif by == "check":
        shared.check()
    else:
        shared.allocate(timeout=0 if by == "allocate" else 60)
    (record,) = heard("recovered")
    assert (record.name, record.levelno) == ("blockpool", logging.WARNING)
    assert record.getMessage().startswith(f"pool {shared.name!r}: process {pid} (")
    assert record.getMessage().endswith(" ended without leaving it; 13 blocks came back")
    assert (record.blockpool_processes, record.blockpool_pids, record.blockpool_blocks) == (1, (pid,), 13)
    assert "python" in record.blockpool_commands[0]
    assert (record.blockpool_pool, record.blockpool_pool_id) == (shared.name, kept[0].handle.pool_id)
    shared.recover()
    assert len(heard("recovered")) == 1


def test_the_caller_is_named(shared, peers, heard):
    """A record names the line of the program that called the package."""
    die_with(peers(), shared, 1)
    shared.recover()
    (record,) = heard("recovered")
    assert (record.filename, record.funcName) == ("test_logging.py", "test_the_caller_is_named")


def test_who_held_nothing_is_no_warning(shared, peers, heard):
    """A process that ended without leaving, but held nothing, is worth no warning."""
    die_with(peers(), shared, 0)
    shared.recover()
    (record,) = heard("recovered")
    assert (record.levelno, record.blockpool_blocks) == (logging.INFO, 0)
    assert record.getMessage().endswith("no blocks came back")


def test_several_dead_processes_make_one_record(shared, peers, heard):
    """Processes that are recovered together are listed in one record."""
    several = [peers() for _ in range(3)]
    for peer in several:
        peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    for peer in several:
        peer.kill()
    shared.recover()
    (record,) = heard("recovered")
    assert sorted(record.blockpool_pids) == sorted(peer.pid for peer in several)
    assert (record.blockpool_processes, record.blockpool_blocks) == (3, 3)
    assert all(f"process {peer.pid} (" in record.getMessage() for peer in several)


def test_an_attach_that_recovers_is_logged(shared, peers, heard):
    """A process that attaches recovers the dead, and its log says so."""
    other = peers()
    other(
        """
        import logging
        messages = []
        class Handler(logging.Handler):
            def emit(self, record):
                messages.append((record.blockpool_event, record.blockpool_pids, record.blockpool_blocks))
        logging.getLogger("blockpool").addHandler(Handler())
        """
    )
    pid = die_with(peers(), shared, 4)
    assert other(f"pool = bp.Pool.attach({shared.name!r}); messages") == [("recovered", (pid,), 4)]
    shared.recover()
    assert heard("recovered") == []


def test_a_hostile_command_is_escaped(shared, peers, heard):
    """Control characters in the command of a dead process are escaped in the message, and are in the attribute."""
    peer = peers()
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    info = next(one for one in bp.inspect(shared).processes() if one.pid == peer.pid)
    with open(f"/dev/shm/blockpool.{shared.name}", "r+b") as file:  # noqa: S108, PTH123 - where pools are
        content = file.read(1 << 20)
        at = content.index(info.command.encode(), 4096)
        file.seek(at)
        file.write(b"\x1b[31mred\n\x00")
    peer.kill()
    shared.recover()
    (record,) = heard("recovered")
    assert record.getMessage().isprintable()
    assert r"'\x1b[31mred'" in record.getMessage()
    assert record.blockpool_commands == ("\x1b[31mred",)


def test_dropped_tickets_are_told(shared, heard):
    """Tickets that `recover` drops because they are old are told with their number."""
    shared.allocate().share(3)
    shared.recover(tickets_older_than=0)
    (record,) = heard("tickets_dropped")
    assert (record.levelno, record.blockpool_tickets) == (logging.INFO, 3)


# --- sweeps ---


@pytest.fixture
def told_of_leftover(pool_names, peers, file_of, heard):
    """Return a function that has `remove(name)` remove what a killed program left; it returns the name and the record.

    Another program may be quicker to remove it, and then there is another one.
    """

    def told_of(remove):
        found = []

        def is_told():
            name, peer = pool_names(), peers()
            peer(f"pool = bp.Pool.create(64, 8, name={name!r})")
            with unswept(file_of(name)):
                peer.kill()
            remove(name)
            found.extend((name, record) for record in heard("swept") if name in record.blockpool_pools)
            return found

        await_true(is_told)
        (told,) = found
        return told

    return told_of


def test_a_sweep_says_what_it_removed(told_of_leftover):
    """A sweep is told with the names and the size of what it removed; one that removed nothing is not told."""
    pool_name, record = told_of_leftover(lambda _: bp.sweep())
    assert record.levelno == logging.INFO
    assert repr(pool_name) in record.getMessage()
    assert record.blockpool_count >= 1
    assert record.blockpool_nbytes > 64 * 8
    assert record.blockpool_pool is None


def test_a_create_that_takes_the_name_of_a_dead_pool_is_told(told_of_leftover):
    """A create that removes a leftover of its name says so."""
    told_of_leftover(lambda name: bp.Pool.create(64, 16, name=name).close())


# --- exhaustion ---


@pytest.mark.usefixtures("no_rest")
def test_exhaustion_is_a_warning(each, heard):
    """A request for which there is no room makes a warning with the text of its error."""
    blocks = each.allocate_many(16)
    with pytest.raises(bp.PoolExhausted) as error:
        each.allocate()
    (record,) = heard("exhausted")
    assert record.levelno == logging.WARNING
    assert str(error.value) in record.getMessage()
    assert (record.blockpool_pool, record.blockpool_left_out) == (each.name, 0)
    assert (record.blockpool_pool_id is None) == (each.name is None)
    for block in blocks:
        block.free()


def test_exhaustion_is_told_once_a_minute(shared, heard, no_rest):
    """After a record of exhaustion, the pool makes none for a while; each pool has a while of its own."""
    no_rest()
    another = bp.Pool(64, 1)
    blocks = [shared.allocate_many(16), another.allocate()]
    for _ in range(5):
        refuse(shared)
    refuse(another)
    assert [record.blockpool_pool for record in heard("exhausted")] == [shared.name, None]
    del blocks


@pytest.mark.usefixtures("no_rest")
def test_what_was_left_out_is_counted(shared, heard):
    """The first record after a rest says how many were left out."""
    blocks = shared.allocate_many(16)
    _core.rest_after_exhaustion(0.5)
    refused = 0
    while len(heard("exhausted")) < 2:
        refuse(shared)
        refused += 1
    first, second = heard("exhausted")
    assert (first.blockpool_left_out, second.blockpool_left_out) == (0, refused - 2)
    assert f"({refused - 2} more since the last record of this)" in second.getMessage()
    del blocks


def test_a_wait_that_ends_without_room_is_told(shared, heard):
    """A request that waited and found no room is told like one that did not wait."""
    blocks = shared.allocate_many(16)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(timeout=0.01)
    assert len(heard("exhausted")) == 1
    del blocks


def test_no_room_for_messages_is_told(pool_name, heard):
    """A queue for whose message there is no room makes the same warning."""
    pool = bp.Pool.create(64, 4, name=pool_name, queue_room=8192)
    queue = pool.queue(capacity=64)
    with suppress(bp.PoolExhausted):
        for _ in range(64):
            queue.put(b"x" * 200, timeout=0)
    (record,) = heard("exhausted")
    assert "queue_room" in record.getMessage()


def test_a_child_tells_for_itself(shared, no_rest):
    """A forked child has told nothing yet: its first exhaustion makes a record, even right after one of its parent."""
    no_rest()
    blocks = shared.allocate_many(16)
    refuse(shared)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            handler = logging.Handler()
            handler.emit = lambda record: os.write(writing, record.blockpool_event.encode() + b"\n")
            logging.getLogger("blockpool").addHandler(handler)
            for _ in range(2):
                with suppress(bp.PoolExhausted):
                    shared.allocate()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "exhausted\n"
    shared.recover()
    del blocks


def test_segments_that_find_another_pool_are_not_told(run_python):
    """The pool of small segments of `blockpool.shared_memory` is full sooner or later; that is nothing to be told."""
    run_python(
        """
        import blockpool as bp
        bp.Pool.create(64, 1)  # the first one sweeps what other programs left, and would tell
        import logging
        logging.basicConfig(level=logging.DEBUG)
        from blockpool.shared_memory import SharedMemory
        made = [SharedMemory(create=True, size=4 << 20) for _ in range(3)]
        for each in made:
            each.close()
            each.unlink()
        """
    )


# --- sending ---


@pytest.fixture
def installed():
    """Return a function that installs a pool until the test ends."""
    yield lambda pool: carrier.install(pool, threshold=1)
    carrier.uninstall()


def test_a_refused_send_is_told_once(heard, installed):
    """Of the arrays that find no room in a pool, the first is told, with the reason."""
    from multiprocessing.reduction import ForkingPickler

    pools = [bp.Pool.create(4096, 1) for _ in range(2)]
    blocks = [pool.allocate() for pool in pools]
    for pool in pools:
        installed(pool)
        for _ in range(3):
            ForkingPickler.dumps(np.zeros(100))
    first, second = heard("sent_without_pool")
    assert first.levelno == logging.WARNING
    assert first.blockpool_pool_id == blocks[0].handle.pool_id != second.blockpool_pool_id
    assert "no room for 800 bytes; make the pool larger" in first.getMessage()


def test_a_send_through_a_closed_pool_is_told(heard, installed):
    """An array that is sent as it was before because the pool is closed is told with that reason."""
    from multiprocessing.reduction import ForkingPickler

    pool = bp.Pool.create(4096, 1)
    installed(pool)
    pool.close()
    ForkingPickler.dumps(np.zeros(100))
    (record,) = heard("sent_without_pool")
    assert "the pool is closed" in record.blockpool_reason


# --- executors ---


def test_a_dead_worker_is_told(heard):
    """A worker that dies is told with its process id, its exit code, and what became of its task."""
    with bp.Executor(1, pool=bp.Pool.create(4096, 64)) as executor:
        pid = executor.submit(os.getpid).result(60)
        with pytest.raises(bp.BrokenWorker):
            executor.submit(calls.kill_self).result(60)
        await_true(lambda: heard("worker_died"))  # the task learns of it first
        (record,) = heard("worker_died")
    assert record.levelno == logging.WARNING
    assert (record.blockpool_pid, record.blockpool_exit_code) == (pid, -signal.SIGKILL)
    assert record.getMessage() == f"executor: worker {pid} was killed by SIGKILL; its task is lost"


def test_a_worker_that_ends_well_is_not_told(heard):
    """An executor that is shut down has no dead workers."""
    with bp.Executor(1, pool=bp.Pool.create(4096, 64)) as executor:
        executor.submit(os.getpid).result(60)
    assert heard("worker_died") == heard("executor_broken") == []


def test_a_broken_executor_is_an_error(heard):
    """An executor whose workers cannot be started is told as an error, with the cause."""
    executor = bp.Executor(1, pool=bp.Pool.create(4096, 64), initializer=int, initargs=("x",))
    with executor, pytest.raises(bp.BrokenWorker):
        executor.submit(os.getpid).result(60)
    (record,) = heard("executor_broken")
    assert record.levelno == logging.ERROR
    assert "invalid literal for int()" in record.getMessage()


# --- handlers ---


@pytest.mark.usefixtures("no_rest")
def test_a_handler_that_raises_breaks_no_call(shared, peers, with_handler, capsys):
    """An error of a handler is shown as `logging` shows it, and the call does what it promises."""
    with_handler(Broken())
    die_with(peers(), shared, 16)
    block = shared.allocate()
    more = shared.allocate_many(15)
    refuse(shared)
    assert shared.recover() == bp.Recovered(processes=0, tickets=0)
    shown = capsys.readouterr().err
    assert shown.count("--- Logging error ---") == 2
    assert "RuntimeError: cannot write" in shown
    del block, more


@pytest.mark.usefixtures("no_rest")
def test_ctrl_c_in_a_handler_reaches_the_program(shared, with_handler):
    """Ctrl-C while a handler works is no error of the handler: the program gets it, and the pool is whole."""

    class Slow(logging.Handler):
        def emit(self, record):  # noqa: ARG002
            raise KeyboardInterrupt

    with_handler(Slow())
    blocks = shared.allocate_many(16)
    with pytest.raises(KeyboardInterrupt):
        shared.allocate()
    shared.check()
    del blocks


def test_a_handler_may_use_the_pool(shared, with_handler):
    """A handler may use the pool that the record is about, also to no avail: that makes no endless recursion."""
    seen = []

    class Uses(logging.Handler):
        def emit(self, record):
            seen.append(record.blockpool_event)
            refuse(shared)
            shared.check()

    with_handler(Uses())
    blocks = shared.allocate_many(16)
    refuse(shared)
    assert seen == ["exhausted"]
    del blocks


def test_several_threads_tell_once(shared, peers, heard):
    """However many threads recover at once, and find no room at once, each event is told once."""
    die_with(peers(), shared, 16)
    together = threading.Barrier(8)
    kept = []

    def work():
        together.wait()
        shared.recover()
        for _ in range(4):
            with suppress(bp.PoolExhausted):
                kept.append(shared.allocate())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.blockpool_blocks for record in heard("recovered")] == [16]
    assert len(heard("exhausted")) == 1
    assert len(kept) == 16


# --- who hears nothing ---


def test_nothing_is_imported(run_python):
    """A program that does not import `logging` gets no record, and no event imports it."""
    out = run_python(
        """
        import sys
        import blockpool as bp
        pool = bp.Pool.create(64, 1)
        block = pool.allocate()
        bp.sweep(), pool.recover(), pool.check()
        try:
            pool.allocate()
        except bp.PoolExhausted:
            print("refused")
        assert not {"logging", "traceback"} & set(sys.modules)
        """
    )
    assert out == "refused\n"


def test_a_program_without_handlers_gets_no_lines(run_python):
    """A program that imports `logging` and sets up no handler finds nothing on stderr."""
    out = run_python(
        """
        import logging
        import blockpool as bp
        pool = bp.Pool(64, 1)
        block = pool.allocate()
        try:
            pool.allocate()
        except bp.PoolExhausted:
            print(*map(type, logging.getLogger("blockpool").handlers))
        """
    )
    assert out == "<class 'logging.NullHandler'>\n"


@pytest.mark.parametrize("silent", [False, True])
def test_a_fork_without_a_place_is_not_lost(silent, run_python):
    """The warning of a fork without a place is a line on stderr if no handler gets it, unless the program says so."""
    code = f"""
        import logging, os, sys
        sys.stderr = sys.stdout
        os.dup2(1, 2)
        import blockpool as bp
        pool = bp.Pool.create(64, 1, processes=1)
        block = pool.allocate()
        try:
            pool.allocate()  # so that the logger has its own handler
        except bp.PoolExhausted:
            pass
        if {silent}:
            logging.getLogger("blockpool").addHandler(logging.NullHandler())
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        """
    out = run_python(code)
    assert out.count("blockpool: a forked child has no part in the pool") == (0 if silent else 1)


def test_half_imported_logging_is_no_logging(shared, monkeypatch):
    """While another thread imports `logging`, it is not used: its import may be anywhere."""
    blocks = shared.allocate_many(16)
    seen = []
    monkeypatch.setattr(logging.Logger, "log", lambda *given, **named: seen.append((given, named)))
    monkeypatch.setattr(logging.__spec__, "_initializing", True, raising=False)
    refuse(shared)
    assert seen == []
    monkeypatch.setattr(logging.__spec__, "_initializing", False, raising=False)
    another = bp.Pool(64, 1)
    block = another.allocate()
    refuse(another)
    assert len(seen) == 1
    del blocks, block


def test_a_fork_is_logged_with_its_fields(caplog):
    """The warning of a fork without a place has the attributes of its event."""
    pool = bp.Pool.create(64, 8, processes=1)
    with caplog.at_level(logging.WARNING, "blockpool"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    (record,) = caplog.records
    assert (record.blockpool_event, record.blockpool_children) == ("fork_without_part", 1)
    assert len(record.blockpool_pool_id) == 32
    pool.check()


def test_a_leak_of_a_debug_pool_has_its_fields(heard):
    """The warning of a debug pool about what is still allocated has the attributes of its event."""
    pool = bp.Pool(64, 8, debug=True)
    block = pool.allocate(blocks=2)
    pool.close()
    (record,) = heard("leaked")
    assert (record.blockpool_index, record.blockpool_blocks, record.blockpool_nbytes) == (block.index, 2, 128)
    assert "test_logging.py" in record.blockpool_stack
