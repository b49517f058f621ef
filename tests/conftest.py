"""What the tests share.

Pools, «nothing changed», fresh interpreters, other processes, and a look at a pool's bookkeeping.
"""

import ctypes
import dataclasses
import gc
import itertools
import os
import pickle
import select
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import blockpool as bp

# In CI the examples are the same each time; elsewhere new ones are tried, and a failure prints how to repeat it.
hypothesis.settings.register_profile("local", deadline=None, print_blob=True, max_examples=60, stateful_step_count=40)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("local"), derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


# A shell that starts the tests in the background has them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Take what was imported so far out of the collector's sight: a full pool runs it, in thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def pool():
    """Make a small pool, and audit its bookkeeping after the test."""
    made = bp.Pool("4KiB", 16)
    yield made
    if not made.closed:
        made.check()
        made.close()


@contextmanager
def _watch(pool, *, failures=0):
    before = pool.stats(), pool.runs(), pool.check()
    yield
    stats = pool.stats()
    stats = dataclasses.replace(stats, failures=stats.failures - failures)
    assert (stats, pool.runs(), pool.check()) == before


@pytest.fixture
def unchanged():
    """Watch the pool during a `with`: nothing of its state may differ afterwards.

    `failures` is how many requests are meant to find no room; nothing else may count them.
    """
    return _watch


@pytest.fixture
def run_python():
    """Run code in a fresh interpreter; it must end well and say nothing on stderr."""

    def run(code, *arguments, options=()):
        done = subprocess.run(
            [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


PROGRAMS = Path(__file__).with_name("programs")
SUPPORT = Path(__file__).with_name("support")


@pytest.fixture
def run_program():
    """Run a file of tests/programs in a fresh interpreter; it must end well and say nothing on stderr."""

    def run(path, *arguments, options=(), timeout=60):
        done = subprocess.run(
            [sys.executable, "-W", "error", *options, PROGRAMS / path, *arguments],
            env=os.environ | {"PYTHONPATH": str(SUPPORT)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


class Bookkeeping:
    """Where a pool's words are. Its own memory is searched for them: the product has no hook for this.

    The C structure stands at the start of a mapping of its own, which the kernel may have joined with its neighbours:
    first the pointers to words and chunk summaries; later the pointer to the continuation marks, then data, block
    size, blocks, and the count of waiters.
    """

    def __init__(self, pool):
        known = struct.pack("<QQQ", pool.address, pool.block_size, pool.blocks)
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            for line in Path("/proc/self/maps").read_text().splitlines():
                span, permissions, _, _, _, *path = line.split()
                if path or permissions != "rw-p":
                    continue
                start, end = (int(address, 16) for address in span.split("-"))
                try:
                    content = os.pread(memory.fileno(), min(end - start, 16 << 20), start)
                except OSError:
                    continue  # gone meanwhile
                if self._find(content, known, start):
                    return
        raise LookupError("the pool's bookkeeping was not found; did struct pool change?")

    def _find(self, content, known, start):
        """Look in the content of a mapping.

        There may be copies, the content that an earlier look read among them; but only the original has its words
        where it ends: soon after what is known, on a cache line.
        """
        words = np.frombuffer(content, "<u8", len(content) // 8)
        address = int.from_bytes(known[:8], "little")
        for at in (np.flatnonzero(words == address) * 8).tolist():
            if at < 8 or content[at : at + len(known)] != known:
                continue
            head = at & ~4095
            self.words, self.chunks = struct.unpack_from("<QQ", content, head)
            behind = self.words - (start + at + len(known))
            if 0 < behind <= 256 and self.words % 64 == 0 and self.words < self.chunks:
                (self.continuations,) = struct.unpack_from("<Q", content, at - 8)
                self._waiting = ctypes.c_uint32.from_address(start + at + len(known))
                return True
        return False

    @property
    def waiting(self):
        """How many threads wait for room."""
        return self._waiting.value

    def await_waiting(self, count=1):
        """Return when so many threads wait for room."""
        deadline = time.monotonic() + 30
        while self.waiting != count:
            assert time.monotonic() < deadline, f"{self.waiting} threads wait, not {count}"
            time.sleep(0.001)

    @contextmanager
    def changed(self, address, flip):
        """Flip the bits `flip` of the word at `address` meanwhile."""
        word = ctypes.c_uint64.from_address(address)
        word.value ^= flip
        try:
            yield
        finally:
            word.value ^= flip


@pytest.fixture
def bookkeeping():
    """Find the words of a pool."""
    return Bookkeeping


SHM = Path("/dev/shm")  # noqa: S108 - where pools are
_numbers = itertools.count()


def _file_of(name):
    return SHM / f"blockpool.{name}"


@pytest.fixture
def pool_names():
    """Give names of which there is no pool; the pools that still have them afterwards are removed."""
    given = []

    def new():
        given.append(f"test-{os.getpid()}-{next(_numbers)}")
        return given[-1]

    yield new
    for name in given:
        _file_of(name).unlink(missing_ok=True)


@pytest.fixture
def pool_name(pool_names):
    """Give one such name."""
    return pool_names()


@pytest.fixture
def file_of():
    """Give the file of the pool of that name."""
    return _file_of


@pytest.fixture
def shared(pool_name):
    """Make a small shared pool, and audit its bookkeeping after the test."""
    made = bp.Pool.create("4KiB", 16, name=pool_name)
    yield made
    if not made.closed:
        made.check()
        made.close()


@pytest.fixture(params=["private", "debug", "shared"])
def each(request):
    """Make a pool of each kind in turn, with debug mode as one: 16 blocks of 4 KiB."""
    if request.param == "debug":
        return bp.Pool("4KiB", 16, debug=True)
    return request.getfixturevalue("pool" if request.param == "private" else "shared")


ARRAYS = {
    "empty": lambda pool: pool.empty((16, 64)),
    "zeros": lambda pool: pool.zeros((16, 64)),
    "full": lambda pool: pool.full((16, 64), 2.5),
    "asarray": lambda pool: pool.asarray([[1.0] * 64] * 16),
    "array": lambda pool: pool.allocate(blocks=2).array((16, 64)),
}


@pytest.fixture(params=ARRAYS.values(), ids=ARRAYS)
def make_array(request):
    """Make an array of 16 x 64 numbers in a pool, in each way in turn."""
    return request.param


@pytest.fixture
def carrying(pool_name):
    """Make shared pools through which arrays travel; nothing may be left in them, nor in flight."""
    with ExitStack() as ends:
        yield lambda *geometry: ends.enter_context(_carrying(pool_name, *geometry))


@contextmanager
def _carrying(name, *geometry):
    from blockpool import multiprocessing as carrier  # takes NumPy, which not all tests need

    made = bp.Pool.create(*geometry, name=name)
    carrier.install(made)
    yield made
    carrier.uninstall()
    if not made.closed:
        made.check()
        assert (made.stats().allocated, made.stats().tickets) == (0, 0)
        made.close()


@pytest.fixture
def await_waiting():
    """Return when so many processes wait for room in the pool of that name."""

    def wait(name, count=1, seconds=30):
        deadline = time.monotonic() + seconds
        with _file_of(name).open("rb") as file:
            while os.pread(file.fileno(), 8, 128) and (
                int.from_bytes(os.pread(file.fileno(), 8, 128), "little").bit_count() != count
            ):
                assert time.monotonic() < deadline, f"not {count} processes wait"
                time.sleep(0.001)

    return wait


@pytest.fixture
def run_script(tmp_path):
    """Run code as a program of its own, whose functions multiprocessing can import.

    It must end well, without a word.
    """

    def run(code, *arguments, timeout=60):
        path = tmp_path / f"script{next(_numbers)}.py"
        path.write_text(textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, "-W", "error", path, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


@pytest.fixture
def run_in_small_shm():
    """Run code in a fresh interpreter that has a /dev/shm of a few MiB to itself.

    It must end well and say nothing on stderr.
    """
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("to mount a /dev/shm takes root and unshare(1)")

    def run(code, mebibytes):
        mount = f'mount -t tmpfs -o size={mebibytes}m tmpfs /dev/shm || exit 77; exec "$@"'
        done = subprocess.run(
            [
                unshare,
                "-m",
                "sh",
                "-c",
                mount,
                "sh",
                sys.executable,
                "-W",
                "error",
                "-c",
                textwrap.dedent(code),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 77 or "unshare failed" in done.stderr:
            pytest.skip("mounting is not permitted here: " + done.stderr.strip())
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


@pytest.fixture
def forking():
    """Give what programs that fork begin with."""
    return """
import gc, os, pickle, signal, sys, threading, time, traceback, warnings
import blockpool as bp

warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads is what some of these are about

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

def await_child(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def steps():
    reading, writing = os.pipe()
    return (lambda: os.read(reading, 1)), (lambda: os.write(writing, b"x"))

"""


@pytest.fixture
def run_forking(run_python, forking):
    """Run such a program, without threads that it did not start itself."""
    return lambda code, *arguments: run_python(forking + textwrap.dedent(code), *arguments)


class Peer:
    """Another process, that runs what it is told.

    `peer("code")` returns the value of the last expression, or raises.
    """

    MAIN = """
import ast, gc, os, pickle, signal, sys, threading, time
import blockpool as bp
names = dict(globals())
while True:
    try:
        code = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        body = ast.parse(code).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "told", "exec"), names)
        told = True, eval(compile(last, "told", "eval"), names) if last else None
    except BaseException as error:
        told = False, error.with_traceback(None)
        error.__context__ = None
    sys.stdout.buffer.write(pickle.dumps(told))
    sys.stdout.buffer.flush()
    told = None
"""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", self.MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.doomed = False

    def start(self, code):
        """Let it begin; `answer` has what comes of it."""
        pickle.dump(textwrap.dedent(code), self.process.stdin)
        self.process.stdin.flush()

    def answers(self, seconds):
        """Whether there is an answer before so much time is over."""
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def answer(self):
        """Return the value of what was started, or raise."""
        assert self.answers(60), "no answer"
        well, value = pickle.load(self.process.stdout)
        if not well:
            raise value
        return value

    def __call__(self, code):
        """Run it there, and wait for what comes of it."""
        self.start(code)
        return self.answer()

    def kill(self, number=signal.SIGKILL):
        """Kill it, and wait for its end."""
        self.doomed = True
        self.process.send_signal(number)
        self.process.wait(30)

    def end(self):
        """Let it exit; unless killed, it must end well and say nothing on stderr."""
        if self.process.stdin.closed:
            return
        try:
            _, said = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
        assert self.doomed or (self.process.returncode, said) == (0, b""), said.decode()


@pytest.fixture
def peers():
    """Start other processes."""
    started = []

    def start():
        started.append(Peer())
        return started[-1]

    yield start
    for peer in started:
        peer.end()


@pytest.fixture
def peer(peers):
    """Start another process."""
    return peers()
