"""A parameter server with Ray: workers get the weights, and return gradients, without a copy through Ray's store.

    python examples/ray_parameter_server.py [--without]

Ray's documentation has this program for a neural network; here a linear model is fitted, so that it needs no other
library. With `--without`, the same program runs with Ray alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import ray

import blockpool as bp
import blockpool.ray

WEIGHTS, WORKERS, ROUNDS = 4_000_000, 2, 20


def empty(pool: bp.Pool | None) -> np.ndarray:
    """Return an array for weights or gradients, in the pool if there is one."""
    return np.empty(WEIGHTS, np.float32) if pool is None else pool.empty(WEIGHTS, np.float32)


@ray.remote(num_cpus=0)
class Server:
    """Has the weights, and goes a step against the mean of the gradients."""

    def __init__(self, pool: bp.Pool | None) -> None:
        self.pool = pool
        self.weights = empty(pool)
        self.weights[:] = 0

    def step(self, *gradients: np.ndarray) -> np.ndarray:
        """Return new weights; workers may still be reading the old ones."""
        weights = empty(self.pool)
        np.copyto(weights, self.weights)
        for gradient in gradients:
            weights -= gradient / len(gradients)
        self.weights = weights
        return weights


@ray.remote(num_cpus=0)
class Worker:
    """Computes gradients of a quarter of the squared distance to its data."""

    def __init__(self, number: int, pool: bp.Pool | None) -> None:
        self.data = np.full(WEIGHTS, number, np.float32)
        self.pool = pool

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Return the gradient at these weights."""
        gradient = empty(self.pool)
        np.subtract(weights, self.data, out=gradient)
        gradient *= 0.5
        return gradient


def main() -> None:
    """Fit, and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", action="store_true", help="use Ray's object store alone")
    pool = None
    if not parser.parse_args().without:
        pool = bp.Pool.create("1MiB", 512)
        blockpool.ray.install(pool)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=1 << 29, log_to_driver=False)
    server = Server.remote(pool)
    workers = [Worker.remote(number, pool) for number in range(WORKERS)]
    weights = server.step.remote()
    ray.get([worker.gradient.remote(weights) for worker in workers])
    began = time.perf_counter()
    for _ in range(ROUNDS):
        weights = server.step.remote(*(worker.gradient.remote(weights) for worker in workers))
    mean = float(ray.get(weights).mean())
    print(f"mean weight {mean:.4f}, {(time.perf_counter() - began) / ROUNDS * 1000:.1f} ms a round")
    ray.shutdown()


if __name__ == "__main__":
    main()
