"""`with pool.allocate() as block`: release at its end, unless something else refers to the block by then."""

import contextlib
import gc
import pickle
import queue
import sys
import threading

import pytest

import blockpool as bp


def gone(block):
    """Return whether the block was released."""
    try:
        block.address
    except bp.InvalidBlock:
        return True
    return False


def test_one_name(pool):
    """A block with one name is released at the end of its `with`, although the name still exists."""
    with pool.allocate() as block:
        block.buf[:2] = b"ok"
        assert pool.stats().allocated == 1
    assert pool.stats().allocated == 0
    assert gone(block)


def test_without_a_name(pool):
    """A block in a `with` without `as` is released at its end."""
    with pool.allocate(blocks=3):
        assert pool.stats().allocated == 3
    assert pool.stats().allocated == 0


def test_a_name_given_before(pool):
    """A block that got its name before its `with` is released at its end."""
    block = pool.allocate()
    with block:
        pass
    assert gone(block)
    assert pool.stats().allocated == 0


def test_a_finished_block_cannot_enter(pool):
    """`with` of a released block raises InvalidBlock at its start."""
    block = pool.allocate()
    with block:
        pass
    with pytest.raises(bp.InvalidBlock), block:
        pytest.fail("entered")


def test_freed_inside(pool):
    """If a block was freed or released inside its `with`, the end of the `with` does nothing."""
    with pool.allocate() as block:
        block.free()
        other = pool.allocate()
    assert pool.stats().allocated == 1
    assert not gone(other)
    with pool.allocate() as block:
        block.release()
    assert pool.stats().allocated == 1


def test_a_view_outlives_the_with(pool):
    """A view that outlives the `with` keeps the memory allocated, while the block itself is released."""
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
    """A read-only twin that outlives the `with` keeps the memory allocated, while the block itself is released."""
    with pool.allocate() as block:
        twin = block.readonly()
    assert gone(block)
    assert not gone(twin)
    assert pool.stats().allocated == 1
    twin.free()


def test_an_exception_passes_through(pool):
    """An exception inside a `with` passes through, and the block is released."""
    with pytest.raises(ZeroDivisionError), pool.allocate() as block:
        1 / 0
    assert gone(block)
    assert pool.stats().allocated == 0


def test_an_exception_that_is_kept(pool):
    """A traceback that holds the frame with the block's name does not keep the block from being released."""
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
    """An exception that is the cause of another one does not keep the block from being released."""

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
    """An exception that has the block among its arguments keeps it valid after the `with`."""
    with pytest.raises(ValueError) as caught, pool.allocate() as block:
        raise ValueError(block)
    assert not gone(block)
    caught.value.args[0].free()
    assert gone(block)


@pytest.mark.parametrize("end", ["return", "break", "continue"])
def test_every_way_out(pool, end):
    """Leaving a `with` by return, break or continue releases the block."""

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
    """A block that is returned from inside its `with` stays valid."""

    def make():
        with pool.allocate() as block:
            return block

    block = make()
    assert not gone(block)
    block.free()


def _returned_at_the_end_of_more(block):
    with block as it:
        it.buf[0] = 1
        return it


def _returned_by_its_first_name(block):
    with block:
        block.buf[0] = 1
        return block


def _returned_from_a_branch(block):
    with block as it:
        for _ in range(3):
            if it:
                return it
    return None


def _returned_through_two(block):
    with bp.Pool(64, 1).allocate() as other:
        other.buf[0] = 1
        with block as it:
            len("")
            return it


def _returned_after_a_finally(block):
    try:
        with block as it:
            len("")
            return it
    finally:
        len("")


RETURNS = [
    _returned_at_the_end_of_more,
    _returned_by_its_first_name,
    _returned_from_a_branch,
    _returned_through_two,
    _returned_after_a_finally,
]


@pytest.mark.parametrize("make", RETURNS, ids=lambda make: make.__name__)
def test_returned_in_every_way(pool, make):
    """A block that is returned from inside a `with` stays valid, whichever name and way; without use it goes."""
    block = make(pool.allocate())
    assert not gone(block)
    block.free()
    make(pool.allocate())
    assert pool.stats().allocated == 0


def _put_by_its_first_name(pool, waiting):
    block = pool.allocate()
    with block:
        waiting.append(block)


def _put_before(pool, waiting):
    block = pool.allocate()
    waiting.append(block)
    with block:
        pass


def _put_by_an_argument(pool, waiting):
    def send(block):
        with block:
            waiting.append(block)

    send(pool.allocate())


def _put_by_a_named_argument(pool, waiting):
    def send(*, block):
        with block:
            waiting.append(block)

    named = pool.allocate()
    send(block=named)


def _put_by_another_name(pool, waiting):
    block = pool.allocate()
    with block as other:
        waiting.append(other)


def _put_by_an_exit_stack(pool, waiting):
    with contextlib.ExitStack() as stack:
        waiting.append(stack.enter_context(pool.allocate()))
        kept = waiting[-1]
        kept.buf[0] = 1


def _put_in_a_coroutine(pool, waiting):
    async def send():
        block = pool.allocate()
        with block:
            waiting.append(block)

    with contextlib.suppress(StopIteration):
        send().send(None)


PUTS = [
    _put_by_its_first_name,
    _put_before,
    _put_by_an_argument,
    _put_by_a_named_argument,
    _put_by_another_name,
    _put_by_an_exit_stack,
    _put_in_a_coroutine,
]


@pytest.mark.parametrize("put", PUTS, ids=lambda put: put.__name__)
def test_what_was_put_away_is_not_lost(pool, put):
    """A block that stands in a container at the end of its `with` stays valid, whichever names it has or had."""
    waiting = []
    put(pool, waiting)
    (block,) = waiting
    block.buf[:1] = b"x"
    block.free()


def test_a_queue(pool):
    """A block that was put into a queue inside its `with` stays valid for the receiver."""
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
    """Blocks that one thread puts into a queue inside `with` and another frees are neither lost nor freed early."""
    there, back = queue.Queue(), queue.Queue()

    def consume():
        while (block := there.get()) is not None:
            back.put(bytes(block.buf[:8]))
            block.free()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    for number in range(300):
        with pool.allocate(timeout=60) as block:
            block.buf[:8] = number.to_bytes(8, "little")
            there.put(block)
    there.put(None)
    thread.join(60)
    assert [int.from_bytes(back.get(timeout=60), "little") for _ in range(300)] == list(range(300))
    del block
    assert pool.stats().allocated == 0


def test_a_queue_that_pickles_later(pool):
    """A private block that a feeder thread pickles after the `with` is still valid; the TypeError says what to do."""
    waiting, outcome = queue.Queue(), queue.Queue()
    left = threading.Event()

    def feed():
        block = waiting.get()
        left.wait(60)
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
    message, data = outcome.get(timeout=60)
    thread.join()
    assert "bytes(block.buf)" in message
    assert data == b"data"
    assert not gone(block)


def test_a_lone_reference_without_a_name_counts_as_the_name(pool):
    """A known limit: if the name is deleted inside the `with`, a queue's reference counts as the name."""
    waiting = queue.Queue()
    with pool.allocate() as block:
        waiting.put(block)
        del block
    assert gone(waiting.get())
    assert pool.stats().allocated == 0


class Holder:
    """An object that can have attributes."""


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
def test_what_holds_the_block_keeps_it_valid(pool, hold):
    """A block that something else refers to at the end of its `with` stays valid until that lets go."""
    with pool.allocate() as block:
        holder = hold(block)
    assert not gone(block)
    assert pool.stats().allocated == 1
    del block
    assert pool.stats().allocated == 1
    del holder
    assert pool.stats().allocated == 0


def test_a_second_name(pool):
    """A block with a second name stays valid after its `with`."""
    with pool.allocate() as block:
        other = block
    assert not gone(block)
    other.free()


def test_a_closure(pool):
    """A lambda that uses the block's name does not keep it: both share one cell, and the block is released."""
    with pool.allocate() as block:
        later = lambda: block.buf  # noqa: E731
        later()[:1] = b"x"
    assert pool.stats().allocated == 0
    with pytest.raises(bp.InvalidBlock):
        later()


def test_a_callback_given_the_block(pool):
    """A lambda with the block as the default of an argument keeps it valid after the `with`."""
    with pool.allocate() as block:
        later = lambda it=block: bytes(it.buf[:2])  # noqa: E731
        block.buf[:2] = b"hi"
    del block
    assert later() == b"hi"
    del later
    assert pool.stats().allocated == 0


def test_a_paused_generator(pool):
    """A generator that is paused inside a `with` keeps the block allocated; closing the generator releases it."""

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
    """A block that a generator yields inside its `with` stays valid for a caller that keeps it."""

    def work():
        with pool.allocate() as block:
            yield block

    for block in work():
        block.buf[0] = 7
    assert not gone(block)
    assert block.buf[0] == 7
    block.free()


def test_nested(pool):
    """The inner of two nested `with` of one block leaves it valid; the outer one releases it."""
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
    """An ExitStack releases its blocks if nothing else refers to them."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(pool.allocate())
        assert pool.stats().allocated == 4
    assert pool.stats().allocated == 0


def test_exit_stack_with_a_name(pool):
    """A block in an ExitStack that also has a name goes at the latest with its name."""
    with contextlib.ExitStack() as stack:
        block = stack.enter_context(pool.allocate())
        block.buf[0] = 1
    del block
    assert pool.stats().allocated == 0


def test_exit_stack_and_a_list(pool):
    """Blocks of an ExitStack that are also in a list stay valid after it."""
    kept = []
    with contextlib.ExitStack() as stack:
        kept.extend(stack.enter_context(pool.allocate()) for _ in range(3))
        kept[0].buf[0] = 1
    assert len(kept) == 3
    kept.clear()
    gc.collect()
    assert pool.stats().allocated == 0


def test_in_a_class_body_and_at_module_level(pool):
    """A block with a global name, or a name in a class body, is released at the end of its `with`."""
    scope = {"pool": pool}
    exec("with pool.allocate() as block:\n    block.buf[0] = 1", scope)  # noqa: S102
    assert gone(scope["block"])

    class Body:
        with pool.allocate() as block:
            pass

    assert gone(Body.block)
    assert pool.stats().allocated == 0


def test_in_a_coroutine(pool):
    """A coroutine that is suspended inside a `with` keeps the block; cancelling it releases the block."""
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
    """Blocks in the list from allocate_many stay valid after a `with` of their own."""
    blocks = pool.allocate_many(3)
    for block in blocks:
        with block:
            block.buf[0] = 1
    assert not any(gone(block) for block in blocks)
    del blocks, block
    assert pool.stats().allocated == 0


def test_the_pool_closed_inside(pool):
    """A block is released at the end of its `with` even if the pool was closed inside."""
    with pool.allocate() as block:
        pool.close()
        block.buf[0] = 1
    assert gone(block)


def test_exit_called_by_hand(pool):
    """Block.__exit__ takes its three arguments by position, and swallows no exception."""
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


def _argument_of_an_argument(pool):
    def use(block):
        with block:
            pass
        return pool.stats().allocated

    def pass_on(block):
        return use(block)

    named = pool.allocate()
    return pass_on(named)


def _argument_with_a_name(pool):
    def use(block):
        with block as it:
            it.buf[0] = 1
        return pool.stats().allocated

    return use(pool.allocate())


def _two_names(pool):
    block = pool.allocate()
    with block as other:
        other.buf[0] = 1
    return pool.stats().allocated


def _by_hand(pool):
    block = pool.allocate()
    block.__enter__()
    block.__exit__(None, None, None)
    return pool.stats().allocated


def _attribute(pool):
    holder = Holder()
    holder.block = pool.allocate()
    with holder.block:
        pass
    return pool.stats().allocated


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
        (_argument_of_an_argument, 1),
        (_argument_with_a_name, 1),
        (_two_names, 1),
        (_by_hand, 0),
        (_attribute, 0),
        (_locals, 0),
        (_argument, 1),
        (_list, 1),
        (_locals_with_a_name, 1 if sys.version_info < (3, 13) else 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_the_guide_says_of_with(program, allocated):
    """`with` releases a block to which at most one other reference is left at its end, as the guide says."""
    pool = bp.Pool(64, 16, debug=False)
    gc.collect()
    assert program(pool) == allocated
    gc.collect()
    assert pool.stats().allocated == 0
