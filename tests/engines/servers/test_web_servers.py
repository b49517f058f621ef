"""The cache of docs/how-to/gunicorn.md in web servers: workers share memory; they are killed, and all is given back.

`make engines-test` runs this.
"""

import shutil

import pytest

import blockpool as bp
from web_servers import STARTS, UWSGI, pool_of, start

NEEDED = {
    "gunicorn": ["gunicorn"],
    "gunicorn-without-preload": ["gunicorn"],
    "gunicorn-gevent": ["gunicorn", "gevent"],
    "uvicorn": ["uvicorn", "starlette"],
}
SIZE = 9 << 20  # of the upload whose worker is killed: more than half of the pool
LARGE = bytes(range(250)) * 800


@pytest.fixture(params=STARTS)
def server(request, tmp_path, pool_name):
    """Start each server in turn, with two workers."""
    if request.param.startswith("uwsgi") and shutil.which(UWSGI) is None:
        pytest.skip(f"{UWSGI} is not installed")
    for module in NEEDED.get(request.param, []):
        pytest.importorskip(module)
    with start(request.param, tmp_path, pool_name) as started:
        yield started


def holder_of(pool, size):
    """Return the worker that has a run of `size` bytes under no name: that of an upload."""
    for run in pool.runs():
        if run.nbytes == size and not run.names and len(run.holders) == 1:
            return run.holders[0]
    return None


def ask_another(server, not_these, name):
    """Return what another worker than these answers."""
    answers = []
    server.await_true(lambda: answers.append(server.ask("GET", name)) or answers[-1][2] not in not_these)
    return answers[-1]


def test_workers_that_are_killed(request, server, pool_name, file_of):
    """What one worker stores another returns; one killed within an upload costs only that, and nothing is left."""
    status, _, first = server.ask("PUT", "frame", LARGE)
    assert status == 204
    assert server.ask("GET", "nothing")[0] == 404
    with pool_of([first]) as pool:
        pool_id = pool.pool_id
        server.await_true(lambda: all(process.pid for process in pool.processes()))  # 0: it is attaching
        workers = {process.pid for process in pool.processes() if process.pid}
        if server.process.pid in workers:  # the master has the pool: what is stored outlives all workers
            server.kill(workers - {server.process.pid})
            assert ask_another(server, workers, "frame")[:2] == (200, LARGE)
            server.await_true(lambda: len({each.pid for each in pool.processes() if each.alive and each.pid}) == 3)
            workers |= {process.pid for process in pool.processes()}
        # In the middle of an upload: the worker has a block and half of the body.
        upload = server.begin("half", bytes(SIZE // 2), SIZE)
        server.await_true(lambda: holder_of(pool, SIZE))
        held_by = holder_of(pool, SIZE)
        status, body, _ = ask_another(server, {held_by}, "frame")
        assert (status, body) == (200, LARGE)

        server.kill({held_by})
        with pytest.raises(OSError):
            upload.getresponse()
        upload.close()
        # A new worker that has all that is stored. (It answers, so it is also ready to be told to end.)
        assert ask_another(server, workers, "frame")[:2] == (200, LARGE)
        assert server.ask("GET", "half")[0] == 404
        # For this there is room only once what the dead worker had is back.
        whole = bytes(range(256)) * (SIZE // 256)
        assert server.ask("PUT", "half", whole)[0] == 204
        assert server.ask("GET", "half")[1] == whole
        server.await_true(lambda: sorted(run.names for run in pool.runs()) == [("frame",), ("half",)])
        assert pool.stats().tickets == 0
        pool.check()
    server.await_rest()  # uWSGI ends a worker that is within a request at once, without Python's end
    server.stop()
    if "uwsgi-post-fork-hook" in request.node.name:
        # uWSGI's master does not end Python, so a named pool stays as if it were killed, until the next create of its
        # name, or the first one of any program.
        assert {summary.leftover for summary in bp.pools() if summary.pool_id == pool_id} <= {True}
        bp.Pool.create("4KiB", 1, name=pool_name).close()
    assert pool_id not in {summary.pool_id for summary in bp.pools()}
    assert not file_of(pool_name).exists()
