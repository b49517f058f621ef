"""Send a tensor that lies in a pool to a child that changes it: `before` or `after` says when PyTorch is imported."""

import importlib
import multiprocessing
import sys

import numpy as np

import blockpool as bp
from blockpool.multiprocessing import install, uninstall


def change(connection):
    """Add one to the tensor."""
    tensor = connection.recv()
    tensor += 1
    connection.send("done")


if __name__ == "__main__":
    when, method = sys.argv[1:]
    pool = bp.Pool.create("1MiB", 4)
    if when == "before":
        importlib.import_module("torch")
    install(pool)
    torch = importlib.import_module("torch")
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context(method).Process(target=change, args=(there,))
    child.start()
    tensor = torch.from_numpy(pool.zeros(100_000, np.float32))
    here.send(tensor)
    here.recv()
    child.join()
    print(tensor.min().item(), pool.stats().tickets)
    uninstall()
