"""Pools that are pinned for GPUs, with a stand-in for NVIDIA's driver library that writes down what is called."""

import re
import shutil
import subprocess

import pytest

import blockpool as bp
from programs import PROGRAMS, interpreter, run_command

PROGRAM = "shared/pin_pools.py"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """Build the stand-in, and return its folder."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the stand-in for the driver takes a C compiler, and there is none")
    folder = tmp_path_factory.mktemp("cuda")
    source = PROGRAMS / "shared" / "fake_cuda.c"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", folder / "libcuda.so.1", source]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def pin(driver, tmp_path):
    """Run a case of the program with the stand-in; return its output and the names of the calls of all processes."""

    def run(case, *arguments, fails="", code=0, **environment):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        settings = {"LD_LIBRARY_PATH": driver, "FAKE_CUDA_LOG": log, "FAKE_CUDA_FAIL": fails, **environment}
        command = ["env", *(f"{name}={value}" for name, value in settings.items())]
        _, done = run_command([*command, *interpreter(PROGRAM, case, *arguments)])
        assert (done.returncode, done.stderr) == (code, ""), done
        names = [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []
        return done.stdout, names

    return run


@pytest.mark.parametrize("kind", ["shared", "private", "debug", "lent"])
def test_the_pages_are_registered(pin, kind):
    """In the `with` the pages of all blocks are registered, and only whole ones; after it none is."""
    pin("pin_once", kind)


def test_pinned_twice(pin):
    """A pool is registered once however often it is pinned, and until the last of these is unpinned."""
    pin("pin_twice")


def test_the_memory_stays_mapped(pin):
    """A pinned pool that is closed and dropped stays mapped until it is unpinned."""
    pin("keep_the_memory")


@pytest.mark.parametrize(
    ("environment", "device"),
    [
        ({}, 0),
        ({"FAKE_CUDA_USED": 1}, 1),
        ({"FAKE_CUDA_CURRENT": 1}, 1),
        ({"FAKE_CUDA_CURRENT": 0, "FAKE_CUDA_USED": 1}, 0),
    ],
    ids=["unused", "used", "current", "current and used"],
)
def test_no_device_is_used_without_need(pin, environment, device):
    """The pages are registered on the device in use, so that no context is made on another one."""
    assert pin("choose_a_device", **environment)[0] == f"[{device}]\n"


@pytest.mark.parametrize("how", ["well", "by an error"])
def test_the_end_of_the_interpreter(pin, how):
    """What is pinned at the end of the interpreter is unregistered while the memory is there; nothing crashes."""
    _, names = pin("end_pinned", how)
    assert names.count("cuMemHostRegister_v2") == names.count("cuMemHostUnregister") == 3
    assert names.count("cuDevicePrimaryCtxRetain") == names.count("cuDevicePrimaryCtxRelease_v2") == 3


def test_a_forked_child(pin):
    """A forked child has nothing pinned, what it inherited does nothing, and pinning says how to start the child."""
    pin("fork")


STEPS = {
    "cuInit=100": "cannot start: no CUDA-capable device is detected (error 100 of the driver); pin() needs a GPU",
    "cuInit=3": "spawn or forkserver",
    "cuDeviceGetCount=999": "unknown (error 999 of the driver)",
    "cuDeviceGet=101": "cannot name a device",
    "cuDevicePrimaryCtxRetain=2": "no context can be made on device 0: out of memory (error 2 of the driver)",
    "cuCtxPushCurrent_v2=201": "the context cannot be used",
    "cuMemHostRegister_v2=2": "refused to pin the 53248 bytes of the pool: out of memory (error 2 of the driver); this "
    "process may lock",
    "cuMemHostRegister_v2=712": "registered with the CUDA driver already",
    "cuMemHostRegister_v2=1 cuGetErrorString=1": "unknown (error 1 of the driver)",
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_may_fail(pin, step):
    """Whatever the driver refuses is a PinFailed that says what and why; nothing stays behind."""
    out, names = pin("fail", fails=step)
    assert STEPS[step] in out
    assert "cuMemHostUnregister" not in names


def test_a_driver_without_a_device(pin):
    """A driver that counts no devices is a PinFailed that says where to look."""
    out, _ = pin("fail", FAKE_CUDA_DEVICES=0)
    assert "finds no device; pin() needs a GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES" in out


def test_the_driver_refuses_to_unpin(pin):
    """If the driver does not give the pages back, the pool stays pinned, and unpinning can be tried again."""
    out, _ = pin("refuse_to_unpin", "700")
    assert "did not give the pool back: unknown (error 700 of the driver); it stays pinned" in out


@pytest.mark.parametrize("code", [4, 201, 709, 713])
def test_a_registration_that_is_gone(pin, code):
    """If the driver, its context or the registration is gone already, unpinning is no error."""
    assert pin("refuse_to_unpin", str(code))[0] == ""


def test_pages_that_are_registered_already(pin):
    """Pages that something else has registered are refused, and unharmed."""
    out, _ = pin("pin_what_is_registered")
    assert "of the pool are registered with the CUDA driver already, by other code of this process" in out


def test_no_driver(tmp_path, run_python):
    """Without the driver library, the error says what was looked for and what to do."""
    (tmp_path / "libcuda.so.1").write_text("no library\n")
    out = run_python(
        """
        import os, sys
        if "again" not in sys.argv:
            os.environ["LD_LIBRARY_PATH"] = sys.argv[1]
            os.execv(sys.executable, [*sys.orig_argv, "again"])
        import blockpool as bp
        for pool in (bp.Pool(64, 1), bp.Pool.create(64, 1)):
            try:
                pool.pin()
            except bp.PinFailed as error:
                print(error)
        """,
        str(tmp_path),
    )
    for line in out.splitlines():
        assert re.match(r"pinning needs NVIDIA's driver, and libcuda.so.1 cannot be loaded \(.*\); install", line)
    assert len(out.splitlines()) == 2


def test_a_closed_pool(each):
    """Pinning a closed pool raises PoolClosed, with or without a driver."""
    each.close()
    with pytest.raises(bp.PoolClosed):
        each.pin()


def test_importing_does_not_look_for_a_driver(run_python):
    """`import blockpool` loads nothing of what pinning needs."""
    assert (
        run_python("import sys, blockpool; print('blockpool._pinning' in sys.modules, 'ctypes' in sys.modules)")
        == "False False\n"
    )


def test_a_pool_without_a_part(run_python):
    """A forked child without a part in the pool gets PoolClosed."""
    code = """
    import os
    import blockpool as bp
    pool = bp.Pool.create(64, 1, on_fork="detach")
    child = os.fork()
    if child == 0:
        try:
            pool.pin()
        except bp.PoolClosed:
            os._exit(7)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_python(code) == "7\n"
