"""The same files twice: through a pool, and in a plain loop with hashlib; every digest must agree."""

from __future__ import annotations

import hashlib
import os
from time import perf_counter
from typing import TYPE_CHECKING

from blockpool.cli.files import identity, open_regular, reason
from blockpool.cli.pipeline import Digest, Pipeline
from blockpool.cli.processes import Processes
from blockpool.report.results import DemoResult, Disagreement, Rate, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from blockpool import Pool
    from blockpool.cli.files import Selection
    from blockpool.report.results import Settings

__all__ = ["PHASES", "compare", "plain_loop", "run"]

PHASES = ("warm up", "through the pool", "plain loop")

_CHUNK = 1 << 18


def run(
    pool: Pool, selection: Selection, settings: Settings, watch: Callable[[str, int], None]
) -> DemoResult:
    """Hash the files both ways. `watch` is told now and then which of the `PHASES` it is, and the bytes done."""
    warm, pooled, plain = PHASES
    _warm_up(selection.files, lambda done: watch(warm, done))
    engine = Pipeline if settings.start_method is None else Processes
    pooled_way = engine(pool, selection.files, selection.nbytes, settings)
    pool_run = pooled_way.run(lambda done: watch(pooled, done))
    digests, failures, rate = plain_loop(selection.files, lambda done: watch(plain, done))
    reasons = failures | {each.path: each.reason for each in pooled_way.skipped}
    agreed, disagreements, changed = compare(pooled_way.digests, digests)
    skipped = selection.skipped + tuple(Skipped(*item) for item in reasons.items()) + changed
    return DemoResult(
        settings=settings,
        agreed=agreed,
        disagreements=disagreements,
        skipped=tuple(sorted(skipped, key=lambda each: each.path)),
        omitted=selection.omitted,
        pool=pool_run,
        plain=rate,
    )


def compare(
    pooled: Mapping[str, Digest], plain: Mapping[str, Digest]
) -> tuple[int, tuple[Disagreement, ...], tuple[Skipped, ...]]:
    """Compare files that have both digests: how many agree, which differ, which differ as they were changed."""
    agreed = 0
    disagreements: list[Disagreement] = []
    changed: list[Skipped] = []
    for path in sorted(pooled.keys() & plain.keys()):
        ours, theirs = pooled[path], plain[path]
        if ours.hexdigest == theirs.hexdigest:
            agreed += 1
        elif ours.identity != theirs.identity:
            changed.append(Skipped(path, "changed while the demo ran"))
        else:
            disagreements.append(Disagreement(path, ours.hexdigest, theirs.hexdigest))
    return agreed, tuple(disagreements), tuple(changed)


def plain_loop(
    files: Sequence[str], watch: Callable[[int], None]
) -> tuple[dict[str, Digest], dict[str, str], Rate]:
    """Hash the files one after the other, without a pool: their digests, why others have none, and the rate."""
    digests: dict[str, Digest] = {}
    failures: dict[str, str] = {}
    done = 0
    began = perf_counter()
    for path in files:
        nbytes = 0
        digest = hashlib.sha256()
        try:
            with open_regular(path) as (descriptor, _):
                while chunk := os.read(descriptor, _CHUNK):
                    digest.update(chunk)
                    nbytes += len(chunk)
                digests[path] = Digest(digest.hexdigest(), nbytes, identity(os.fstat(descriptor)))
        except OSError as error:
            failures[path] = reason(error)
        done += nbytes
        watch(done)
    return digests, failures, Rate(len(digests), done, perf_counter() - began)


def _warm_up(files: Sequence[str], watch: Callable[[int], None]) -> None:
    """Read every file, so that neither way waits for a disk later, and the rates compare like with like."""
    scratch = [bytearray(_CHUNK)]
    done = 0
    for path in files:
        try:
            with open_regular(path) as (descriptor, _):
                while count := os.readv(descriptor, scratch):
                    done += count
        except OSError:
            pass  # both ways will find out, and say so
        watch(done)
