"""Garbled and hand-made messages: each field of each kind is checked before it is used."""

import pickle
from contextlib import contextmanager

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _core, _receive, _receive_arrays

REFERENCE = ("pool_id", "index", "generation", "process", "name")
ROUTE = ("threshold", "all_readonly", *REFERENCE)
FIELDS = {
    "block": (*REFERENCE, "nbytes", "readonly"),
    "array": (*ROUTE, "offset", "shape", "strides", "dtype", "readonly"),
    "buffer": (*ROUTE, "offset", "nbytes", "readonly"),
}


class Rogue:
    """An object that cannot be compared and cannot be a key."""

    def __eq__(self, other):
        raise ZeroDivisionError

    __hash__ = None


class Odd(bytes):
    """Bytes that cannot be compared or hashed."""

    __slots__ = ()

    def __hash__(self):
        raise ZeroDivisionError

    def __eq__(self, other):
        raise ZeroDivisionError


# What is wrong wherever it stands.
ANYWHERE = [Rogue(), 1.5, "x", b"x", Odd(16), [], [1], {}, -1, -(2**63), 2**64, 2**70, 10**5000]
ALSO = {
    "pool_id": [None, b"", b"x" * 15, b"x" * 17, bytearray(16), "0" * 32, 0, ()],
    "index": [None, True, 2**24, 2**63, ()],
    "generation": [None, True, 2**40, 2**63, ()],
    "process": [None, True, 2**31, ()],
    "name": [0, ()],
    "threshold": [None, 0, ()],
    "all_readonly": [None, 0, 1, ()],
    "readonly": [None, 0, 1, ()],
    "nbytes": [None, True, 2**63, 4097, ()],
    "offset": [None, True, 2**63 - 1, 4097, ()],
    "shape": [None, 0, (None,), ("x",), (-1,), (2**62, 2**62), (2**70,), (1,) * 65, (4097,)],
    "strides": [0, (), (1, 1), (None,), ("x",), (2**63,), (2**62,), (-1,), (10**5000,)],
    "dtype": [None, 17, 18, 19, 20, 24, 25, 99, 2056, 2**31, int, np.dtype("O"), np.dtype("f8,O")],
}
CASES = [
    (kind, field, number)
    for kind, fields in FIELDS.items()
    for field in fields
    for number, value in enumerate([*ANYWHERE, *ALSO[field]])
    if not (field == "name" and value is ANYWHERE[2])  # which is not looked at, as the id finds the pool here
]


@contextmanager
def parts_of(kind, pool):
    """Give the fields of a message in flight; afterwards only its sender has the block, with its data.

    Nothing is left in flight.
    """
    block = pool.allocate()
    block.buf[:] = b"7" * 4096
    if kind == "block":
        sent = _core._send_block(block)[1]
    elif kind == "array":
        sent = _core.send_array(block.array(4096, "u1")[:100], False, 65536, [])  # noqa: FBT003 - readonly
    else:
        sent = _core.send_buffer(block.buf[:100], False, 65536, [])  # noqa: FBT003 - readonly
    yield dict(zip(FIELDS[kind], sent, strict=True))
    carrier.uninstall()
    pool.recover(tickets_older_than=0)
    assert bytes(block.buf) == b"7" * 4096
    block.free()
    assert (pool.check().allocated, pool.stats().tickets) == (0, 0)


RECEIVE = {
    "block": _receive.block,
    "array": _receive_arrays.array,
    "buffer": _core._receive_buffer,
}


@pytest.mark.parametrize("kind", [None, 5, int, object, bp.Block, "Pool", bp.Pool.create])
def test_a_pickled_pool_of_another_class(shared, kind):
    """The pickle of a pool is refused when the class in it is not a class of pools."""
    text, share, *_ = shared.__reduce_ex__(4)[1]
    assert type(_core._attach_pickled(text, share, bp.Pool)) is bp.Pool
    with pytest.raises(bp.InvalidBlock, match="its class is"):
        _core._attach_pickled(text, share, kind)


def test_messages_as_they_are_sent(shared):
    """Each kind of message, taken apart and put together again, gives what was sent."""
    for kind, receive in RECEIVE.items():
        with parts_of(kind, shared) as parts:
            got = receive(*parts.values())
            assert bytes(got.buf if kind == "block" else got)[:100] == b"7" * 100
            del got


@pytest.mark.parametrize(("kind", "field", "number"), CASES)
def test_a_garbled_field(shared, kind, field, number):
    """A wrong value in any field of a message is a typed error, never another object, and nothing stays in flight."""
    value = [*ANYWHERE, *ALSO[field]][number]
    with parts_of(kind, shared) as parts:
        with pytest.raises((bp.BlockPoolError, TypeError, ValueError)) as caught:
            RECEIVE[kind](*(parts | {field: value}).values())
        assert not isinstance(caught.value, OverflowError)
        del caught


@pytest.mark.parametrize("kind", RECEIVE)
def test_a_message_of_another_length(shared, kind):
    """A message with a field too few or too many is a TypeError and takes nothing."""
    with parts_of(kind, shared) as parts:
        for wrong in ((), [*parts.values()][:-1], [*parts.values(), 1]):
            with pytest.raises(TypeError):
                RECEIVE[kind](*wrong)


@pytest.mark.parametrize("buffers", [None, [], (), {}, 5, "x", [None], [()], [(1, 2)], [5], {(): 1}])
def test_buffers_that_are_none(buffers):
    """A message that comes without its out-of-band buffers, or with something else in their place, is refused."""
    with pytest.raises((bp.InvalidBlock, TypeError)):
        _receive_arrays.parcel(pickle.dumps(1), buffers)


@pytest.mark.parametrize("kind", [bp.Handle, bp.Ticket])
@pytest.mark.parametrize("field", REFERENCE)
def test_a_handle_with_a_part_that_is_none(shared, unchanged, kind, field):
    """A handle with a part changed by hand is redeemed by the text it has then; an impossible text is a ValueError."""
    block = shared.allocate()
    with unchanged(shared):
        for value in [*ANYWHERE, *ALSO[field]]:
            parts = {name: getattr(block.handle, name) for name in REFERENCE}
            made = kind(**(parts | {field: value}))
            try:
                bp.redeem(made).release()
            except (bp.InvalidBlock, bp.PoolNotFound, ValueError):
                continue
            assert field in {"process", "index", "name"}  # a number that is a text, or none
    block.free()


def test_a_handle_without_parts():
    """A handle whose parts were never set is a ValueError that names a part that it lacks."""
    for kind in (bp.Handle, bp.Ticket):
        with pytest.raises(ValueError, match="lacks a part"):
            bp.redeem(kind.__new__(kind))


@pytest.mark.parametrize("text", [None, 5, b"x", "blockpool-handle:", [], Rogue()])
def test_a_pickled_pool_of_no_pool(text):
    """The pickle of a pool is refused when the handle in it is garbled."""
    with pytest.raises((TypeError, ValueError), match="handle or ticket"):
        _core._attach_pickled(text, True)  # noqa: FBT003 - fork_shares
