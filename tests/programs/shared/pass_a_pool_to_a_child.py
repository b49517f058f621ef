"""Give a child a pool without a name: by itself, by a block, a read-only one, a ticket and a handle.

Argument: the start method.
"""

import multiprocessing
import sys

import blockpool as bp


def work(queue, pool, block, twin, *names):
    """Use all that came, and answer with a block."""
    assert bytes(block.buf[:2]) == b"go"
    assert twin.buf.readonly
    for name in names:
        got = bp.redeem(name)
        assert bytes(got.buf[:2]) == b"go"
        assert got.pool.stats().processes == 2
        got.release()
    mine = pool.allocate(nbytes=70)
    mine.buf[:4] = b"back"
    queue.put(mine)
    block.buf[:2] = b"ok"


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    with bp.Pool.create(64, 8) as pool:
        block = pool.allocate()
        block.buf[:2] = b"go"
        arguments = (queue, pool, block, block.readonly(), block.share(), str(block.handle))
        child = context.Process(target=work, args=arguments)
        child.start()
        back = queue.get()
        child.join()
        assert child.exitcode == 0
        assert (bytes(back.buf[:4]), back.nbytes, bytes(block.buf[:2])) == (b"back", 70, b"ok")
        del child, arguments
        pool.recover()
        assert pool.stats().processes == 1
        back.free()
        block.free()
        assert pool.check().allocated == 0
