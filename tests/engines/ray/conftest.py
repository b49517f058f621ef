"""One Ray for all tests of this folder; in the end, none of its processes is left."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

import blockpool as bp
from programs import environment
from waits import await_true

if importlib.util.find_spec("ray") is None:
    collect_ignore_glob = ["test_*.py"]  # `make engines-test` installs it


def parent_of(process):
    """Return the parent of a process; None if there is no such process, or it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[1])


def descendants(roots):
    """Return some processes and those that they have started, and so on."""
    parents = {int(folder.name): parent_of(folder.name) for folder in Path("/proc").glob("[0-9]*")}
    found = set(roots)
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.fixture(scope="session")
def engine():
    """Start Ray, small and on this machine alone; stop it, and wait until its processes have ended."""
    import ray

    before = descendants({os.getpid()})
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket has to be short
    os.environ["PYTHONPATH"] = environment()["PYTHONPATH"]  # workers find ray_actors
    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80 << 20,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        servers = descendants({os.getpid()}) - before  # later ones may be of other tests, as a fork server is
        yield ray
        started = descendants(servers)
        assert len(started) > 3  # the servers of Ray, and the actors
        ray.shutdown()
        await_true(lambda: not any(parent_of(process) for process in started))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pool(engine):
    """Make a pool that Ray's processes send by reference; in the end nothing is in it or in flight."""
    import blockpool.ray as carrier

    assert engine.is_initialized()
    made = bp.Pool.create("64KiB", 64)
    carrier.install(made)
    yield made
    carrier.uninstall()
    await_true(lambda: not carrier._kept)

    def is_empty():
        made.recover()
        stats = made.stats()
        return stats.allocated == stats.tickets == 0

    await_true(is_empty)
    made.check()
