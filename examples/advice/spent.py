"""What the work of the examples in this folder took: time, page faults and memory."""

import resource
import time
from pathlib import Path
from typing import Self


class Spent:
    """A `with` around the work; afterwards `str` says what it took."""

    def __enter__(self) -> Self:
        """Begin to measure."""
        self.faults = -resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        self.processor = -time.process_time()
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        """Measure."""
        self.seconds += time.perf_counter()
        self.processor += time.process_time()
        self.faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def __str__(self) -> str:
        """Return three lines."""
        return (
            f"elapsed: {self.seconds:.2f} s, of processors {self.processor:.2f} s\n"
            f"page faults: {self.faults}\n"
            f"peak resident memory: {peak_resident() / 2**20:.0f} MiB"
        )


def peak_resident() -> int:
    """Return the most memory that this process had so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise LookupError("this kernel does not say VmHWM in /proc/self/status")
