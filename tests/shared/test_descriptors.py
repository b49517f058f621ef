"""Programs that close files that are not theirs, or have no file descriptor left; threads whose files stay open."""

import textwrap

import pytest

# What programs need to lose their descriptors.
TOOLS = """
import errno, os, resource, signal, sys
import blockpool as bp
import blockpool.stats  # which the first answer would import

told, tell = os.pipe()
lives, live = os.pipe()

def stay():
    # until the parent is gone, or kills this process
    os.read(lives, 1)
    os._exit(1)

def close_others(*keep):
    # as daemons do; and have the numbers used by files of the program's own
    closed = {int(entry) for entry in os.listdir("/proc/self/fd")} - {0, 1, 2, *keep}
    for number in closed:
        try:
            os.close(number)
        except OSError:  # the one by which the directory was listed
            pass
    files = [os.memfd_create("log") for _ in closed]
    assert set(files) == closed
    return files

def are_usable(files):
    return all(os.write(file, b"log") == 3 for file in files)

def refused(call):
    try:
        call()
    except (OSError, bp.BlockPoolError) as error:
        return error
    raise AssertionError("it was not refused")

SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)

def leave_descriptors(count):
    # so many files more can be opened
    free = (number for number in range(1024) if not os.path.exists(f"/proc/self/fd/{number}"))
    limit = [next(free) for _ in range(count + 1)][-1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, HARD))

def restore_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))

def refused_without_descriptors(call, left=0):
    # with an error that says why and what to do
    before = sorted(os.listdir("/proc/self/fd"))
    leave_descriptors(left)
    try:
        error = refused(call)
    finally:
        restore_descriptors()
    assert isinstance(error, OSError) and error.errno == errno.EMFILE, repr(error)
    assert "descriptor" in str(error) and "ulimit -n" in str(error), error
    assert sorted(os.listdir("/proc/self/fd")) == before
    return True
"""

# A program with a pool, and a child that holds all of its blocks until it is killed.
HOLDER = (
    TOOLS
    + """
pool = bp.Pool.create(64, 2, name=sys.argv[1] or None)
child = os.fork()
if child == 0:
    os.close(live)
    blocks = pool.allocate_many(2)
    if "daemons" in sys.argv:
        files = close_others(tell, lives)
    os.write(tell, b"x")
    stay()
assert os.read(told, 1) == b"x"

def kill_child():
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
)


@pytest.fixture
def run_holder(run_python, pool_names):
    """Run such a program."""

    def run(code, *arguments, named):
        return run_python(HOLDER + textwrap.dedent(code), pool_names() if named else "", *arguments)

    return run


@pytest.mark.parametrize("named", [True, False])
def test_the_living_keep_their_blocks(run_holder, named):
    """A program that closes all files does not take other processes for dead, and sees who does die.

    Its pool's descriptor has another file's number meanwhile, which stays open.
    """
    run_holder(
        """
        files = close_others(live)
        assert pool.recover().processes == 0
        assert isinstance(refused(pool.allocate), bp.PoolExhausted)
        assert pool.stats().processes == 2
        kill_child()
        assert pool.recover().processes == 1
        for block in pool.allocate_many(2):
            block.buf[:] = bytes(64)
        pool.check()
        del block
        pool.close()
        assert are_usable(files)
        """,
        named=named,
    )


def test_nobody_is_taken_for_dead_when_that_cannot_be_known(run_holder):
    """While no process has the file of a pool open, recovering says so, and every block stays whose it is."""
    run_holder(
        """
        files = close_others(live)
        for _ in range(2):
            error = refused(pool.recover)
            assert type(error) is OSError and error.errno == errno.ESTALE, repr(error)
            assert "closed the pool's file descriptor" in str(error)
            assert isinstance(refused(pool.allocate), bp.PoolExhausted)
            assert pool.stats().allocated == 2
            if child:
                kill_child()
                child = None
        for call in (pool.check, lambda: pool.recover(tickets_older_than=0)):
            assert refused(call).errno == errno.ESTALE
        pool.close()
        other = bp.Pool.create(64, 1)
        other.allocate()
        assert are_usable(files)
        """,
        "daemons",
        named=False,
    )


@pytest.mark.parametrize("named", [True, False])
def test_without_descriptors(run_holder, named):
    """What needs a file descriptor when there is none is an OSError that says so, and changes nothing."""
    run_holder(
        """
        second = f"{pool.name or 'test'}-{os.getpid()}"
        for left in range(2):
            assert refused_without_descriptors(lambda: bp.Pool.create(64, 1), left)
            assert refused_without_descriptors(lambda: bp.Pool.create(64, 1, name=second), left)
        assert refused_without_descriptors(pool.check)
        assert refused_without_descriptors(lambda: pool.recover(tickets_older_than=0))
        if pool.name:
            assert refused_without_descriptors(pool.unlink)
        assert not os.path.exists(f"/dev/shm/blockpool.{second}")
        leave_descriptors(0)
        assert pool.recover().processes == 0
        restore_descriptors()
        kill_child()
        leave_descriptors(0)
        assert isinstance(refused(pool.allocate), bp.PoolExhausted)
        restore_descriptors()
        assert refused_without_descriptors(pool.recover)
        assert pool.stats().allocated == 2
        assert pool.recover().processes == 1
        block = pool.allocate()
        del block
        leave_descriptors(0)
        name = pool.name
        pool.close()
        restore_descriptors()
        error = refused(lambda: bp.Pool.attach(name or second))
        assert isinstance(error, bp.PoolNotFound), repr(error)
        """,
        named=named,
    )


def test_the_first_answer_without_descriptors(run_python):
    """A pool's first answer imports a module; when no descriptor is left for that, it says so and comes later."""
    run_python(
        TOOLS.replace("import blockpool.stats", "")
        + textwrap.dedent("""
            pool = bp.Pool.create(64, 2)
            for call in (pool.stats, pool.recover, pool.check, pool.residency):
                assert refused_without_descriptors(call)
            assert "blockpool.stats" not in sys.modules
            assert pool.stats().blocks == 2
            leave_descriptors(0)
            assert pool.recover().processes == 0
        """)
    )


def test_nothing_is_done_when_it_could_not_be_told(run_holder):
    """Where the module of the answers cannot be imported, nobody is recovered either, so that a later call tells it."""
    run_holder(
        """
        kill_child()
        kept, sys.modules["blockpool.stats"] = sys.modules["blockpool.stats"], None
        for call in (pool.recover, pool.check):
            try:
                call()
            except ImportError:
                continue
            raise AssertionError("it was not refused")
        sys.modules["blockpool.stats"] = kept
        assert pool.recover().processes == 1
        """,
        named=False,
    )


@pytest.mark.parametrize("named", [True, False])
def test_receiving_without_descriptors(run_python, pool_names, named):
    """A receiver without a free descriptor is told so, and the same ticket serves it later."""
    run_python(
        TOOLS
        + textwrap.dedent("""
            sender = os.fork()
            if sender == 0:
                os.close(live)
                pool = bp.Pool.create(64, 2, name=sys.argv[1] or None)
                block = pool.allocate()
                block.buf[:8] = b"received"
                os.write(tell, str(block.share()).encode())
                stay()
            ticket = os.read(told, 1000).decode()
            for left in range(2):
                assert refused_without_descriptors(lambda: bp.redeem(ticket), left)
                if sys.argv[1]:
                    assert refused_without_descriptors(lambda: bp.Pool.attach(sys.argv[1]), left)
            block = bp.redeem(ticket)
            assert bytes(block.buf[:8]) == b"received"
            assert block.pool.stats().tickets == 0
            os.kill(sender, signal.SIGKILL)
            os.waitpid(sender, 0)
        """),
        pool_names() if named else "",
    )


def test_a_mapping_that_does_not_fit(run_python):
    """A limit of address space is named as what it is, and the pool that fits is made."""
    run_python("""
        import resource
        import blockpool as bp

        with open("/proc/self/statm") as file:
            in_use = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (32 << 20), resource.RLIM_INFINITY))
        try:
            bp.Pool.create("1MiB", 64)
        except bp.PoolExhausted as error:
            assert "address space (ulimit -v)" in str(error), error
        else:
            raise AssertionError("it was not refused")
        assert bp.Pool.create(64, 4).allocate().nbytes == 64
    """)


def test_files_of_other_threads_stay_open(run_python, pool_names):
    """Nothing that makes, attaches, looks at or closes pools closes a file that another thread opened."""
    run_python(
        """
        import os, sys, threading
        import blockpool as bp

        pool = bp.Pool.create(64, 4, name=sys.argv[1])
        ended = threading.Event()
        failed = []

        def use_files():
            while not ended.is_set():
                reading, writing = os.pipe()
                try:
                    os.write(writing, b"x")
                    os.read(reading, 1)
                    os.close(reading)
                    os.close(writing)
                except OSError as error:
                    failed.append(error)

        thread = threading.Thread(target=use_files)
        thread.start()
        for _ in range(50):
            with bp.Pool.create(64, 1) as unnamed:
                ticket = unnamed.allocate().share()
                unnamed.check()
            with bp.Pool.create(64, 1, name=sys.argv[2]):
                pass
            for call in (
                lambda: bp.Pool.create(64, 1, name=sys.argv[1]),
                lambda: bp.Pool.attach(sys.argv[2]),
                lambda: bp.redeem(ticket),
            ):
                try:
                    call()
                except (bp.PoolExists, bp.PoolNotFound):
                    continue
                raise AssertionError("it was not refused")
            pool.recover(tickets_older_than=1000)
        ended.set()
        thread.join()
        assert not failed, failed[:3]
        """,
        pool_names(),
        pool_names(),
    )


@pytest.mark.parametrize("named", [True, False])
def test_a_program_without_standard_streams(run_python, pool_names, named):
    """Where stdin, stdout and stderr are closed, no pool takes their numbers: what is written there harms none."""
    run_python(
        TOOLS
        + """
import pickle

pool = bp.Pool.create(64, 4, name=sys.argv[1] or None)
message = pickle.dumps(pool)
told = os.dup(2)
child = os.fork()
if child == 0:
    pool.close()
    os.closerange(0, 3)
    try:
        other = bp.Pool.create(64, 4, name=sys.argv[2] or None)
        again = pickle.loads(message)
        again.check()
        grandchild = os.fork()
        for number in range(3):
            error = refused(lambda: os.write(number, b"written by a library in C" * 10))
            assert error.errno == errno.EBADF
        if grandchild:
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
    except BaseException as failure:
        os.write(told, repr(failure).encode())
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
pool.check()
""",
        *((pool_names(), pool_names()) if named else ("", "")),
    )
