"""The producer and the consumers of docs/how-to/containers.md in containers: namespaces of processes and mounts.

No container engine runs where this is tested, so these namespaces stand for containers. A group of them has one small
/dev/shm, as with `ipc: shareable`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

import blockpool as bp
from programs import environment, run_mounted
from servers import write_programs
from unsharing import unshare
from waits import await_true

# What a container that does not share /dev/shm has, and what it gets: all of it fits, only not with a name.
ALONE = """
    import sys
    import blockpool as bp

    for call, argument in ((bp.Pool.attach, sys.argv[1]), (bp.redeem, sys.argv[2])):
        try:
            call(argument)
        except bp.PoolNotFound:
            print("PoolNotFound")
    try:
        bp.Pool.create("1MiB", 80, name=sys.argv[1])
    except bp.PoolExhausted as error:
        print("PoolExhausted", "/dev/shm" in str(error))
    with bp.Pool.create("1MiB", 80) as pool:
        pool.allocate_many(80)
        print("created", pool.blocks)
"""


class Containers:
    """Starts programs of the page, each as process 1 of a PID namespace, all with one /dev/shm of 64 MiB."""

    def __init__(self, folder):
        """Make the namespace of mounts that they share."""
        if shutil.which("unshare") is None or shutil.which("nsenter") is None or os.geteuid() != 0:
            pytest.skip("mounting takes root, unshare(1) and nsenter(1)")
        self.folder = folder
        self.started = []
        script = "mount -t tmpfs -o size=64m tmpfs /dev/shm && echo mounted && exec sleep infinity"
        self.host = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)  # noqa: S607
        self.started.append(self.host)
        if self.host.stdout.readline() != "mounted\n":
            self.end()
            pytest.skip("mounting is not permitted here")

    def start(self, *command):
        """Start a program in a container; its output is in `stdout`."""
        enter = [
            "nsenter",
            f"--mount=/proc/{self.host.pid}/ns/mnt",
            f"--wdns={self.folder}",
            *unshare("--mount-proc"),
            sys.executable,
            *command,
        ]
        process = subprocess.Popen(enter, cwd=self.folder, env=environment(), stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def files(self):
        """Return the names of the files in their /dev/shm."""
        return os.listdir(f"/proc/{self.host.pid}/root/dev/shm")  # noqa: PTH208 - a path of another root

    def end(self):
        """End what still runs."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def containers(tmp_path):
    """Give a group of containers, which ends with the test."""
    write_programs(tmp_path)
    group = Containers(tmp_path)
    yield group
    group.end()


def test_a_container_that_is_killed(containers, tmp_path):
    """Containers with one /dev/shm share a pool by name; what a killed one held, another gets, and nothing is left."""
    stuck = (tmp_path / "consumer.py").read_text() + "        time.sleep(600)\n"
    (tmp_path / "doomed.py").write_text(stuck)
    first = containers.start("doomed.py")
    producer = containers.start("producer.py")
    assert first.stdout.readline() == "0.0\n"  # it has the first frame
    assert containers.files() == ["blockpool.frames"]
    first.send_signal(signal.SIGKILL)  # unshare(1); the program is killed with it
    first.wait()
    second = containers.start("consumer.py")
    out, _ = second.communicate(timeout=60)
    assert sorted(map(float, out.split())) == [float(number) for number in range(10)]
    assert (second.returncode, producer.wait(60)) == (0, 0)
    await_true(lambda: containers.files() == [])


def test_a_container_with_a_dev_shm_of_its_own(tmp_path, pool_name):
    """It does not find the pools of others, has no room for a large one with a name, and has room for one without."""
    program = tmp_path / "alone.py"
    program.write_text(textwrap.dedent(ALONE))
    with bp.Pool.create("4KiB", 1, name=pool_name), bp.Pool.create("4KiB", 1) as unnamed:
        block = unnamed.allocate()
        command = [*unshare("--mount-proc"), sys.executable, program, pool_name, str(block.handle)]
        out = run_mounted("mount -t tmpfs -o size=64m tmpfs /dev/shm", command)
    assert out.splitlines() == ["PoolNotFound", "PoolNotFound", "PoolExhausted True", "created 80"]


def test_the_memory_of_a_pool_is_present_from_the_start(pool_name, file_of):
    """All of a pool's memory is there once it is created, so it counts for the process that creates it."""
    with bp.Pool.create("1MiB", 8, name=pool_name) as pool:
        assert file_of(pool_name).stat().st_blocks * 512 >= pool.nbytes


def test_the_files_for_container_engines_can_be_read(tmp_path):
    """The page's files for Compose and Kubernetes are YAML, and both containers have one /dev/shm."""
    yaml = pytest.importorskip("yaml")
    write_programs(tmp_path)
    services = yaml.safe_load((tmp_path / "compose.yaml").read_text())["services"]
    assert (services["producer"]["ipc"], services["consumer"]["ipc"]) == ("shareable", "service:producer")
    spec = yaml.safe_load((tmp_path / "pod.yaml").read_text())["spec"]
    assert spec["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}}]
    mounts = [container["volumeMounts"] for container in spec["containers"]]
    assert mounts == [[{"name": "shm", "mountPath": "/dev/shm"}]] * 2  # noqa: S108 - where pools are
