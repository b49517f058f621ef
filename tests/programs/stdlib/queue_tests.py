"""Runs CPython's tests of queues with our queues and the start method given, and prints what failed."""

import json
import multiprocessing
import sys

import cpython_queues

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1], force=True)
    said = {}
    for kind, name in cpython_queues.NAMES:
        if name not in cpython_queues.EXCLUDED[kind]:
            said[f"{kind}.{name}"] = cpython_queues.run(kind, name)
    print(json.dumps(said))
