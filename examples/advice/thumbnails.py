"""A thumbnail service: worker threads decode pictures, make them small, improve them, and encode them.

    python examples/advice/thumbnails.py [--pool]        (needs Pillow and NumPy)

It is written as one writes it in NumPy. The memory of a picture's arrays is many times that of its file, and all of it
is given back before the next picture comes. `blockpool advise` looked at a capture of this program; `--pool` is the
change that follows from its advice: a pool, and a line in the function that makes a thumbnail.
docs/how-to/which-pool.md tells the story.

The pictures are made first, by another process, from a seed. The program prints a digest of all thumbnails, which is
the same either way, how many it made a second, and the most memory that it had.
"""

import argparse
import contextlib
import hashlib
import io
import multiprocessing
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from spent import Spent

import blockpool

WORKERS = 2  # as many pictures are in flight
SIDE = 640  # a thumbnail's longer side, pixels
SHAPES = (1200, 1600), (1080, 1920), (1600, 1200), (960, 1280)  # what cameras and screens make
POOL = 3_713_344, 13  # what `blockpool advise` recommends; see docs/how-to/which-pool.md

LINEAR = (((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4).astype(np.float32)  # light of a pixel's value (sRGB)
LUMINANCE = np.array((0.2126, 0.7152, 0.0722), np.float32)


def draw(folder: Path, count: int, scale: int, seed: int) -> None:
    """Fill a folder with pictures: JPEG from cameras, PNG from screens, their sides divided by `scale`."""
    chance = np.random.default_rng(seed)
    for number in range(count):
        height, width = (side // scale for side in SHAPES[number % len(SHAPES)])
        coarse = chance.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        if width * 9 == height * 16:
            picture.save(folder / f"{number:03}.png", compress_level=1)
        else:
            picture.save(folder / f"{number:03}.jpg", quality=90)


def improved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch a picture's contrast, and make it a little sharper; both in linear light."""
    light = LINEAR[pixels]
    dark, bright = np.quantile(light[::8, ::8] @ LUMINANCE, (0.01, 0.99)).astype(np.float32)
    light = (light - dark) / max(bright - dark, 1e-3)
    around = np.pad(light, ((1, 1), (1, 1), (0, 0)), mode="edge")
    blurred = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    sharp = np.clip(light + 0.6 * (light - blurred), 0, 1)
    return np.rint(255 * np.clip(1.055 * sharp ** (1 / 2.4) - 0.055, 0, 1)).astype(np.uint8)


def thumbnail(path: Path, memory: contextlib.AbstractContextManager[object]) -> bytes:
    """Return a picture's thumbnail as JPEG; `memory` is where NumPy's arrays are meanwhile."""
    with memory, Image.open(path) as picture:
        picture.thumbnail((SIDE, SIDE))
        pixels = improved(np.asarray(picture.convert("RGB")))
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=85)
        return encoded.getvalue()


def main() -> None:
    """Make the thumbnails, and say how that went."""
    options = argparse.ArgumentParser(description="Make thumbnails with worker threads.")
    options.add_argument("--pool", action="store_true", help="with the arrays in a pool")
    options.add_argument("--pictures", type=int, default=16, help="how many different ones there are (16)")
    options.add_argument("--requests", type=int, default=60, help="how many thumbnails are asked for (60)")
    options.add_argument("--scale", type=int, default=1, help="divide the sides of all pictures (1)")
    options.add_argument("--seed", type=int, default=1, help="for the pictures and the order of the requests (1)")
    chosen = options.parse_args()

    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        drawing = (folder, chosen.pictures, chosen.scale, chosen.seed)
        artist = multiprocessing.get_context("spawn").Process(target=draw, args=drawing)
        artist.start()
        artist.join()
        if artist.exitcode:
            raise SystemExit("the pictures could not be made; see above")
        paths = random.Random(chosen.seed).choices(sorted(folder.iterdir()), k=chosen.requests)

        memory: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        with Spent() as spent:
            if chosen.pool:
                pool = ending.enter_context(blockpool.Pool(*POOL, prefault=True, huge_pages=True, debug=False))
                memory = pool.numpy_allocator()
            digest = hashlib.sha256()
            with ThreadPoolExecutor(WORKERS) as workers:
                for encoded in workers.map(lambda path: thumbnail(path, memory), paths):
                    digest.update(encoded)

        print(f"thumbnails: {len(paths)}, digest {digest.hexdigest()[:16]}")
        print(f"rate: {len(paths) / spent.seconds:.1f} pictures/s")
        print(spent)
        if chosen.pool:
            stats = pool.stats()
            print(f"pool: up to {stats.peak} of {stats.blocks} blocks; {stats.failures} arrays found no room")


if __name__ == "__main__":
    main()
