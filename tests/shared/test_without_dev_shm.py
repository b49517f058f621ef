"""Containers with a small /dev/shm, or none: pools without a name need none of it."""

import os

import pytest

from programs import interpreter, run_mounted

# Each is mounted in a namespace of its own: it ends with the program, and no other sees it.
PLACES = {
    "64 MB of it": "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    "none": "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9",
    "one that cannot be written": "mount -t tmpfs -o ro tmpfs /dev/shm",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_pool_without_a_name(tmp_path, pool_name, place):
    """With little or no /dev/shm, 80 MiB can be created without a name and passed on; with a name it is an error."""
    program = interpreter("shared/pass_on_without_a_name.py", pool_name)
    out = run_mounted(PLACES[place], ["env", f"TMPDIR={tmp_path}", *program])
    assert out.split() == ["done"] * 3 + ["3", "refused"]
    assert os.path.isdir("/dev/shm")  # noqa: S108, PTH112 - the real one
