"""Tensors that are made in a pool."""

import gc

import numpy as np
import pytest
import torch

import blockpool as bp
import blockpool.torch as bt
import tensors


def test_empty(room):
    """`empty` takes sizes as torch.empty does, and PyTorch's default dtype; the tensor is contiguous."""
    for size in ((2, 3), ((2, 3),), ([2, 3],), (torch.Size([2, 3]),)):
        made = bt.empty(room, *size)
        assert (made.shape, made.dtype, made.is_contiguous()) == ((2, 3), torch.get_default_dtype(), True)
        assert tensors.lies_in(room, made)
    assert bt.empty(room, ()).shape == ()
    assert bt.empty(room, 5, dtype=torch.bfloat16).dtype is torch.bfloat16


def test_values(room):
    """`zeros` and `full` set all elements, also where there was something else."""
    bt.full(room, 100, 9.5)
    assert torch.equal(bt.zeros(room, 100), torch.zeros(100))
    for value in (7, 2.5, True, 1j):
        assert torch.equal(bt.full(room, (2, 2), value), torch.full((2, 2), value))
    assert bt.full(room, 3, 1, dtype=torch.float8_e4m3fn).float().tolist() == [1, 1, 1]


def test_without_elements(room):
    """A tensor without elements takes no block."""
    assert bt.empty(room, 3, 0, dtype=torch.int8).shape == (3, 0)
    assert bt.asarray(room, []).shape == (0,)
    assert room.stats().allocated == 0


def test_lifetime(room):
    """The run stays allocated as long as a view, an array or the storage is there."""
    for keep in (lambda t: t[3:5], lambda t: t.numpy(), lambda t: t.untyped_storage()):
        made = bt.zeros(room, 5000)
        assert room.stats().allocated == 2
        kept = keep(made)
        del made
        gc.collect()
        assert room.stats().allocated == 2
        del kept
        gc.collect()
        assert room.stats().allocated == 0


def test_asarray(room):
    """`asarray` returns what lies in the pool as it is, and copies everything else, whatever its strides."""
    made = bt.zeros(room, 4, 5)
    assert bt.asarray(room, made) is made
    assert bt.asarray(room, made.T).data_ptr() == made.data_ptr()
    array = room.zeros(6, np.float32)
    assert bt.asarray(room, array).data_ptr() == array.ctypes.data
    other = bt.asarray(room, made, dtype=torch.float64)
    assert other.dtype is torch.float64
    assert other.data_ptr() != made.data_ptr()
    for source in (
        np.arange(12).reshape(3, 4).T,
        torch.arange(12).view(3, 4)[:, ::2],
        torch.arange(3).expand(4, 3),
        [1, 2, 3],
        2.5,
        torch.tensor([1 + 2j]).conj(),
        torch.ones(3, dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(3), requires_grad=False),
    ):
        copied = bt.asarray(room, source)
        assert torch.equal(copied, torch.as_tensor(source))
        assert tensors.lies_in(room, copied)
        assert copied.is_contiguous()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse")
def test_wrong_things(room, unchanged):
    """Each wrong argument raises an error that says what to do, and takes nothing."""
    wrong = [
        (TypeError, "pool must be", lambda: bt.empty(3, 4)),
        (TypeError, "empty", lambda: bt.empty(room, "4")),
        (TypeError, "empty", lambda: bt.empty(room, 2.5)),
        (TypeError, "empty", lambda: bt.empty(room)),
        (TypeError, "empty", lambda: bt.empty(room, 2, dtype="float32")),
        (RuntimeError, "negative", lambda: bt.empty(room, -1)),
        (RuntimeError, "overflow", lambda: bt.empty(room, 2**40, 2**40)),
        (TypeError, "int_repr", lambda: bt.empty(room, 3, dtype=torch.quint8)),
        (TypeError, "sparse_coo", lambda: bt.asarray(room, torch.eye(3).to_sparse())),
        (TypeError, "sparse_csr", lambda: bt.asarray(room, torch.eye(3).to_sparse_csr())),
        (TypeError, "quantized", lambda: bt.asarray(room, torch.quantize_per_tensor(torch.ones(3), 1, 0, torch.qint8))),
        (TypeError, "meta", lambda: bt.asarray(room, torch.empty(3, device="meta"))),
        (ValueError, "detach", lambda: bt.asarray(room, torch.ones(3, requires_grad=True))),
        (RuntimeError, "object", lambda: bt.asarray(room, object())),
    ]
    with unchanged(room):
        for kind, says, call in wrong:
            with pytest.raises(kind, match=says):
                call()
    for call in (lambda: bt.empty(room, 1 << 30), lambda: bt.full(room, (1 << 30,), 0, timeout=None)):
        with pytest.raises(bp.PoolExhausted):
            call()


def test_full_and_closed(room):
    """A full pool raises PoolExhausted at once or when the time is over; a closed one PoolClosed."""
    made = bt.zeros(room, room.nbytes // 4)
    with pytest.raises(bp.PoolExhausted):
        bt.zeros(room, 1)
    with pytest.raises(bp.PoolExhausted):
        bt.asarray(room, [1, 2], timeout=0.01)
    room.close()
    with pytest.raises(bp.PoolClosed):
        bt.zeros(room, 1)
    with pytest.raises(bp.PoolClosed):
        bt.asarray(room, made)
    assert made.sum() == 0
