"""`blockpool bench`: pools beside what a program would use instead, measured."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockpool._extras import install_command
from blockpool.bench.questions import QUESTIONS, about
from blockpool.cli.exits import Failed, Lacking, Quiet
from blockpool.cli.output import new_file, write, write_file
from blockpool.cli.progress import doing
from blockpool.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockpool.bench.results import Benchmark

__all__ = ["bench"]

_MODULES = {"numpy", "matplotlib"}


@click.command()
@click.argument("questions", metavar="[QUESTION]...", nargs=-1)
@click.option("--quick", is_flag=True, help="Few and small cases: to see that it works, in a minute or two.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything that was measured as JSON; - is stdout.")
@click.option(
    "--report", "report_file", metavar="FILE", help="Write the report, in Markdown; - is stdout, the default."
)
@click.option("--plots", metavar="DIR", help="Draw a picture for each question, into this folder.")
@click.option(
    "--peers",
    metavar="DIR",
    help="Where the environment of the peers is, or is to be made.  [default: in ~/.cache/blockpool]",
)
@click.option("--no-peers", is_flag=True, help="Compare only with what needs no installation.")
@click.option("--list", "listing", is_flag=True, help="List the questions and the peers, and exit.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def bench(
    questions: tuple[str, ...],
    *,
    quick: bool,
    json_file: str | None,
    report_file: str | None,
    plots: str | None,
    peers: str | None,
    no_peers: bool,
    listing: bool,
    force: bool,
) -> None:
    """Measure pools beside what a program would use instead.

    QUESTION is one of those that --list lists; without any, all are asked, in 20 minutes. Each contender has a process
    of its own, and all take turns. The report shows every line, won or lost.

    Peers that need to be installed are installed into an environment of their own, by pip, when they are first needed.
    After Ctrl-C or SIGTERM, what was measured so far is written.

    The exit status is 0 whatever the numbers say.
    """
    if listing:
        write(_listing())
        return
    names = _chosen(questions)
    if peers is not None and no_peers:
        raise click.UsageError("--peers says where the peers are, and --no-peers that there are none; give one of them")
    if json_file == report_file == "-":
        raise click.UsageError("--json and --report cannot both go to stdout")
    for path in (json_file, report_file):
        if path not in {None, "-"}:
            new_file(str(path), force=force)
    folder = None if plots is None else _folder(plots)
    with _explaining():
        import numpy as np  # noqa: F401 - a peer; not to be missing in the middle

        if folder is not None:
            import matplotlib as mpl

            mpl.use("agg")
        with _interruptible(), doing() as say:
            found = _ask(names, quick=quick, peers=peers, no_peers=no_peers, say=say)
        _write(found, json_file, report_file, folder, force=force)
    if not found.complete:
        raise Quiet(Quiet.INTERRUPTED)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take what else ends a process for Ctrl-C, so that contenders are ended and their files removed."""
    ending = (signal.SIGTERM, signal.SIGHUP)
    taken = [number for number in ending if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _ask(names: list[str], *, quick: bool, peers: str | None, no_peers: bool, say: Callable[[str], None]) -> Benchmark:
    from blockpool.bench.environment import Environment, default_folder
    from blockpool.bench.runner import ask

    environment = None if no_peers else Environment(Path(peers) if peers else default_folder())
    return ask(names, quick=quick, environment=environment, say=say)


def _write(
    found: Benchmark, json_file: str | None, report_file: str | None, plots: Path | None, *, force: bool
) -> None:
    """Write what was asked for, files first, and one sentence; the report goes to stdout unless something else does."""
    from blockpool.report.bench import bench_report, summary
    from blockpool.report.documents import fields_of
    from blockpool.report.json import document

    pictures = {} if plots is None else _draw(found, plots, report_file)
    kind, fields = fields_of(found)
    texts = [] if json_file is None else [(json_file, document(kind, fields, indent=1) + "\n")]
    if report_file is not None or json_file != "-":
        texts.append((report_file or "-", bench_report(found, pictures)))
    for path, text in sorted(texts, key=lambda each: each[0] == "-"):  # nobody may be there to read stdout
        if path == "-":
            write(text)
        else:
            write_file(path, text.encode(), force=force)
    click.echo(summary(found), err=True)


def _draw(found: Benchmark, folder: Path, report_file: str | None) -> dict[str, str]:
    """Draw a picture for each question; return what the report calls them."""
    from matplotlib.pyplot import close

    from blockpool.plot_bench import figure

    beside = Path(report_file).resolve().parent if report_file not in {None, "-"} else Path.cwd()
    pictures = {}
    for question in found.questions:
        drawn = figure(found, question)
        if drawn is not None:
            path = folder / f"{question.name}.png"
            drawn.savefig(path, dpi=110)
            close(drawn)
            whole = path.resolve()
            pictures[question.name] = str(whole.relative_to(beside) if whole.is_relative_to(beside) else whole)
    return pictures


def _chosen(questions: tuple[str, ...]) -> list[str]:
    """Return the questions that were named, each once; all, if none was."""
    names = [name.replace("-", "_") for name in questions]
    for given, name in zip(questions, names, strict=True):
        if name not in QUESTIONS:
            raise click.UsageError(f"{given!r:.60} is no question; choose from {', '.join(QUESTIONS)}")
    return list(dict.fromkeys(names)) or list(QUESTIONS)


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"{printable(name)} cannot be a folder for pictures: {error.strerror}") from None
    return folder


def _listing() -> str:
    from blockpool.bench.peers import PEERS, peer_of

    lines = ["Questions:"]
    lines += [f"  {name:<12}{about(name).asks}" for name in QUESTIONS]
    lines += ["", "Peers, and what is installed for them:"]
    for module in PEERS:
        peer = peer_of(module)
        lines.append(f"  {peer.name:<23}{peer.needs or '-'}")
    return "\n".join(lines) + "\n"


@contextmanager
def _explaining() -> Iterator[None]:
    """Say what to install, where a module is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODULES:
            raise
        raise Lacking(f"bench needs {missing}; install what it needs with: {install_command('bench')}") from None
