"""Containers with a small /dev/shm, or none: pools without a name need none of it."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

UNSHARE = shutil.which("unshare")
# Each is a mount namespace of its own: what it mounts ends with the command, and nobody else sees it.
PLACES = {
    "64 MB of it": "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    "none": "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9",
    "one that cannot be written": "mount -t tmpfs -o ro tmpfs /dev/shm",
}
PROGRAM = textwrap.dedent("""
    import multiprocessing, sys
    import blockpool as bp

    def add(connection):
        with connection.recv() as block:
            block.buf[0] += 1
        connection.send("done")

    if __name__ == "__main__":
        pool = bp.Pool.create("1MiB", 80)
        block = pool.allocate(blocks=40)
        for method in ("fork", "spawn", "forkserver"):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.get_context(method).Process(target=add, args=(there,))
            process.start()
            here.send(block)
            print(here.recv())
            process.join()
        print(block.buf[0])
        try:
            bp.Pool.create("1MiB", 80, name=sys.argv[1])
        except (bp.PoolExhausted, OSError) as error:
            print("refused")
""")


def inside(setup, *command):
    """Run a command where the setup was done."""
    script = f'{setup} || exit 99; exec "$@"'
    return subprocess.run(
        [UNSHARE, "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(UNSHARE is None, reason="there is no unshare")
@pytest.mark.parametrize("place", PLACES)
def test_a_pool_without_a_name(tmp_path, pool_name, place):
    """80 MiB without a name are made, used and passed on there; with a name they are refused, by a typed error."""
    done = inside(PLACES[place], "true")
    if done.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {done.stderr}")
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = f"TMPDIR={tmp_path}"
    done = inside(PLACES[place], "env", environment, sys.executable, str(script), pool_name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["done"] * 3 + ["3", "refused"]
    assert os.path.isdir("/dev/shm")  # noqa: S108, PTH112 - the real one
