"""Tensors in a pool travel by reference."""

import gc
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

import blockpool as bp
import blockpool.torch as bt
from blockpool.multiprocessing import install, uninstall
from tensors import open_segments

DTYPES = sorted({v for v in vars(torch).values() if isinstance(v, torch.dtype)}, key=str)
DTYPES = [each for each in DTYPES if not str(each).startswith("torch.q")]


def carried(what):
    """Send within this process, as multiprocessing does."""
    return ForkingPickler.loads(ForkingPickler.dumps(what))


@pytest.fixture(params=["installed", "not installed"], autouse=True)
def _with_and_without(request, room):
    if request.param == "installed":
        install(room)
    yield
    uninstall()


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(room, dtype):
    """Elements of any dtype arrive, in the same memory."""
    sent = bt.empty(room, 3, 4, dtype=dtype)
    got = carried(sent)
    assert (got.dtype, got.shape, got.stride(), got.data_ptr()) == (dtype, (3, 4), sent.stride(), sent.data_ptr())


VIEWS = {
    "slice": lambda t: t[3:7],
    "one column": lambda t: t[:, 2],
    "transposed": lambda t: t.T,
    "every other": lambda t: t[::2, 1::3],
    "expanded": lambda t: t[0].expand(5, 8),
    "one element": lambda t: t[4, 4],
    "reinterpreted": lambda t: t.view(torch.int32),
    "detached": lambda t: t.detach(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views(room, view):
    """A view arrives as the same view of the same memory, with its offset and strides."""
    whole = bt.zeros(room, 10, 8)
    sent = view(whole)
    got = carried(sent)
    assert (got.shape, got.stride(), got.storage_offset()) == (sent.shape, sent.stride(), sent.storage_offset())
    assert got.data_ptr() == sent.data_ptr()
    whole += 1
    assert torch.equal(got, sent)
    got.fill_(7) if got.stride() != (0, 1) else got[0].fill_(7)
    assert (whole.view(torch.int32) if got.dtype is torch.int32 else whole).eq(7).any()


def test_views_of_one_storage(room):
    """Tensors that share a storage share it when they arrive together, and one reference carries them."""
    whole = bt.zeros(room, 10, 8)
    message = ForkingPickler.dumps([whole, whole[2:], {"t": whole.T}])
    assert room.stats().tickets == 1
    first, second, third = ForkingPickler.loads(message).copy()
    assert first.untyped_storage() is second.untyped_storage() is third["t"].untyped_storage()


def test_gradients(room):
    """Leaves and parameters arrive as such; what comes out of a computation is refused, as PyTorch refuses it."""
    leaf = bt.zeros(room, 4).requires_grad_()
    parameter = torch.nn.Parameter(bt.zeros(room, 4))
    frozen = torch.nn.Parameter(bt.zeros(room, 4, dtype=torch.int32), requires_grad=False)
    for sent in (leaf, parameter, frozen):
        got = carried(sent)
        assert (type(got), got.requires_grad, got.data_ptr()) == (type(sent), sent.requires_grad, sent.data_ptr())
        assert got.is_leaf
    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        ForkingPickler.dumps([leaf.detach(), leaf * 2])
    view = bt.zeros(room, 4)
    view += leaf
    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        ForkingPickler.dumps(view)
    room.recover(tickets_older_than=0)  # without `install`, the message that failed leaves its reference


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_sparse(room):
    """The parts of a sparse tensor that lie in a pool go by reference."""
    indices, values = bt.asarray(room, torch.tensor([[0, 2], [1, 3]])), bt.asarray(room, torch.tensor([1.0, 2.0]))
    sent = torch.sparse_coo_tensor(indices, values, (3, 4), check_invariants=True, is_coalesced=True)
    got = carried(sent)
    assert torch.equal(got.to_dense(), sent.to_dense())
    assert got._values().data_ptr() == values.data_ptr()


OTHERS = {
    "outside": lambda: torch.arange(10),
    "without elements": lambda: torch.empty(0, 3),
    "on the meta device": lambda: torch.empty(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "a parameter": lambda: torch.nn.Parameter(torch.ones(3)),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_others_go_as_before(room, make):
    """Tensors outside of pools arrive as PyTorch sends them, and take nothing of a pool."""
    sent = make()
    got = carried(sent)
    assert (type(got), got.shape, got.dtype, got.layout) == (type(sent), sent.shape, sent.dtype, sent.layout)
    if not got.is_meta:
        assert torch.equal(got.to_dense(), sent.to_dense())
    assert room.stats().allocated == 0


def test_a_private_pool(pool):
    """A tensor in a private pool goes PyTorch's way: the receiver has no other."""
    sent = bt.full(pool, (3,), 7)
    assert carried(sent).tolist() == [7, 7, 7]


def test_a_tensor_of_an_array(room):
    """Whatever made the tensor, it is found by its address; what arrives can be sent on."""
    array = room.zeros((5, 6), np.float32)
    got = carried(carried(torch.from_numpy(array)[1:]))
    got[0, 0] = 5
    assert array[1, 0] == 5
    block = room.allocate()
    assert carried(torch.from_dlpack(block)).data_ptr() == block.address
    block.release()


def test_loaded_twice_or_never(room):
    """A pickle that is loaded twice gives the same memory, or an error if it is gone; one never loaded is recovered."""
    sent = bt.zeros(room, 5)
    message = bytes(ForkingPickler.dumps(sent))
    first = ForkingPickler.loads(message)
    if room.stats().allocated:
        assert ForkingPickler.loads(message).data_ptr() == first.data_ptr()
    del sent, first
    gc.collect()
    with pytest.raises(bp.StaleHandle):
        ForkingPickler.loads(message)
    never = bytes(ForkingPickler.dumps(bt.zeros(room, 5)))
    assert room.stats().allocated == 1
    room.recover(tickets_older_than=0)
    assert room.stats().allocated == 0
    del never


def test_garbled(room):
    """A pickle with wrong numbers raises, and reads nothing outside of the run."""
    sent = bt.zeros(room, 5)
    receive, parts = ForkingPickler._extra_reducers[torch.UntypedStorage](sent.untyped_storage())
    for place, wrong in ((1, 10**6), (5, 1 << 40), (6, 1 << 40), (6, -1), (0, "x"), (5, None)):
        garbled = (*parts[:place], wrong, *parts[place + 1 :])
        with pytest.raises(bp.BlockPoolError):
            receive(*garbled)
    assert receive(*parts).data_ptr() == sent.data_ptr()
    room.recover(tickets_older_than=0)


def test_plain_pickle_copies(room):
    """Pickle itself, which may write to a file, copies the elements."""
    sent = bt.full(room, (3,), 7)
    assert pickle.loads(pickle.dumps(sent)).tolist() == [7, 7, 7]
    assert room.stats().tickets == 0


def test_no_descriptors(room):
    """Two hundred tensors in flight and received take no descriptor; PyTorch has one for each."""
    sent = [bt.full(room, (10,), i) for i in range(200)]

    before = len(open_segments())
    got = [carried(each) for each in sent]
    assert len(open_segments()) == before
    assert [int(each[3]) for each in got] == list(range(200))
    own = [carried(torch.full((10,), i)) for i in range(20)]
    assert len(open_segments()) >= before + 20  # so counting would have found them
    del own
