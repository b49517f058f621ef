"""Camera frames through three processes, without a copy: a camera, a filter, and a viewer that looks at every frame.

    python examples/camera_frames.py        (needs NumPy)

The camera draws each frame into an array in a shared pool and puts it into a queue of the pool. The array itself is not
copied: the filter works on the memory that the camera wrote, and the viewer on what the filter left there. When the
viewer drops a frame, its memory is freed, and the camera uses it again. The pool has room for eight frames, so a camera
that is too fast waits (`timeout=`) instead of filling the machine.

A frame shows its number as a row of black and white squares, and a bright square whose position follows from the
number. So the viewer, which is the process you start, can check that it got every frame, complete and in order. The
exit status is 0 if it did.
"""

import math
import multiprocessing
import os
import time

import numpy as np
from numpy.typing import NDArray

import blockpool

FRAMES = 120
SHAPE = HEIGHT, WIDTH, _ = 480, 640, 3
FRAME_BYTES = math.prod(SHAPE)
AT_ONCE = 8
BITS, BIT = 16, 8  # the number: how many squares, and how many pixels wide each is
SIDE = 48  # of the bright square
WHITE = 255

Frame = NDArray[np.uint8]


def corner(number: int) -> tuple[int, int]:
    """Return the position of the square in the frame with that number."""
    return BIT + 3 * number % (HEIGHT - SIDE - BIT), 7 * number % (WIDTH - SIDE)


def draw(frame: Frame, number: int) -> None:
    """Draw the square, and the number above it."""
    y, x = corner(number)
    frame[y : y + SIDE, x : x + SIDE] = 200
    for bit in range(BITS):
        frame[:BIT, bit * BIT : (bit + 1) * BIT] = WHITE if number >> bit & 1 else 0


def look(frame: Frame) -> tuple[int, tuple[int, int, int, int]]:
    """Return the number in the pixels, and the bounding box of everything white below it."""
    red, green, blue = np.moveaxis(frame == WHITE, 2, 0)
    white = red & green & blue
    number = sum(1 << bit for bit in range(BITS) if white[:BIT, bit * BIT : (bit + 1) * BIT].all())
    rows = np.flatnonzero(white[BIT:].any(axis=1)) + BIT
    columns = np.flatnonzero(white[BIT:].any(axis=0))
    return number, (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


def camera(frames: blockpool.Queue) -> None:
    """Make frames: grey noise, as from a sensor, with the square and the number in it."""
    noise = np.random.default_rng(1).integers(0, 100, SHAPE, dtype=np.uint8)
    for number in range(FRAMES):
        frame = frames.pool.empty(SHAPE, np.uint8, timeout=30)  # waits here while eight are under way
        frame[:] = noise
        draw(frame, number)
        frames.put(frame)
    frames.shutdown()  # the filter gets what is in the queue; then its loop ends


def threshold(frames: blockpool.Queue, filtered: blockpool.Queue) -> None:
    """Turn bright pixels white and the rest black, in place; pass the frame on."""
    for frame in frames:
        np.greater(frame, 127, out=frame.view(np.bool_))
        np.multiply(frame, WHITE, out=frame)
        filtered.put(frame)
    filtered.shutdown()


def main() -> None:
    """Start the camera and the filter, and look at every frame."""
    processes = multiprocessing.get_context("spawn")  # they inherit nothing from this one
    with blockpool.Pool.create(FRAME_BYTES, AT_ONCE, name=f"frames-{os.getpid()}") as pool:
        frames, filtered = pool.queue(), pool.queue()
        started = [
            processes.Process(target=camera, args=(frames,), daemon=True),
            processes.Process(target=threshold, args=(frames, filtered), daemon=True),
        ]
        for process in started:
            process.start()

        count, first, most = 0, 0.0, 0
        for frame in filtered:
            first = first or time.perf_counter()
            y, x = corner(count)
            seen, wanted = look(frame), (count, (y, x, y + SIDE, x + SIDE))
            if seen != wanted:
                raise SystemExit(f"frame {count}: saw {seen}, not {wanted}")
            count += 1
            most = max(most, pool.stats().allocated)
            del frame  # otherwise the loop keeps it until the next one has come
        seconds = time.perf_counter() - first
        for process in started:
            process.join()

        rate = (count - 1) / seconds
        stats = pool.stats()
        print(f"frames seen: {count} of {FRAMES}, each whole and in order")
        print(f"rate: {rate:.0f} frames/s, {rate * FRAME_BYTES / 1e6:.0f} MB/s")
        print(f"copies: {stats.allocations - FRAMES}")  # each frame was allocated once
        print(f"frames in the pool at once: up to {most} of {AT_ONCE}")
        print(f"the camera waited for room: {stats.waited:.2f} s")
        pool.check()
        print(f"blocks not back: {stats.allocated}")
        if (count, stats.allocations, stats.allocated) != (FRAMES, FRAMES, 0):
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
