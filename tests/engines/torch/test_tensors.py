"""PyTorch tensors of blocks and of arrays in a pool, without copies. `make engines-test` runs this."""

import gc

import numpy as np
import pytest

import blockpool as bp

torch = pytest.importorskip("torch")

TENSORS = {
    "frombuffer": lambda block: torch.frombuffer(block.buf, dtype=torch.uint8),
    "from_dlpack": torch.from_dlpack,
    "utils.dlpack": lambda block: torch.utils.dlpack.from_dlpack(block.__dlpack__()),
    "from_numpy": lambda block: torch.from_numpy(block.array(4096, np.uint8)),
    "as_tensor": lambda block: torch.as_tensor(np.asarray(block)),
}


@pytest.mark.parametrize("make", TENSORS.values(), ids=TENSORS)
def test_a_tensor_is_the_block(each, unchanged, make):
    """A tensor of a block shows its memory and keeps it in use, also by its views and after release."""
    block = each.allocate()
    tensor = make(block)
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.uint8, (4096,))
    assert tensor.data_ptr() == block.address
    tensor[:] = 7
    assert set(bytes(block.buf)) == {7}
    view = tensor[8:].view(torch.float32)[:10]
    del tensor
    gc.collect()
    with unchanged(each), pytest.raises(bp.BlockInUse):
        block.free()
    block.release()
    assert each.stats().allocated == 1
    view += 1
    del view
    gc.collect()
    assert each.stats().allocated == 0


def test_a_tensor_outlives_the_pool():
    """A tensor can be read after its pool is closed and gone."""
    pool = bp.Pool("4KiB", 1)
    tensor = torch.from_dlpack(pool.allocate())
    tensor[:] = 3
    pool.close()
    del pool
    gc.collect()
    assert int(tensor.sum()) == 3 * 4096


def test_a_tensor_of_an_array(each):
    """An array of the pool goes to PyTorch and back without a copy, and its memory stays in use meanwhile."""
    array = each.zeros((4, 5), np.float32)
    tensor = torch.from_numpy(array)
    back = tensor.T.numpy()
    del array
    tensor[1, 2] = 5
    assert back[2, 1] == 5
    del tensor
    assert each.stats().allocated == 1
    del back
    assert each.stats().allocated == 0


def test_pytorch_knows_no_read_only_memory(each):
    """PyTorch writes to read-only blocks, as the guide says; with copy=True it writes to a copy."""
    block = each.allocate()
    tensor = torch.from_dlpack(block.readonly())
    tensor[0] = 9
    assert block.buf[0] == 9
    torch.from_dlpack(block.readonly(), copy=True)[0] = 1
    assert block.buf[0] == 9


def test_a_tensor_is_copied_into_the_pool(each):
    """pool.asarray copies a tensor into the pool, as numpy.asarray reads it."""
    array = each.asarray(torch.arange(6).reshape(2, 3))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert each.stats().allocated == 1


def test_a_copied_tensor(each):
    """torch.from_dlpack with copy=True does not keep the block in use."""
    block = each.allocate()
    block.buf[0] = 1
    tensor = torch.from_dlpack(block, copy=True)
    block.free()
    assert int(tensor[0]) == 1
