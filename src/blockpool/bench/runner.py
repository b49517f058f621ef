"""Asks the questions: all contenders of a case are prepared, and then take turns, in a new order each time.

In a round every contender has a few turns, and its quickest counts, as other work on the machine may interrupt any of
them. A round gives a pair for each peer, ours and its value, and so a ratio; `statistics` makes a line of them.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import blockpool
from blockpool.bench import questions as all_questions
from blockpool.bench.contender import Contender, Failed, Hung
from blockpool.bench.machine import describe, require_room
from blockpool.bench.peers import OURS, PEERS, peer_of
from blockpool.bench.results import Asked, Benchmark, Contestant, Gap, Line
from blockpool.bench.statistics import median_of, verdict_of
from blockpool.bench.tasks import Declined
from blockpool.replay.libraries import PACKAGES, allocators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

    from blockpool.bench.environment import Environment
    from blockpool.bench.peers import Peer
    from blockpool.bench.questions import Case, Question

__all__ = ["ask"]

_PREPARE_SECONDS = 180.0
_TURN_SECONDS = 60.0
_TOLD = 50  # after so many rounds it says how far it is
_NO_PEERS = "it needs an environment of the peers, and --no-peers says that there is none"


class _Known(NamedTuple):
    """A contender that may take part: its module, what it says of itself, and how its process is started."""

    module: str
    peer: Peer
    python: str
    environment: dict[str, str]

    def start(self) -> Contender:
        """Start its process."""
        here = self.python == sys.executable
        path = [folder or "." for folder in sys.path] if here else [str(Path(blockpool.__file__).parents[1])]
        return Contender(self.python, path, alone=here, environment=self.environment)


def ask(
    names: Sequence[str],
    *,
    quick: bool = False,
    environment: Environment | None = None,
    peers: Sequence[str] = PEERS,
    say: Callable[[str], None] = lambda _said: None,
    turn_seconds: float = _TURN_SECONDS,
) -> Benchmark:
    """Ask questions, and return what was found; after Ctrl-C, what was found so far.

    Parameters
    ----------
    names : sequence of str
        The questions.
    quick : bool
        Whether to ask few and small cases, to see that all works.
    environment : Environment or None
        Where the peers are that need to be installed; None: such peers have no part.
    peers : sequence of str
        The modules of the peers.
    say : callable
        Is told what goes on.
    turn_seconds : float
        A contender that takes longer for a turn hangs.

    Raises
    ------
    PoolExhausted
        If there is too little memory for a case; nothing was begun.
    """
    asking = _Asking(quick=quick, say=say, turn_seconds=turn_seconds)
    modules = {name: all_questions.module_of(name) for name in names}
    plan = {name: module.cases(quick=quick) for name, module in modules.items()}
    require_room((name, case) for name, cases in plan.items() for case in cases)
    machine, began = describe(), time.time()
    done: set[str] = set()
    try:
        asking.gather(modules.values(), peers, environment)
        for name, module in modules.items():
            asking.answer(name, module, plan[name])
            done.add(name)
    except KeyboardInterrupt:
        say("interrupted")
    finally:
        asking.end()
    return Benchmark(
        version=blockpool.__version__,
        time=began,
        seconds=time.time() - began,
        quick=quick,
        complete=len(done) == len(modules),
        machine=machine,
        contestants=tuple(asking.contestants),
        questions=tuple(
            Asked(
                name=name,
                asks=module.QUESTION.asks,
                how=module.QUESTION.how,
                unit=module.QUESTION.unit,
                axis=module.QUESTION.axis,
                done=name in done,
            )
            for name, module in modules.items()
        ),
        lines=tuple(asking.lines),
        gaps=tuple(asking.gaps),
    )


class _Asking:
    """What is known, what runs, and what was found so far."""

    def __init__(self, *, quick: bool, say: Callable[[str], None], turn_seconds: float) -> None:
        self.lines: list[Line] = []
        self.gaps: list[Gap] = []
        self.contestants: list[Contestant] = []
        self._known: dict[str, _Known] = {}
        self._running: dict[str, Contender] = {}
        self._say, self._turn_seconds, self._quick = say, turn_seconds, quick
        self._random = random.Random(1)  # noqa: S311 - the order of turns

    # --- who takes part ---

    def gather(self, modules: Iterable[ModuleType], peers: Sequence[str], environment: Environment | None) -> None:
        """Find out who can be had, of those that the questions are about."""
        calls = {call for module in modules for call in module.QUESTION.call.split()}
        wanted = [name for name in (*OURS.values(), *peers) if _has(import_module(name), calls)]
        abouts: dict[str, Peer] = {name: peer_of(name) for name in wanted}
        missing: dict[str, str] = {}
        needs = list(dict.fromkeys(peer.needs for peer in abouts.values() if peer.needs))
        if environment is None:
            missing = dict.fromkeys(needs, _NO_PEERS)
        elif needs:
            missing = environment.install(needs, self._say)
        mallocs = allocators()
        for name, peer in abouts.items():
            version = ""
            absent = missing.get(peer.needs, "")
            if peer.preload and peer.preload not in mallocs:
                absent = f"its library is not installed (Debian: apt install {PACKAGES[peer.preload]})"
            if not absent:
                python = environment.python if peer.needs and environment else sys.executable
                preload = mallocs[peer.preload] if peer.preload else None
                known = _Known(name, peer, python, {"LD_PRELOAD": preload} if preload else {})
                self._say(f"looking for {peer.name}")
                version, absent = self._look(known)
            if not absent:
                self._known[name] = known
            self.contestants.append(
                Contestant(name=peer.name, ours=name in OURS.values(), version=version, use=peer.use, absent=absent)
            )

    def _look(self, known: _Known) -> tuple[str, str]:
        """Return which version a contender has, and why it cannot take part."""
        contender = known.start()
        try:
            return contender.ask(["version", known.module]), ""
        except Failed as error:
            return "", f"it does not work here: {error}"
        finally:
            contender.close()

    # --- a question ---

    def answer(self, name: str, module: ModuleType, cases: Sequence[Case]) -> None:
        """Measure all cases of a question."""
        question: Question = module.QUESTION
        calls = set(question.call.split())
        takes_part = [each for each in self._known if _has(import_module(each), calls)]
        hung: dict[str, str] = {}
        for case in cases:
            self._say(f"{name}: {case.label}")
            ready = []
            for each in takes_part:
                if each in hung:
                    self._miss(name, case, each, Failed(f"left out after it {hung[each]}"))
                elif self._prepare(name, module, case, each, hung):
                    ready.append(each)
            found: dict[str, list[Any]] = {each: [] for each in ready}
            try:
                self._take_turns(name, module, case, found, hung)
            finally:  # after Ctrl-C too
                self._compare(name, module, case, found)
        self.end()

    def _prepare(self, question: str, module: ModuleType, case: Case, name: str, hung: dict[str, str]) -> bool:
        """Prepare a contender for a case; return whether it is ready."""
        try:
            self._prepared(module, case, name)
        except (Declined, Failed) as error:
            self._leave_out(question, case, name, error, hung)
            return False
        return True

    def _prepared(self, module: ModuleType, case: Case, name: str) -> Contender:
        contender = self._running.get(name)
        if contender is None or not contender.alive:
            contender = self._running[name] = self._known[name].start()
        contender.ask(["prepare", module.__name__, name, case.settings], _PREPARE_SECONDS)
        contender.note_mapped()
        return contender

    def _take_turns(
        self, question: str, module: ModuleType, case: Case, found: dict[str, list[Any]], hung: dict[str, str]
    ) -> None:
        """Let the contenders take turns; those that fail have no part any more."""
        counts = hasattr(module, "compared")
        rounds = -(-case.rounds // max(1, len(found))) if counts else case.rounds
        for number in range(rounds):
            if number % _TOLD == _TOLD - 1:
                self._say(f"{question}: {case.label}, round {number + 1} of {rounds}")
            turns: dict[str, list[Any]] = {name: [] for name in found}
            for _ in range(case.turns):
                for name in self._random.sample(list(turns), len(turns)):
                    try:
                        turns[name].append(self._turn(module, case, name))
                    except (Declined, Failed) as error:
                        self._leave_out(question, case, name, error, hung)
                        del turns[name], found[name]
            for name, values in turns.items():
                found[name].append(_counter(values[0]) if counts else min(values))

    def _turn(self, module: ModuleType, case: Case, name: str) -> Any:
        if not case.fresh:
            return self._running[name].ask(["turn"], self._turn_seconds)
        try:
            return self._prepared(module, case, name).ask(["turn"], self._turn_seconds)
        finally:
            self._running.pop(name).close()

    def _compare(self, question: str, module: ModuleType, case: Case, found: dict[str, list[Any]]) -> None:
        """Make a line of each peer, and let go of what the case had."""
        for name, values in found.items():
            against = module.QUESTION.against or self._known[name].peer.against
            for ours in (OURS[each] for each in against.split()):
                if name in OURS.values() or ours not in found:
                    continue
                if hasattr(module, "compared"):
                    for label, (x, pairs) in module.compared(found[ours], values).items():
                        self._add(question, case._replace(label=f"{case.label}, {label}", x=x), ours, name, pairs)
                else:
                    self._add(question, case, ours, name, list(zip(found[ours], values, strict=False)))
        for contender in list(self._running.values()):
            if contender.alive:
                try:
                    contender.ask(["close"])
                except Failed:
                    contender.kill()

    def _add(self, question: str, case: Case, ours: str, peer: str, pairs: list[tuple[float, float]]) -> None:
        if not pairs:
            return
        ratio = median_of([ours_one / max(peer_one, 1e-12) for ours_one, peer_one in pairs])
        self.lines.append(
            Line(
                question=question,
                case=case.label,
                group=case.group,
                x=case.x,
                ours=self._known[ours].peer.name,
                peer=self._known[peer].peer.name,
                ours_value=median_of([each for each, _ in pairs]).value,
                peer_value=median_of([each for _, each in pairs]).value,
                ratio=ratio.value,
                low=ratio.low,
                high=ratio.high,
                coverage=ratio.coverage,
                verdict=verdict_of(ratio),
                pairs=tuple(pairs),
            )
        )

    # --- what goes wrong ---

    def _miss(self, question: str, case: Case, name: str, why: Declined | Failed) -> None:
        contender, failed = self._known[name].peer.name, isinstance(why, Failed)
        self.gaps.append(Gap(question=question, case=case.label, contender=contender, why=str(why), failed=failed))

    def _leave_out(self, question: str, case: Case, name: str, why: Declined | Failed, hung: dict[str, str]) -> None:
        """Note why a contender has no part in a case, if it hung in the question; end one that failed."""
        self._miss(question, case, name, why)
        if isinstance(why, Hung):
            hung[name] = str(why)
        contender = self._running.pop(name, None) if isinstance(why, Failed) else None
        if contender is not None:
            contender.kill()

    def end(self) -> None:
        """End all processes; each of them, if Ctrl-C comes meanwhile."""
        with ExitStack() as ends:
            while self._running:
                ends.callback(self._running.popitem()[1].close)


def _has(module: ModuleType, calls: set[str]) -> bool:
    return any(hasattr(module, call) for call in calls)


def _counter(counts: dict[str, int]) -> Counter[int]:
    """Return counts whose keys were text on their way here."""
    return Counter({int(delay): count for delay, count in counts.items()})
