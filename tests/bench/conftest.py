"""Small cases of every question, peers that are made up, and what a run found that never was."""

import textwrap

import pytest

from blockpool.bench import questions
from blockpool.bench.results import Asked, Benchmark, Contestant, Gap, Line, Machine

SMALL = {"seconds": 0.0005}


@pytest.fixture
def small(monkeypatch):
    """Let a question have one small case, or those that a test wants."""

    def make(name, rounds=3, keep=slice(1), **settings):
        module = questions.module_of(name)
        cases = [
            case._replace(
                rounds=rounds, turns=1, settings={k: (SMALL | settings).get(k, v) for k, v in case.settings.items()}
            )
            for case in module.cases(quick=True)[keep]
        ]
        monkeypatch.setattr(module, "cases", lambda *, quick: cases)  # noqa: ARG005 - quick or not
        return cases

    return make


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """Return a function that makes the module of a peer, from the body of its engine's `turn`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, turn):
        (tmp_path / f"{name}.py").write_text(
            textwrap.dedent(
                """
                import os, signal, time
                from blockpool.bench.peers import Peer

                PEER = Peer({name!r}, "it is made up", against="engine_pool")

                def version():
                    return "1.0"

                class Engine:
                    def turn(self):
                        {turn}

                    def close(self):
                        pass

                def engine(size):
                    return Engine()
                """
            ).format(name=name, turn=turn)
        )
        return name

    return make


def line(peer, ratio, verdict, **more):
    """Return a line."""
    fields = {
        "question": "create", "case": "64 B", "group": "", "x": 64, "ours": "private pool", "peer": peer,
        "ours_value": 100 * ratio, "peer_value": 100.0, "ratio": ratio, "low": ratio * 0.9, "high": ratio * 1.1,
        "coverage": 0.97, "verdict": verdict, "pairs": ((100 * ratio, 100.0),),
    }  # fmt: skip
    return Line(**(fields | more))


@pytest.fixture
def found():
    """Return what a run found, with wins, losses and gaps."""
    return Benchmark(
        version="0.1.0",
        time=1_800_000_000.0,
        seconds=90.0,
        quick=False,
        complete=True,
        machine=Machine(
            processor="Some | processor", cores=2, usable=2, memory=1 << 34, shared=1 << 33, load=0.1,
            system="Linux 6", libc="glibc 2", python="CPython 3.11", huge_pages="madvise", huge_shared_pages="never",
        ),
        contestants=(
            Contestant(name="private pool", ours=True, version="0.1.0", use="allocate", absent=""),
            Contestant(name="slow one", ours=False, version="1", use="call it", absent=""),
            Contestant(name="missing one", ours=False, version="", use="call it", absent="pip: <no wheel>"),
        ),
        questions=(
            Asked(name="create", asks="What does it cost?", how="So.", unit="ns", axis="bytes", done=True),
            Asked(name="tails", asks="How late?", how="So.", unit="ns", axis="percentile", done=False),
        ),
        lines=(
            line("slow one", 0.01, "won"),
            line("quick one", 2.0, "lost"),
            line("quickest one", 30.0, "lost", x=4096, case="4 KiB"),
            line("equal one", 1.0, "even", coverage=0.75),
            line("slow one", 0.5, "won", question="tails", case="write, p99", group="write", x=99),
            line("slow one", 0.5, "won", question="tails", case="write, p50", group="write", x=50),
            line("slow one", 0.5, "won", question="tails", case="hand-off, p50", group="hand-off", x=50),
        ),
        gaps=(
            Gap(question="create", case="64 B", contender="broken one", why="killed by SIGSEGV", failed=True),
            Gap(question="create", case="64 B", contender="other one", why="it has no part", failed=False),
            Gap(question="create", case="4 KiB", contender="other one", why="it has no part", failed=False),
        ),
    )  # fmt: skip
