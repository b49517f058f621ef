"""The tasks of docs/how-to/celery.md in Celery's prefork workers: blocks by handle and ticket; a worker is killed."""

import os
import signal
import sys
import textwrap

import pytest

import blockpool as bp
from servers import Server, write_programs

pytest.importorskip("celery")

# A broker and results in files, as there is none here.
CONFIG = """
    from pathlib import Path

    folders = {name: Path("celery", name).absolute() for name in ("messages", "control", "results")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    broker_url = "filesystem://"
    broker_transport_options = {
        "data_folder_in": folders["messages"],
        "data_folder_out": folders["messages"],
        "control_folder": folders["control"],
        "polling_interval": 0.1,
    }
    worker_lost_wait = 0.2  # seconds until a task counts as lost, after its worker died
    result_backend = folders["results"].as_uri()
"""

# A client: it sends tasks, and prints what came of them. Lines of input say when to go on.
CLIENT = """
    import sys

    from billiard.exceptions import WorkerLostError

    import blockpool as bp
    import tasks
    from waits import await_true


    def result_of(sent):
        ticket, worker = sent.get(timeout=120, interval=0.02)
        with bp.redeem(ticket) as block:
            assert bytes(block.buf) == bytes([4]) * 100_000
        return worker


    with tasks.pool.allocate(nbytes=100_000) as frame:
        frame.buf[:] = bytes([3]) * 100_000
        handle = str(frame.handle)
        print(result_of(tasks.brighten.delay(handle)), flush=True)
        others = tasks.pool.allocate_many(tasks.pool.stats().free)  # so the next task waits for room
        lost = tasks.brighten.delay(handle)
        print("full", flush=True)
        try:
            lost.get(timeout=120, interval=0.02)
        except WorkerLostError as error:
            print("lost", flush=True)
        else:
            raise AssertionError("the task ended")
        others.clear()
        print(result_of(tasks.brighten.delay(handle)), flush=True)



    def is_empty():
        tasks.pool.recover()  # what the killed worker held comes back now, not when somebody needs it
        return tasks.pool.stats().allocated == 0


    await_true(is_empty)
    print(tasks.pool.stats().allocated, tasks.pool.stats().tickets, tasks.pool.check().healed, flush=True)
"""


@pytest.fixture
def worker(tmp_path, pool_name):
    """Start Celery with two prefork workers, with programs in its folder."""
    write_programs(tmp_path)
    path = tmp_path / "tasks.py"
    path.write_text(path.read_text().replace('"frames"', f'"{pool_name}"'))
    (tmp_path / "celeryconfig.py").write_text(textwrap.dedent(CONFIG))
    (tmp_path / "clients.py").write_text(textwrap.dedent(CLIENT))
    options = ["--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "info"]
    with Server([sys.executable, "-m", "celery", "--app", "tasks", "worker", *options], tmp_path) as started:
        yield started


def test_a_worker_that_is_killed_in_a_task(worker, pool_name, file_of, tmp_path):
    """Tasks get blocks by handle and answer by ticket; one whose worker is killed fails, and nothing else is lost."""
    with Server([sys.executable, "client.py"], tmp_path) as client:
        assert client.process.wait(120) == 0, client.said() + worker.said()
        assert client.said() == "1\n"
    with Server([sys.executable, "clients.py"], tmp_path) as client:
        said = lambda: client.said().split("\n")  # noqa: E731
        client.await_true(lambda: "full" in client.said())
        first = int(said()[0])
        with bp.inspect(pool_name) as pool:
            frame = lambda: next(run for run in pool.runs() if run.nbytes == 100_000)  # noqa: E731
            client.await_true(lambda: len(frame().holders) == 2)  # the client, and the worker that waits for room
            (holder,) = set(frame().holders) - {client.process.pid}
            assert holder > 0
            os.kill(holder, signal.SIGKILL)
            assert client.process.wait(120) == 0, client.said() + worker.said()
    lines = client.said().splitlines()
    assert lines[1:3] == ["full", "lost"], client.said()
    assert first in worker.processes() or first == holder
    assert int(lines[3]) != holder
    assert lines[4] == "0 0 0", client.said()
    worker.stop()
    assert not file_of(pool_name).exists()
