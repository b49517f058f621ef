"""Use a release where nothing else is installed: with the standard library alone, in two processes."""

import multiprocessing
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec

import blockpool as bp


def work(frames, sums):
    """Add up the bytes of one block, in place."""
    with frames.get(timeout=60) as block:
        sums.put(sum(block.buf), timeout=60)


def main():
    """Use a private and a shared pool, and look at what is installed."""
    files = [str(file) for file in metadata.files("blockpool")]
    assert "site-packages" in bp.__file__, bp.__file__
    assert bp.__version__ == metadata.version("blockpool")
    assert any(file.endswith(".dist-info/sboms/blockpool.cdx.json") for file in files)
    assert find_spec("blockpool._testing") is None

    pool = bp.Pool("4KiB", 16)
    with pool.allocate(nbytes=10_000) as block:
        block.buf[:5] = b"hello"
        assert block.blocks == 3
    assert pool.stats().allocated == 0

    with bp.Pool.create("1MiB", 4) as shared:
        frames, sums = shared.queue(), shared.queue()
        context = multiprocessing.get_context("spawn")
        other = context.Process(target=work, args=(frames, sums))
        other.start()
        with shared.allocate() as block:
            block.buf[:] = bytes([1]) * 2**20
            frames.put(block, timeout=60)
        assert sums.get(timeout=60) == 2**20
        other.join(60)
        assert other.exitcode == 0

    command = subprocess.run([sys.executable, "-m", "blockpool", "ls"], capture_output=True, text=True, check=False)
    assert command.returncode == 2, command
    assert "the command line needs click; install what it needs with: " in command.stderr, command
    print(f"blockpool {bp.__version__} works in {sys.version.split()[0]}, with nothing else installed")


if __name__ == "__main__":
    main()
