"""Start processes after `install` by the method in the second argument, and print how they send.

The first argument is the case, which is the name of a function at the end of this file.
"""

import logging
import multiprocessing
import sys

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _sending, _starting

if __name__ == "__mp_main__":
    logging.basicConfig(format="%(blockpool_event)s %(message)s", stream=sys.stdout)


def show():
    """Say how this process sends, before it has received anything."""
    route = _sending.current
    if route is None:
        print("nothing", flush=True)
    else:
        print(route.threshold, route.readonly, route.on_full, route.timeout, route.pool.block_size, flush=True)


def show_and_start(context):
    """Say how this process sends, and have a child of it do so."""
    show()
    run(context)


def run(context, function=show, *arguments):
    """Run a function in a process."""
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()
    print(process.exitcode, flush=True)


def settings(context):
    """Start a process, and one of an argument that comes through the pool, and a grandchild."""
    carrier.install(bp.Pool.create("16KiB", 64), threshold=1000, readonly=True, on_full="wait", timeout=2.5)
    run(context)
    run(context, show_and_start, context)


def show_beside(_):
    """Say how this process sends."""
    show()


def with_an_array(context):
    """Start a process with an array, which joins the pool before the process is read."""
    carrier.install(bp.Pool.create("16KiB", 64), on_full="raise")
    run(context, show_beside, np.ones(100_000))


def after_uninstall(context):
    """Start a process after uninstall."""
    carrier.install(bp.Pool.create("16KiB", 64))
    carrier.uninstall()
    run(context)


def a_server_before(context):
    """Start a process by a fork server that was started before install."""
    run(context)
    carrier.install(bp.Pool.create("16KiB", 64))
    run(context)


def in_a_full_pool(context):
    """Start a process that cannot attach the pool."""
    carrier.install(bp.Pool.create("16KiB", 64, processes=1))
    run(context)


def with_a_closed_pool(context):
    """Start a process after the pool was closed."""
    pool = bp.Pool.create("16KiB", 64)
    carrier.install(pool)
    pool.close()
    logging.basicConfig(format="%(blockpool_event)s", stream=sys.stdout)
    run(context)


def with_a_pool_that_goes(context):
    """Close the pool, which nobody else has, when the process is pickled and not yet started."""
    pool = bp.Pool.create("16KiB", 64)
    carrier.install(pool)
    with_route = _starting.with_route

    def close_after(obj, route):
        replaced = with_route(obj, route)
        if replaced is not obj:
            pool.close()
        return replaced

    _starting.with_route = close_after
    run(context)


if __name__ == "__main__":
    globals()[sys.argv[1]](multiprocessing.get_context(sys.argv[2]))
