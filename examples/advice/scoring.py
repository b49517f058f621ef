"""A batch job: read payments chunk by chunk, score each with a fitted model, and add up the risk of every shop.

    python examples/advice/scoring.py [--pool]        (needs pandas and scikit-learn)

It is written as one writes it with pandas and scikit-learn, which allocate all arrays themselves. `blockpool advise`
looked at a capture of this program; `--pool` is the change that follows from its advice: a pool, and a line around the
loop. docs/how-to/which-pool.md tells the story.

The payments are made first, by another process, from a seed. The program prints a digest of the result, which is the
same either way, how many payments it scored a second, and the most memory that it had.
"""

import argparse
import contextlib
import hashlib
import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from spent import Spent

import blockpool

CHUNK = 50_000  # payments in memory at a time
SHOPS = 200
DAYS_NEW = 30
POOL = 100_032, 527  # what `blockpool advise` recommends; see docs/how-to/which-pool.md


def payments(count: int, chance: np.random.Generator) -> pd.DataFrame:
    """Make payments up."""
    frame = pd.DataFrame(
        {
            "shop": chance.integers(0, SHOPS, count),
            "amount": np.round(chance.lognormal(3, 1, count), 2),
            "second": chance.integers(0, 86_400, count),
            "days_known": chance.integers(0, 2000, count),
            "payments_before": chance.poisson(4, count),
            "distance": np.round(chance.exponential(30, count), 1),
        }
    )
    odds = 0.4 * np.log(frame["amount"]) - 0.002 * frame["days_known"] + 0.01 * frame["distance"] - 2
    frame["fraud"] = chance.random(count) < 1 / (1 + np.exp(-odds))
    return frame


def write(path: Path, count: int, seed: int) -> None:
    """Write payments to a file."""
    payments(count, np.random.default_rng(seed)).drop(columns="fraud").to_csv(path, index=False)


def features(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the model looks at."""
    hour = frame["second"] * (2 * np.pi / 86_400)
    return pd.DataFrame(
        {
            "amount": np.log1p(frame["amount"]),
            "hour_x": np.cos(hour),
            "hour_y": np.sin(hour),
            "known": np.sqrt(frame["days_known"]),
            "new": frame["days_known"] < DAYS_NEW,
            "rate": frame["payments_before"] / (frame["days_known"] + 1),
            "distance": np.log1p(frame["distance"]),
            "far_and_dear": frame["amount"] * frame["distance"],
        }
    )


def fitted(seed: int) -> Pipeline:
    """Return a model, fitted to a few payments that are known to be right or wrong."""
    known = payments(10_000, np.random.default_rng(seed + 1))
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)
    )
    return model.fit(features(known), known["fraud"])


def scored(path: Path, model: Pipeline, chunk: int) -> Iterator[pd.Series]:
    """Yield the risk that each shop has in one chunk after the other: the sum of amount × probability."""
    for frame in pd.read_csv(path, chunksize=chunk):
        frame["risk"] = model.predict_proba(features(frame))[:, 1] * frame["amount"]
        yield frame.groupby("shop")["risk"].sum()


def main() -> None:
    """Score the payments, and say how that went."""
    options = argparse.ArgumentParser(description="Score payments chunk by chunk.")
    options.add_argument("--pool", action="store_true", help="with the arrays in a pool")
    options.add_argument("--payments", type=int, default=600_000, help="how many there are (600000)")
    options.add_argument("--chunk", type=int, default=CHUNK, help=f"how many are in memory at a time ({CHUNK})")
    options.add_argument("--seed", type=int, default=1, help="for the payments (1)")
    chosen = options.parse_args()

    with contextlib.ExitStack() as ending:
        path = Path(ending.enter_context(tempfile.TemporaryDirectory())) / "payments.csv"
        writing = (path, chosen.payments, chosen.seed)
        writer = multiprocessing.get_context("spawn").Process(target=write, args=writing)
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("the payments could not be written; see above")
        model = fitted(chosen.seed)

        with Spent() as spent, contextlib.ExitStack() as scoring:
            if chosen.pool:
                pool = ending.enter_context(blockpool.Pool(*POOL, prefault=True, huge_pages=True, debug=False))
                scoring.enter_context(pool.numpy_allocator())
            risks = pd.concat(scored(path, model, chosen.chunk)).groupby(level=0).sum()

        digest = hashlib.sha256(risks.round(6).to_csv().encode())
        print(f"payments: {chosen.payments}, digest {digest.hexdigest()[:16]}")
        print(f"rate: {chosen.payments / spent.seconds:.0f} payments/s")
        print(spent)
        if chosen.pool:
            stats = pool.stats()
            print(f"pool: up to {stats.peak} of {stats.blocks} blocks; {stats.failures} arrays found no room")


if __name__ == "__main__":
    main()
