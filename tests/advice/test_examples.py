"""The programs in examples/advice, in small: the same with and without a pool, and advice on a capture of each."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from programs import run_command, run_quietly

pytest.importorskip("numpy")

EXAMPLES = Path(__file__).parents[2] / "examples" / "advice"

THUMBNAILS = ("thumbnails.py", "--pictures", "4", "--requests", "12", "--scale", "2")
SCORING = ("scoring.py", "--payments", "20000", "--chunk", "5000")
LOG = ("log_entries.py", "--lines", "500")

# What each program imports, besides NumPy.
NEEDS = {"thumbnails.py": ("PIL",), "scoring.py": ("pandas", "sklearn"), "log_entries.py": ()}

SAID = re.compile(
    r"(?P<what>thumbnails|payments): (?P<count>\d+), digest (?P<digest>[0-9a-f]{16})\n"
    r"rate: \d+(\.\d)? (pictures|payments)/s\n"
    r"elapsed: \d+\.\d\d s, of processors \d+\.\d\d s\n"
    r"page faults: \d+\n"
    r"peak resident memory: \d+ MiB\n"
    r"(pool: up to (?P<peak>\d+) of (?P<blocks>\d+) blocks; (?P<failures>\d+) arrays found no room\n)?"
)

# What memray says of an interpreter that is linked to fixed addresses, and mends itself.
CORRECTED = r"Memray WARNING: Correcting symbol for \w+ from 0x\w+ to 0x\w+\n"


def run(program, *options):
    """Run a program and return what it says; it must be all that it should say."""
    for module in NEEDS[program]:
        pytest.importorskip(module)
    printed = run_quietly([sys.executable, EXAMPLES / program, *options], timeout=300)
    said = SAID.fullmatch(printed)
    assert said, printed
    return said


def captured(tmp_path, *program, options=()):
    """Run a program under memray, and return the file of the capture."""
    pytest.importorskip("memray")
    for module in NEEDS[program[0]]:
        pytest.importorskip(module)
    path = tmp_path / "capture.bin"
    command = [sys.executable, "-m", "memray", "run", "-q", *options, "-o", path, EXAMPLES / program[0], *program[1:]]
    _, done = run_command(command, timeout=300)
    said = re.sub(CORRECTED, "", done.stderr)
    assert (done.returncode, said) == (0, ""), done
    return path


@pytest.mark.parametrize("program", [THUMBNAILS, SCORING], ids=lambda program: program[0])
def test_a_program_finds_the_same_with_a_pool(program):
    """With and without the pool the results are the same, the pool is used, and no array is refused."""
    plain, pooled = run(*program), run(*program, "--pool")
    assert plain["digest"] == pooled["digest"]
    assert plain["peak"] is None
    assert 0 < int(pooled["peak"]) <= int(pooled["blocks"])
    assert pooled["failures"] == "0"


def test_another_seed_makes_another_result():
    """The digest depends on what the program computes."""
    assert run(*THUMBNAILS)["digest"] != run(*THUMBNAILS, "--seed", "2")["digest"]


def test_the_log_has_the_errors_that_its_seed_makes():
    """The program without a pool counts the same errors each time."""
    printed = run_quietly([sys.executable, EXAMPLES / LOG[0], *LOG[1:]])
    assert re.fullmatch(r"entries: 500, 22 of them errors, of 16 paths; the slowest: [\d.]+ s\nrate: \d+ .*\n", printed)


@pytest.mark.parametrize(
    ("program", "function", "least"),
    [(THUMBNAILS, "improved", 2**20), (SCORING, "scored", 2**17)],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_the_advice_on_a_program_is_what_its_trace_needs(tmp_path, program, function, least):
    """The pool that is recommended for its large arrays serves them with the peak foretold, and refuses nothing.

    With a block less it refuses some. (The verdict depends on times, so not on the program alone.)
    """
    pytest.importorskip("pyarrow")
    advice, replay, traces = map(importlib.import_module, ("blockpool.advice", "blockpool.replay", "blockpool.traces"))
    trace = traces.read(captured(tmp_path, *program))
    part = traces.select(trace, stack=function, sizes=(least, None))
    assert 0 < len(part) < len(trace)
    found = advice.advise(trace, stack=function, sizes=(least, None), pools=1, measure=False)
    assert found.outline.allocations == (part.kind == traces.ALLOCATE).sum()
    assert any(each.where.file.endswith(program[0]) for each in found.sites)
    (plan,) = found.recommended.plans
    replayed = replay.simulate(part, found.recommended.plans)
    assert (replayed.failures, replayed.peak_blocks) == (0, found.recommended.peak_blocks)
    assert replayed.peak_bytes == found.outline.peak_bytes == traces.peak(part)
    assert replay.simulate(part, [replay.Plan(plan.block_size, plan.blocks - 1)]).failures > 0


def test_the_advice_on_the_log_is_not_to_use_a_pool(tmp_path):
    """Of many small objects the advice says that a pool is the wrong choice, and why."""
    pytest.importorskip("pyarrow")
    advice, traces = map(importlib.import_module, ("blockpool.advice", "blockpool.traces"))
    trace = traces.read(captured(tmp_path, *LOG, options=["--trace-python-allocators"]))
    found = advice.advise(trace, stack="log_entries.py", pools=1, measure=False)
    assert not found.use
    assert found.outline.median <= 512
    assert found.reasons[0].startswith("At least half of the requests are for at most")
