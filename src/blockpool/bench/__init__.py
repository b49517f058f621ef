"""Benchmarks in the open: what `blockpool bench` runs.

A question is a file in `questions`, a peer a file in `peers`. Every contender, blockpool's pools too, has a process of
its own, and all take turns: so the machine's moods meet all of them, and a peer that crashes costs nothing but its
line. What was found is in `results`; `blockpool.report.bench` writes it down, `blockpool.plot_bench` draws it.
"""
