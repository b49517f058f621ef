"""Several hosts on one machine: network namespaces, each with its own address, and if wanted its own /dev/shm.

They are joined by a pair of virtual interfaces. Root and the program ``ip`` are needed.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

_OWN_SHM = "mount -t tmpfs tmpfs /dev/shm && echo && exec sleep infinity"


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def why_not():
    """Return why hosts cannot be made here; None if they can."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"there is no program {program!r}"
    name = f"bp{os.getpid()}x"
    try:
        _run("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made: {error.stderr.strip()}"
    _run("ip", "netns", "del", name)
    return None


class Hosts:
    """Two hosts, ``10.214.N.1`` and ``10.214.N.2``; what runs in them ends before they do."""

    def __init__(self):
        base = f"bp{os.getpid()}"
        self.names = [base + "a", base + "b"]
        net = f"10.214.{os.getpid() % 250}"
        self.addresses = [f"{net}.1", f"{net}.2"]
        self._pair = [base + "v", base + "w"]
        self._shm = None

    def __enter__(self):
        a, b = self.names
        try:
            _run("ip", "netns", "add", a)
            _run("ip", "netns", "add", b)
            v, w = self._pair
            _run("ip", "link", "add", v, "netns", a, "type", "veth", "peer", "name", w, "netns", b)
            for name, interface, address in zip(self.names, self._pair, self.addresses, strict=True):
                _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", interface)
                _run("ip", "-n", name, "link", "set", "lo", "up")
                _run("ip", "-n", name, "link", "set", interface, "up")
            self._shm = subprocess.Popen(
                ["/usr/bin/env", "unshare", "--mount", "sh", "-c", _OWN_SHM],
                stdout=subprocess.PIPE,
            )
            self._shm.stdout.readline()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._shm is not None:
            self._shm.kill()
            self._shm.wait()
            self._shm.stdout.close()
        for name in self.names:
            subprocess.run(["/usr/bin/env", "ip", "netns", "del", name], check=False, capture_output=True)

    def command(self, host, *command, own_shm=False):
        """Return the command that runs a command on host 0 or 1; perhaps where /dev/shm is another one."""
        network = f"--net=/run/netns/{self.names[host]}"
        mounts = [f"--mount=/proc/{self._shm.pid}/ns/mnt"] if own_shm else []
        return ["nsenter", network, *mounts, "--", *command]

    @contextmanager
    def worker(self, host, scheduler, name, environment, *, own_shm=False):
        """Start a Dask worker on a host, without a nanny; it ends with the block."""
        process = subprocess.Popen(
            self.command(
                host,
                *(sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--host", self.addresses[host]),
                *("--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"),
                own_shm=own_shm,
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
