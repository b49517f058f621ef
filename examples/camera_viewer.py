"""Frames from a camera driver in C, as NumPy arrays that nobody copied.

    cc -o camera core/examples/camera.c $(pkg-config --cflags --libs blockpool)
    python examples/camera_viewer.py ./camera        (needs NumPy)

The driver, core/examples/camera.c, fills blocks of a shared pool and puts each into a queue as an array of 480 x 640
uint16. This program makes the pool and the queue, starts the driver, and looks at every frame: a frame has its number
in its first two pixels, and a gradient that moves with it. When a frame is dropped, the driver uses its memory again.

The exit status is 0 if every frame came whole and in order, and all blocks are back.
"""

import os
import subprocess
import sys
import threading

import numpy as np
from numpy.typing import NDArray

import blockpool

FRAMES = 100
SHAPE = HEIGHT, WIDTH = 480, 640
FRAME_BYTES = HEIGHT * WIDTH * 2
AT_ONCE = 8

GRADIENT = np.arange(HEIGHT * WIDTH, dtype=np.uint16)


def is_whole(frame: NDArray[np.uint16], number: int) -> bool:
    """Return whether it is the frame with that number."""
    pixels = frame.reshape(-1)
    return bool(pixels[0] + (int(pixels[1]) << 16) == number and np.array_equal(pixels[2:], (GRADIENT + number)[2:]))


def main(driver: str) -> None:
    """Start the driver, and look at every frame."""
    name = f"camera-{os.getpid()}"
    with blockpool.Pool.create(FRAME_BYTES, AT_ONCE, name=name) as pool:
        queue = pool.queue("frames")
        process = subprocess.Popen([driver, "driver", name, str(FRAMES)])  # noqa: S603 - the user named it

        def watch() -> None:
            if process.wait() != 0:  # otherwise the driver itself says when the last frame is put
                queue.shutdown()

        watcher = threading.Thread(target=watch)
        watcher.start()
        count = 0
        for frame in queue:
            if frame.shape != SHAPE or frame.dtype != np.dtype("<u2") or not is_whole(frame, count):
                raise SystemExit(f"frame {count} is not as it should be")
            count += 1
            del frame  # otherwise the loop keeps it until the next one has come
        watcher.join()
        queue.close()
        lost = pool.stats().allocated
        print(f"frames seen: {count} of {FRAMES}, each whole and in order")
        print(f"blocks not back: {lost}")
        if (count, lost, process.returncode) != (FRAMES, 0, 0):
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its argument
        raise SystemExit("usage: camera_viewer.py DRIVER")
    main(sys.argv[1])
