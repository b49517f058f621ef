"""How right are the times of events in a capture of memray?

A program allocates blocks of sizes that tell them apart, notes the time of each, and pauses in between. memray notes
the time every 10 ms, and events between two notes are laid out evenly: so the error should be less than the distance of
the notes, which is given too.

    python benchmarks/capture_times.py [--blocks 300]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import memray
import numpy as np

from blockpool import traces

PROGRAM = """
import json, random, sys, time, memray
chance, kept, noted = random.Random(1), [], []
with memray.Tracker(sys.argv[1]):
    for number in range(int(sys.argv[2])):
        before = time.time()
        kept.append(bytearray(100_000 + number))
        noted.append((before + time.time()) / 2)
        if chance.random() < 0.5:
            time.sleep(chance.random() * 0.05)
        else:
            for _ in range(chance.randrange(2000)):
                bytearray(1000)
    del kept
print(json.dumps(noted))
"""


def main() -> None:
    """Print the errors, and the distance between notes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=300)
    blocks = parser.parse_args().blocks
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "capture.bin")
        command = [sys.executable, "-c", PROGRAM, str(path), str(blocks)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        noted = np.array(json.loads(done.stdout))
        trace = traces.read(path)
        with memray.FileReader(path) as reader:
            start = reader.metadata.start_time.timestamp()
            notes = np.array([start, *(each.time / 1e3 for each in reader.get_memory_snapshots()), noted[-1]])
    rows = np.flatnonzero((trace.kind == traces.ALLOCATE) & (trace.size > 100_000) & (trace.size <= 100_000 + blocks))
    assert len(rows) == blocks
    # the trace begins with its first event, and not with the capture
    errors = (trace.time[rows] - trace.time[rows[0]]) / 1e6 - (noted - noted[0]) * 1e3
    after = np.searchsorted(notes, noted).clip(1, len(notes) - 1)
    distances = (notes[after] - notes[after - 1]) * 1e3
    print(f"{blocks} blocks, {len(trace):,} events, {len(notes)} notes of the time, {noted[-1] - noted[0]:.1f} s")
    for name, values in (("error of an event", abs(errors)), ("distance of the notes around it", distances)):
        median, most, largest = np.percentile(values, [50, 95, 100])
        print(f"{name:32} median {median:5.1f} ms, 95 % at most {most:5.1f} ms, at most {largest:5.1f} ms")


if __name__ == "__main__":
    main()
