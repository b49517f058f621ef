"""Processes that are started after install send as their parent from the beginning, or start all the same."""

import pytest

PROGRAM = "transfer/started.py"
SETTINGS = "1000 True wait 2.5 16384"
METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_the_settings_are_those_of_the_parent(run_program, method):
    """A child, and a child of a child, sends through the parent's pool with its settings before it runs anything."""
    said = run_program(PROGRAM, "settings", method, timeout=600)
    assert said.splitlines() == [SETTINGS, "0", SETTINGS, SETTINGS, "0", "0"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_settings_come_before_the_arguments(run_program, method):
    """A child whose arguments come through the pool has all settings, not only those that come with an array."""
    said = run_program(PROGRAM, "with_an_array", method, timeout=600)
    assert said.splitlines() == ["65536 False raise None 16384", "0"]


@pytest.mark.parametrize("method", METHODS)
def test_after_uninstall_children_have_nothing(run_program, method):
    """A child that is started after uninstall sends as without blockpool."""
    said = run_program(PROGRAM, "after_uninstall", method, timeout=600)
    assert said.splitlines() == ["nothing", "0"]


def test_a_fork_server_that_was_there_before(run_program):
    """A child of a fork server that was started before install is installed, unlike the child before."""
    said = run_program(PROGRAM, "a_server_before", "forkserver", timeout=600)
    assert said.splitlines() == ["nothing", "0", "65536 False copy None 16384", "0"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_that_has_its_most_processes(run_program, method):
    """A child that cannot attach the pool starts without it, and logs why."""
    said = run_program(PROGRAM, "in_a_full_pool", method, timeout=600).splitlines()
    assert said[0].startswith("started_without_pool a process starts without what")
    assert "as many as it was created for" in said[0]
    assert said[1:] == ["nothing", "0"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_that_is_gone_when_the_child_starts(run_program, method):
    """A child whose pool ended while the child was being started starts without it, and logs why."""
    said = run_program(PROGRAM, "with_a_pool_that_goes", method, timeout=600).splitlines()
    assert said[0].startswith("started_without_pool")
    assert said[1:] == ["nothing", "0"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_that_was_closed(run_program, method):
    """After the pool was closed, the parent logs that its children start without it, and starts them."""
    said = run_program(PROGRAM, "with_a_closed_pool", method, timeout=600).splitlines()
    assert said == ["started_without_pool", "nothing", "0"]


def test_the_main_module_comes_first(run_program, tmp_path):
    """What the main module of a child says, install or uninstall, is not replaced by what the parent installed."""
    program = tmp_path / "says.py"
    program.write_text("""
import multiprocessing
import sys
import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _sending

if __name__ == "__mp_main__":
    if sys.argv[1] == "install":
        carrier.install(bp.Pool.create("16KiB", 64), threshold=77)
    else:
        carrier.uninstall()

def show():
    print(_sending.current and _sending.current.threshold, flush=True)

if __name__ == "__main__":
    carrier.install(bp.Pool.create("16KiB", 64))
    process = multiprocessing.get_context("spawn").Process(target=show)
    process.start()
    process.join()
""")
    for says, expected in (("install", "77"), ("uninstall", "None")):
        assert run_program(str(program), says, timeout=600).split() == [expected]


def test_where_only_the_program_finds_blockpool(run_program):
    """A child finds blockpool by the parent's sys.path, though it is not among the paths it was started with."""
    said = run_program(
        """
        import sys
        import blockpool as bp
        import blockpool.multiprocessing as carrier
        import multiprocessing
        from multiprocessing import util

        plain = util.spawnv_passfds

        def isolated(path, args, fds):
            return plain(path, [args[0], b"-I", b"-S", *args[1:]], fds)  # without site-packages

        carrier.install(bp.Pool.create("16KiB", 64))
        util.spawnv_passfds = isolated
        process = multiprocessing.get_context("spawn").Process(target=print, args=("started",))
        process.start()
        process.join()
        print(process.exitcode)
        """,
        timeout=600,
    )
    assert said.split() == ["started", "0"]
