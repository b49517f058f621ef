"""Asking questions: each of them, and contenders that are slow, crash, hang, refuse or leave something behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("numpy")

from blockpool import PoolExhausted
from blockpool.bench import machine
from blockpool.bench.peers import PEERS
from blockpool.bench.questions import QUESTIONS, scaling
from blockpool.bench.runner import ask
from blockpool.bench.tasks import Statement
from programs import environment
from waits import await_true

SHARED = Path("/dev/shm")  # noqa: S108 - where shared memory is
BY_NAME = {name.rpartition(".")[2]: name for name in PEERS}
LOCAL, OTHER = "python_bytearray", "shared_memory"
TAKE_PART = {
    "create": (LOCAL, OTHER, "python_object"),
    "first_write": ("mmap_anonymous", OTHER),
    "hand_off": (OTHER, "multiprocessing_queue"),
    "growth": ("numpy_empty", "multiprocessing_heap"),
    "scaling": (LOCAL, "multiprocessing_heap"),
    "memory": (LOCAL, OTHER),
    "engines": ("engine_glibc",),
    "tails": (LOCAL, OTHER),
}


def peers(*names):
    """Return the modules of peers."""
    return [BY_NAME[name] for name in names]


def entries():
    """Return what is in /dev/shm and is of a contender."""
    return {entry.name for entry in SHARED.iterdir() if f"bp-bench-{os.getpid()}-" in entry.name}


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_question_has_an_answer(question, small):
    """A small case of each gives a line for every peer that has a part in it, and leaves nothing behind."""
    more = {"rounds": 8, "seconds": 0.05} if question == "tails" else {}  # a percentile needs some delays
    cases = small(question, keep=slice(None) if question in {"scaling", "tails"} else slice(1), **more)
    before = entries()
    found = ask([question], quick=True, peers=peers(*TAKE_PART[question]))
    assert found.complete
    assert [gap for gap in found.gaps if gap.failed] == []
    assert {line.peer for line in found.lines} == {each.name for each in found.contestants if not each.ours}
    assert {line.group for line in found.lines} == {case.group for case in cases}
    for line in found.lines:
        assert line.ours_value > 0
        assert line.peer_value > 0
        assert line.low <= line.ratio <= line.high
    assert entries() == before


def test_receivers_that_spin(small):
    """Two ends that spin hand over as well; a peer that cannot has no part, and that is no failure."""
    small("hand_off", keep=slice(2, 3))
    found = ask(["hand_off"], quick=True, peers=peers(OTHER))
    assert [(gap.contender, gap.failed) for gap in found.gaps] == [("SharedMemory", False)]
    assert found.lines == ()


def test_a_slow_peer_is_beaten_and_a_quick_one_is_not(small, planted):
    """The verdicts follow the numbers: the ratio is ours to the peer's."""
    small("engines", rounds=9)
    slow, quick = planted("slow", "return 1e9"), planted("quick", "return 1e-3")
    found = ask(["engines"], quick=True, peers=[slow, quick])
    assert [(line.peer, line.verdict, len(line.pairs)) for line in found.lines] == [
        ("slow", "won", 9),
        ("quick", "lost", 9),
    ]
    assert found.lines[0].ratio < 1 < found.lines[1].ratio


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("os.closerange(3, 64); time.sleep(3600)", "closed its connection"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os.write(2, b'last words'); os._exit(3)", "ended with status 3: last words"),
        ("raise ValueError('not today')", "ValueError: not today"),
    ],
)
def test_a_peer_that_fails_costs_its_line(turn, why, small, planted):
    """It is reported with what happened, in each case, and all others are measured."""
    small("engines", keep=slice(2))
    found = ask(["engines"], quick=True, peers=[planted("broken", turn), *peers("engine_glibc")])
    assert [(gap.contender, gap.why, gap.failed) for gap in found.gaps] == [("broken", why, True)] * 2
    assert [line.peer for line in found.lines] == ["malloc, glibc"] * 2
    assert found.complete


def test_a_peer_that_hangs_is_left_out(small, planted):
    """One that does not answer in time is ended, and has no part in what is left of the question."""
    small("engines", keep=slice(2))
    hangs = planted("hangs", "time.sleep(3600)")
    found = ask(["engines"], quick=True, peers=[hangs, *peers("engine_glibc")], turn_seconds=15)
    first, second = found.gaps
    assert first.why == "hung: no answer within 15 seconds"
    assert second.why.startswith("left out after it hung")
    assert [line.peer for line in found.lines] == ["malloc, glibc"] * 2


def test_a_peer_may_decline_in_its_turn(small, planted):
    """It has no part in the case, which is no failure."""
    small("engines")
    turn = "from blockpool.bench.tasks import Declined; raise Declined('too many')"
    found = ask(["engines"], quick=True, peers=[planted("modest", turn)])
    assert [(gap.contender, gap.why, gap.failed) for gap in found.gaps] == [("modest", "too many", False)]


def test_a_peer_that_cannot_be_imported_is_absent(small, planted, tmp_path):
    """It is among the contestants, with what is wrong."""
    small("engines")
    name = planted("hollow", "return 1.0")
    program = tmp_path / "hollow.py"
    program.write_text(program.read_text().replace('return "1.0"', "import no_such_module"))
    found = ask(["engines"], quick=True, peers=[name])
    absent = {each.name: each.absent for each in found.contestants}
    assert "No module named 'no_such_module'" in absent["hollow"]
    assert found.lines == ()


def test_a_peer_that_needs_an_environment_says_so(small):
    """Without an environment such a peer is absent, and nothing is installed."""
    small("create")
    found = ask(["create"], quick=True, peers=peers("kickmsg_slots", LOCAL))
    absent = {each.name: each.absent for each in found.contestants}
    assert "--no-peers" in absent["kickmsg"]
    assert {line.peer for line in found.lines} == {"bytearray"}


def test_what_a_killed_peer_leaves_is_removed(small, planted, tmp_path):
    """Segments that it had mapped are gone, those of others are not."""
    note = tmp_path / "name"
    turn = (
        "from multiprocessing.shared_memory import SharedMemory as S; self.kept = S(create=True, size=99); "
        f"from pathlib import Path; Path({str(note)!r}).write_text(self.kept.name); time.sleep(3600)"
    )
    small("engines")
    ask(["engines"], quick=True, peers=[planted("leaky", turn)], turn_seconds=15)
    assert not (SHARED / note.read_text()).exists()


def test_what_bears_its_name_is_removed(small, planted, tmp_path):
    """A file with the name that a peer is given goes with its process, though it was never mapped."""
    note = tmp_path / "name"
    turn = (
        "from pathlib import Path; from blockpool.bench.peers._peer import own_name; "
        f"left = Path('/dev/shm', own_name() + 'left'); left.touch(); Path({str(note)!r}).write_text(str(left)); "
        "return 1.0"
    )
    small("engines")
    before = entries()
    ask(["engines"], quick=True, peers=[planted("named", turn)])
    assert Path(note.read_text()).parent == SHARED
    assert entries() == before


RECEIVES = """
import os, time
from pathlib import Path
from blockpool.bench.peers import Peer

PEER = Peer("endless", "it is made up", against="shared_pool")

def version():
    return "1.0"

class Sender:
    token = None

    def send(self):
        pass

    def wait(self):
        time.sleep(3600)

    def close(self):
        pass

class Receiver:
    def answer(self):
        pass

    def receive(self):
        Path(os.environ["NOTE"]).write_text(f"{os.getpid()} ")
        time.sleep(3600)

def sender(size, waiting):
    return Sender()

def receiver(token, size, waiting):
    return Receiver()
"""


def test_nothing_outlives_it_when_it_is_killed(tmp_path):
    """Contenders end with it, and so does what they started, in the middle of a turn too."""
    (tmp_path / "endless.py").write_text(RECEIVES)
    note = tmp_path / "note"
    program = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from blockpool.bench.runner import ask
        ask(["hand_off"], quick=True, peers=["endless"])
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment() | {"NOTE": str(note), "TMPDIR": str(tmp_path)},
    ) as process:
        await_true(lambda: process.poll() is not None or (note.exists() and note.read_text().endswith(" ")))
        process.kill()
    receiver = Path("/proc", note.read_text().strip(), "cmdline")

    def runs():
        try:
            return bool(receiver.read_bytes())
        except OSError:  # it has ended
            return False

    try:
        await_true(lambda: not runs())
    finally:
        if runs():
            os.kill(int(note.read_text()), signal.SIGKILL)


def test_a_statement_that_fails_in_a_thread_is_no_number():
    """A contender that does nothing while the clock goes is not taken for a slow one."""

    def fail():
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("not here")

    peer = SimpleNamespace(create=lambda _size: Statement("fail()", {"fail": fail}))
    task = scaling.prepare(peer, "threads", 2, 0.01)
    with pytest.raises(ValueError, match="not here"):
        task.turn()
    task.close()


def test_too_little_memory_is_said_before_it_begins(small, monkeypatch):
    """Nothing is scaled down: it is refused, with what it needs, what there is, and what to do."""
    small("create")
    monkeypatch.setattr(machine, "_free_shared", lambda: 1000)
    with pytest.raises(PoolExhausted, match=r"create, 64 B needs some \d+ bytes of shared memory.*1000 bytes left"):
        ask(["create"], quick=True, peers=peers(LOCAL))


INTERRUPTED = """
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in this process
    sys.path.insert(0, {folder!r})
    from blockpool.bench.questions import engines
    from blockpool.bench.runner import ask
    whole = engines.cases(quick=True)
    engines.cases = lambda *, quick: [whole[0]._replace(rounds=3), whole[1]._replace(rounds={rounds})]
    found = ask(["engines"], quick=True, peers=[{peer!r}])
    print(found.complete, len(found.lines), found.lines[0].case, len(found.lines[0].pairs), found.questions[0].done)
"""


def test_an_interrupt_between_two_cases_is_not_lost(planted, tmp_path):
    """Ctrl-C while contenders let go of a case ends all, like any other."""
    name = planted("late", "return 1.0")
    peer = tmp_path / "late.py"
    peer.write_text(peer.read_text().replace("pass", "os.kill(os.getppid(), signal.SIGINT); time.sleep(1)"))
    program = textwrap.dedent(INTERRUPTED).format(folder=str(tmp_path), peer=name, rounds=3)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["False", "1", "64", "B", "3", "False"]


def test_an_interrupt_keeps_what_was_measured(small, planted, tmp_path):
    """After Ctrl-C in the second case there are the lines of the first, and of the second as far as it came."""
    small("engines")
    note = tmp_path / "turns"
    turn = f"open({str(note)!r}, 'a').write('x'); return 1.0"
    program = INTERRUPTED.format(folder=str(tmp_path), peer=planted("counted", turn), rounds=10**9)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        await_true(lambda: process.poll() is not None or (note.exists() and note.read_text().count("x") >= 6))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert out.split() == ["False", "2", "64", "B", "3", "False"]
