"""Replay: what a trace would be in a pool, and what it costs there and in malloc.

`simulate` runs the trace through the code of real pools, without touching memory, in this process. `measure` runs it in
processes of its own, in memory, against pools or a malloc.
"""

from blockpool.replay.libraries import allocators
from blockpool.replay.measurement import measure
from blockpool.replay.results import Plan, Replayed
from blockpool.replay.simulation import simulate

__all__ = ["Plan", "Replayed", "allocators", "measure", "simulate"]
