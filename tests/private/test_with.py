"""`with pool.allocate() as block`: release at the end, unless somebody else holds the block by then."""

import contextlib
import gc
import pickle
import queue
import sys
import threading

import pytest

import blockpool as bp


def gone(block):
    """Whether the block was released."""
    try:
        block.address
    except bp.InvalidBlock:
        return True
    return False


def test_one_name(pool):
    """The ordinary case: the memory is back right after the `with`, although the name still exists."""
    with pool.allocate() as block:
        block.buf[:2] = b"ok"
        assert pool.stats().allocated == 1
    assert pool.stats().allocated == 0
    assert gone(block)


def test_without_a_name(pool):
    """The same without `as`."""
    with pool.allocate(blocks=3):
        assert pool.stats().allocated == 3
    assert pool.stats().allocated == 0


def test_a_name_given_before(pool):
    """The name may have been given before the `with`."""
    block = pool.allocate()
    with block:
        pass
    assert gone(block)
    assert pool.stats().allocated == 0


def test_a_finished_block_cannot_enter(pool):
    """`with` of a released or freed block raises at its start."""
    block = pool.allocate()
    with block:
        pass
    with pytest.raises(bp.InvalidBlock), block:
        pytest.fail("entered")


def test_freed_inside(pool):
    """A block may be freed or released inside; the end of `with` then does nothing."""
    with pool.allocate() as block:
        block.free()
        other = pool.allocate()
    assert pool.stats().allocated == 1
    assert not gone(other)
    with pool.allocate() as block:
        block.release()
    assert pool.stats().allocated == 1


def test_a_view_outlives_the_with(pool):
    """A view kept from inside pins the memory; the block itself is finished."""
    with pool.allocate() as block:
        view = block.buf
        view[:4] = b"kept"
    assert gone(block)
    assert pool.stats().allocated == 1
    assert pool.allocate().index == 1
    assert bytes(view[:4]) == b"kept"
    del view
    assert pool.stats().allocated == 0


def test_a_twin_outlives_the_with(pool):
    """So does a read-only twin."""
    with pool.allocate() as block:
        twin = block.readonly()
    assert gone(block)
    assert not gone(twin)
    assert pool.stats().allocated == 1
    twin.free()


def test_an_exception_passes_through(pool):
    """The block is released, and the exception goes on."""
    with pytest.raises(ZeroDivisionError), pool.allocate() as block:
        1 / 0
    assert gone(block)
    assert pool.stats().allocated == 0


def test_an_exception_that_is_kept(pool):
    """A traceback with the frame in which the name lives does not count as somebody who holds the block."""
    kept = []

    def fail():
        with pool.allocate() as block:
            block.buf[0] = 1
            raise KeyError

    try:
        fail()
    except KeyError as error:
        kept.append(error)
    assert pool.stats().allocated == 0
    frame = kept[0].__traceback__.tb_next.tb_frame
    assert gone(frame.f_locals["block"])


def test_an_exception_in_a_nested_handler(pool):
    """Nor does the context of a later exception."""

    def fail():
        try:
            with pool.allocate():
                {}["missing"]
        except KeyError as error:
            with pool.allocate() as block:
                raise ValueError(str(block)) from error

    with pytest.raises(ValueError) as caught:
        fail()
    assert pool.stats().allocated == 0
    assert caught.value.__cause__ is not None


def test_an_exception_that_carries_the_block(pool):
    """An exception with the block among its arguments does hold it."""
    with pytest.raises(ValueError) as caught, pool.allocate() as block:
        raise ValueError(block)
    assert not gone(block)
    caught.value.args[0].free()
    assert gone(block)


@pytest.mark.parametrize("end", ["return", "break", "continue"])
def test_every_way_out(pool, end):
    """return, break and continue leave the `with` like its end does."""

    def leave():
        for _ in range(2):
            with pool.allocate() as block:
                block.buf[0] = 1
                if end == "return":
                    return
                if end == "break":
                    break
                continue

    leave()
    assert pool.stats().allocated == 0
    assert pool.stats().frees == pool.stats().allocations


def test_returned_from_inside(pool):
    """A block that is returned from inside its `with` stays valid: the caller holds it."""

    def make():
        with pool.allocate() as block:
            return block

    block = make()
    assert not gone(block)
    block.free()


def test_a_queue(pool):
    """`with ... as b: queue.put(b)` delivers: the queue holds the block when the `with` ends."""
    waiting = queue.Queue()
    with pool.allocate() as block:
        block.buf[:5] = b"hello"
        waiting.put(block)
    del block
    assert pool.stats().allocated == 1
    received = waiting.get()
    assert bytes(received.buf[:5]) == b"hello"
    received.free()


def test_queues_between_threads(pool):
    """A producer that puts from inside `with` and a consumer that frees: nothing is lost, nothing is freed early."""
    there, back = queue.Queue(), queue.Queue()

    def consume():
        while (block := there.get()) is not None:
            back.put(bytes(block.buf[:8]))
            block.free()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    for number in range(300):
        with pool.allocate(timeout=30) as block:
            block.buf[:8] = number.to_bytes(8, "little")
            there.put(block)
    there.put(None)
    thread.join(30)
    assert [int.from_bytes(back.get(timeout=10), "little") for _ in range(300)] == list(range(300))
    del block
    assert pool.stats().allocated == 0


def test_a_queue_that_pickles_later(pool):
    """The block is there when a feeder pickles it after the `with`; a private one then says what to do instead."""
    waiting, outcome = queue.Queue(), queue.Queue()
    left = threading.Event()

    def feed():
        block = waiting.get()
        left.wait(10)
        try:
            pickle.dumps(block)
        except TypeError as error:
            outcome.put((str(error), bytes(block.buf[:4])))

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    with pool.allocate() as block:
        block.buf[:4] = b"data"
        waiting.put(block)
    left.set()
    message, data = outcome.get(timeout=10)
    thread.join()
    assert "bytes(block.buf)" in message
    assert data == b"data"
    assert not gone(block)


def test_a_lone_reference_without_a_name_counts_as_the_name(pool):
    """The known limit: with its name deleted inside, the queue's reference is taken for the name."""
    waiting = queue.Queue()
    with pool.allocate() as block:
        waiting.put(block)
        del block
    assert gone(waiting.get())
    assert pool.stats().allocated == 0


class Holder:
    """Something with an attribute."""


def _in_a_list(block):
    return [block]


def _in_a_dict(block):
    return {"block": block}


def _in_a_set(block):
    return {block}


def _in_an_object(block):
    holder = Holder()
    holder.block = block
    return holder


def _in_a_bound_method(block):
    return block.free


def _in_a_partial(block):
    import functools

    return functools.partial(print, block)


def _in_a_default(block):
    def use(it=block):
        return it

    return use


def _in_a_generator(block):
    def run(it):
        yield it

    return run(block)


def _in_a_tuple_of_arguments(block):
    return (1, (block, 2))


HOLDERS = [
    _in_a_list,
    _in_a_dict,
    _in_a_set,
    _in_an_object,
    _in_a_bound_method,
    _in_a_partial,
    _in_a_default,
    _in_a_generator,
    _in_a_tuple_of_arguments,
]


@pytest.mark.parametrize("hold", HOLDERS, ids=[hold.__name__ for hold in HOLDERS])
def test_whoever_holds_the_block_keeps_it_valid(pool, hold):
    """A block that something else holds at the end of `with` stays valid until that lets go."""
    with pool.allocate() as block:
        holder = hold(block)
    assert not gone(block)
    assert pool.stats().allocated == 1
    del block
    assert pool.stats().allocated == 1
    del holder
    assert pool.stats().allocated == 0


def test_a_second_name(pool):
    """A second name is somebody else, too."""
    with pool.allocate() as block:
        other = block
    assert not gone(block)
    other.free()


def test_a_closure(pool):
    """A lambda that uses the name shares its cell, which is the one name; the block is released."""
    with pool.allocate() as block:
        later = lambda: block.buf  # noqa: E731
        later()[:1] = b"x"
    assert pool.stats().allocated == 0
    with pytest.raises(bp.InvalidBlock):
        later()


def test_a_callback_given_the_block(pool):
    """A lambda that got the block as an argument's default holds it by itself."""
    with pool.allocate() as block:
        later = lambda it=block: bytes(it.buf[:2])  # noqa: E731
        block.buf[:2] = b"hi"
    del block
    assert later() == b"hi"
    del later
    assert pool.stats().allocated == 0


def test_a_paused_generator(pool):
    """A generator that pauses inside its `with` keeps the block; closing the generator releases it."""

    def work():
        with pool.allocate() as block:
            yield block.nbytes
            yield 2

    paused = work()
    assert next(paused) == 4096
    assert pool.stats().allocated == 1
    paused.close()
    assert pool.stats().allocated == 0
    assert paused.gi_frame is None
    paused = work()
    next(paused)
    del paused
    assert pool.stats().allocated == 0


def test_a_generator_that_yields_its_block(pool):
    """Who received the block from a generator and keeps it, keeps it valid when the generator ends."""

    def work():
        with pool.allocate() as block:
            yield block

    for block in work():
        block.buf[0] = 7
    assert not gone(block)
    assert block.buf[0] == 7
    block.free()


def test_nested(pool):
    """Two `with` of one block: the inner one sees the outer one's hold, and leaves the block valid."""
    with pool.allocate() as block:
        with block:
            pass
        assert not gone(block)
    assert gone(block)
    with pool.allocate() as a, pool.allocate() as b:
        assert a.index != b.index
    assert gone(a)
    assert gone(b)
    assert pool.stats().allocated == 0


def test_exit_stack(pool):
    """An ExitStack releases the blocks it was given, when nobody else holds them."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(pool.allocate())
        assert pool.stats().allocated == 4
    assert pool.stats().allocated == 0


def test_exit_stack_with_a_name(pool):
    """A block with a name in an ExitStack is released, or at the latest goes with its name."""
    with contextlib.ExitStack() as stack:
        block = stack.enter_context(pool.allocate())
        block.buf[0] = 1
    del block
    assert pool.stats().allocated == 0


def test_exit_stack_and_a_list(pool):
    """Blocks that are kept in a list survive an ExitStack."""
    kept = []
    with contextlib.ExitStack() as stack:
        kept.extend(stack.enter_context(pool.allocate()) for _ in range(3))
        kept[0].buf[0] = 1
    assert len(kept) == 3
    kept.clear()
    gc.collect()
    assert pool.stats().allocated == 0


def test_in_a_class_body_and_at_module_level(pool):
    """A global name or one in a class body is one name as well."""
    scope = {"pool": pool}
    exec("with pool.allocate() as block:\n    block.buf[0] = 1", scope)  # noqa: S102
    assert gone(scope["block"])

    class Body:
        with pool.allocate() as block:
            pass

    assert gone(Body.block)
    assert pool.stats().allocated == 0


def test_in_a_coroutine(pool):
    """A coroutine that is suspended inside keeps the block; when it is cancelled the block is released."""
    import asyncio

    async def work(started):
        with pool.allocate() as block:
            block.buf[0] = 1
            started.set()
            await asyncio.Event().wait()

    async def main():
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        assert pool.stats().allocated == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert pool.stats().allocated == 0


def test_with_allocate_many(pool):
    """Blocks of a list are held by the list: each stays valid after its own `with`."""
    blocks = pool.allocate_many(3)
    for block in blocks:
        with block:
            block.buf[0] = 1
    assert not any(gone(block) for block in blocks)
    del blocks, block
    assert pool.stats().allocated == 0


def test_the_pool_closed_inside(pool):
    """Closing the pool inside does not disturb the `with`."""
    with pool.allocate() as block:
        pool.close()
        block.buf[0] = 1
    assert gone(block)


def test_exit_called_by_hand(pool):
    """__exit__ takes its three arguments by position, and swallows nothing."""
    block = pool.allocate()
    assert block.__enter__() is block
    assert block.__exit__(None, None, None) is None
    with pytest.raises(TypeError):
        block.__exit__()


def _argument(pool):
    def use(block):
        with block:
            pass
        return pool.stats().allocated

    named = pool.allocate()
    return use(named)


def _argument_without_a_name(pool):
    def use(block):
        with block:
            pass
        return pool.stats().allocated

    return use(pool.allocate())


def _list(pool):
    for block in pool.allocate_many(2):
        with block:
            pass
    return pool.stats().allocated


def _locals(pool):
    with pool.allocate():
        locals()
    return pool.stats().allocated


def _locals_with_a_name(pool):
    with pool.allocate() as block:
        locals()
    return pool.stats().allocated


@pytest.mark.parametrize(
    ("program", "allocated"),
    [
        (_argument_without_a_name, 0),
        (_locals, 0),
        (_argument, 1),
        (_list, 1),
        (_locals_with_a_name, 1 if sys.version_info < (3, 13) else 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_the_guide_says_of_with(program, allocated):
    """At its end, `with` releases a block to which one other reference is left, or none; else it does nothing."""
    pool = bp.Pool(64, 16, debug=False)
    gc.collect()
    assert program(pool) == allocated
    gc.collect()
    assert pool.stats().allocated == 0
