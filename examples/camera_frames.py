"""Camera frames through three processes, without a copy: a camera, a filter, and a viewer that looks at every frame.

    python examples/camera_frames.py        (needs NumPy)

The camera draws each frame into an array in a shared pool and sends it through a pipe. Only a ticket of about 120 bytes
is sent: the filter works on the memory that the camera wrote, and the viewer on what the filter left there. When the
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
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

import blockpool
from blockpool.multiprocessing import install, stats
from blockpool.stats import Transfers

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


def camera(pool: blockpool.Pool, sink: Connection, reports: Connection) -> None:
    """Make frames: grey noise, as from a sensor, with the square and the number in it."""
    install(pool)  # needed because this process sends before it receives; the filter gets it from its first frame
    noise = np.random.default_rng(1).integers(0, 100, SHAPE, dtype=np.uint8)
    waited = 0.0
    for number in range(FRAMES):
        start = time.perf_counter()
        frame = pool.empty(SHAPE, np.uint8, timeout=30)  # waits here while eight are under way
        waited += time.perf_counter() - start
        frame[:] = noise
        draw(frame, number)
        sink.send(frame)
    reports.send((stats(), waited))


def threshold(source: Connection, sink: Connection, reports: Connection) -> None:
    """Turn bright pixels white and the rest black, in place; pass the frame on."""
    for frame in received(source):
        np.greater(frame, 127, out=frame.view(np.bool_))
        np.multiply(frame, WHITE, out=frame)
        sink.send(frame)
    reports.send((stats(), 0.0))


def received(source: Connection) -> Iterator[Frame]:
    """Yield frames until the sender has closed its end, or has died."""
    while True:
        try:
            yield source.recv()
        except EOFError:
            return


def main() -> None:
    """Start the camera and the filter, and look at every frame."""
    processes = multiprocessing.get_context("spawn")  # they inherit nothing from this one
    from_camera, to_filter = processes.Pipe(duplex=False)
    from_filter, to_viewer = processes.Pipe(duplex=False)
    reports, to_main = processes.Pipe(duplex=False)
    with blockpool.Pool.create(FRAME_BYTES, AT_ONCE, name=f"frames-{os.getpid()}") as pool:
        started = [
            processes.Process(target=camera, args=(pool, to_filter, to_main), daemon=True),
            processes.Process(target=threshold, args=(from_camera, to_viewer, to_main), daemon=True),
        ]
        for process in started:
            process.start()
        for end in (from_camera, to_filter, to_viewer, to_main):
            end.close()  # so that a pipe ends with the process that writes to it

        count, first, most = 0, 0.0, 0
        for frame in received(from_filter):
            first = first or time.perf_counter()
            y, x = corner(count)
            seen, wanted = look(frame), (count, (y, x, y + SIDE, x + SIDE))
            if seen != wanted:
                raise SystemExit(f"frame {count}: saw {seen}, not {wanted}")
            count += 1
            most = max(most, pool.stats().allocated)
            del frame  # otherwise the loop keeps it until the next one has come
        seconds = time.perf_counter() - first
        (by_camera, waited), (by_filter, _) = reports.recv(), reports.recv()
        for process in started:
            process.join()

        rate = (count - 1) / seconds
        print(f"frames seen: {count} of {FRAMES}, each whole and in order")
        print(f"rate: {rate:.0f} frames/s, {rate * FRAME_BYTES / 1e6:.0f} MB/s")
        print(f"sent by ticket: {by_camera.shared} by the camera, {by_filter.shared} by the filter")
        print(f"copied: {by_camera.copied + by_filter.copied}")
        print(f"frames in the pool at once: up to {most} of {AT_ONCE}")
        print(f"the camera waited for room: {waited:.2f} s")
        pool.check()
        lost = pool.stats().allocated
        print(f"blocks not back: {lost}")
        all_shared = Transfers(shared=FRAMES, copied=0, copied_bytes=0, refused=0)
        if (count, by_camera, by_filter, lost) != (FRAMES, all_shared, all_shared, 0):
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
