"""The web servers of docs/how-to: how each is started with the programs of the page, and the pool it has."""

import os
import sys

import blockpool as bp
from servers import Server, write_programs

GUNICORN = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", "unix:{socket}", "--no-control-socket"]
# Debian's, which is for one Python. (PyPI has only the sources, which take a minute to compile.)
UWSGI = f"uwsgi_python{sys.version_info[0]}{sys.version_info[1]}"
WITH_UWSGI = [UWSGI, "--master", "--processes", "2", "--http-socket", "{socket}", "--die-on-term", "--need-app"]
UVICORN = [sys.executable, "serve.py"]

UNNAMED = 'pool = bp.Pool.create("64KiB", 256)'
NAMED = 'pool = bp.Pool.create("64KiB", 256, name="cache", exist_ok=True)'
HOOK = """pool = bp.Pool.create("64KiB", 256, name="cache", on_fork="detach")
import uwsgi
def attach():
    global pool
    pool = bp.Pool.attach("cache")
uwsgi.post_fork_hook = attach
"""

# How each is started, and what stands in its program for the pool that the master makes.
STARTS = {
    "gunicorn": ([*GUNICORN, "--preload", "cache:application"], UNNAMED),
    "gunicorn-without-preload": ([*GUNICORN, "cache:application"], NAMED),
    "gunicorn-gevent": ([*GUNICORN, "--preload", "--worker-class", "gevent", "cache:application"], UNNAMED),
    "uvicorn": (UVICORN, UNNAMED),
    "uwsgi": ([*WITH_UWSGI, "--py-call-osafterfork", "--wsgi-file", "cache.py"], UNNAMED),
    "uwsgi-lazy-apps": ([*WITH_UWSGI, "--lazy-apps", "--wsgi-file", "cache.py"], NAMED),
    "uwsgi-post-fork-hook": ([*WITH_UWSGI, "--wsgi-file", "cache.py"], HOOK),
}


def start(name, folder, pool_name):
    """Start one of these in a folder, with two workers and with this name of the pool if it has one."""
    command, pool = STARTS[name]
    write_programs(folder)
    for file, old, new in (
        ("cache.py", UNNAMED, pool),
        ("cache.py", '"cache"', f'"{pool_name}"'),
        ("app.py", '"cache"', f'"{pool_name}"'),
        ("serve.py", '"cache"', f'"{pool_name}"'),
        ("serve.py", "workers=2", f"workers=2, uds={str(folder / 'socket')!r}"),
    ):
        path = folder / file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(old, new), encoding="utf-8")
    return Server(command, folder, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))


def pool_of(pids):
    """Return a look from outside at the shared pool that all of these processes have attached."""
    pids = set(pids)
    for summary in bp.pools():
        if pids <= {process.pid for process in summary.processes}:
            return bp.inspect(summary.name or summary.pool_id)
    return None
