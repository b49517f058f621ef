"""Do the example programs gain from the pools that `blockpool advise` recommends for them?

The programs are those of examples/advice. Each runs in a fresh process, without the pool and with it in turn, and says
what it needed: processor time and elapsed time of its work, which includes making the pool, and the most resident
memory of the whole process. Other work on the machine disturbs the elapsed time most, and the memory not at all.

    python benchmarks/advised_programs.py [PROGRAM.py]...
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import _measure

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "advice"
PROGRAMS = {"thumbnails.py": ("PIL",), "scoring.py": ("pandas", "sklearn")}  # with what each needs
_measure.PAIRS = 11  # each takes seconds

SAID = re.compile(
    r"digest (?P<digest>\w+)\nrate: [^\n]*\nelapsed: (?P<elapsed>[\d.]+) s, of processors (?P<processor>[\d.]+) s\n"
    r"page faults: (?P<faults>\d+)\npeak resident memory: (?P<peak>\d+) MiB\n"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of a program said: its result, seconds, page faults, and MiB."""

    digest: str
    elapsed: float
    processor: float
    faults: float
    peak: float


def run(program: str, *options: str) -> Run:
    """Run a program in a fresh process."""
    command = [sys.executable, str(EXAMPLES / program), *options]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    said = SAID.search(printed)
    assert said, f"{program} said something else:\n{printed}"
    return Run(said["digest"], *(float(said[name]) for name in ("elapsed", "processor", "faults", "peak")))


def compared(program: str) -> tuple[list[_measure.Comparison], list[_measure.Comparison]]:
    """Run a program both ways in turn; return how they differ in times, and in other numbers."""
    run(program)  # brings its files and libraries into memory
    pairs = [(run(program, "--pool"), run(program)) for _ in range(_measure.PAIRS)]
    assert len({each.digest for pair in pairs for each in pair}) == 1, "the pool changed the result"

    def of(what: str, name: str, unit: float = 1.0) -> _measure.Comparison:
        pooled, plain = ([getattr(pair[side], name) * unit for pair in pairs] for side in (0, 1))
        return _measure.of_pairs(f"{program}: {what}", pooled, "without the pool", plain)

    times = [of("processor time", "processor", 1e9), of("elapsed", "elapsed", 1e9)]
    return times, [of("peak resident memory in MiB", "peak"), of("page faults", "faults")]


def main() -> None:
    """Measure, and print the table."""
    rows, facts = [], {}
    for program in sys.argv[1:] or PROGRAMS:
        if None in map(_measure.peer, PROGRAMS[program]):
            continue
        times, others = compared(program)
        rows += times
        for each in others:
            facts[f"{each.what}, with and without the pool"] = (
                f"{each.ours_ns:,.0f}, {each.peer_ns:,.0f}: × {each.ratio:.2f} [{each.lowest:.2f}, {each.highest:.2f}]"
            )
    _measure.report("Programs with the pools that they were advised to use", rows, facts)


if __name__ == "__main__":
    main()
