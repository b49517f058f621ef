"""Workers of a DataLoader write batches into a pool."""

import itertools
import logging
import pickle
from collections import deque

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, default_collate

import blockpool as bp
import blockpool.torch as bt
from tensors import BATCH, COUNT, SHAPE, Fragile, Pictures, Whole, await_workers, is_right, lies_in, open_segments
from waits import await_true

WAYS = {
    "fork": {"multiprocessing_context": "fork"},
    "fork, persistent": {"multiprocessing_context": "fork", "persistent_workers": True},
    "spawn": {"multiprocessing_context": "spawn", "pin_memory": True, "num_workers": 1},
    "forkserver, persistent": {"multiprocessing_context": "forkserver", "persistent_workers": True, "num_workers": 1},
}


@pytest.fixture
def impatient(monkeypatch):
    """Do not wait 5 seconds for each worker after an error, as PyTorch does, with and without a pool."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)


def loader(pool, dataset=None, **options):
    """Make a loader of pictures into a pool."""
    given = {"num_workers": 2, "collate_fn": bt.collate(pool), "multiprocessing_context": "fork"} | options
    if not given["num_workers"]:
        del given["multiprocessing_context"]
    return DataLoader(Pictures() if dataset is None else dataset, BATCH, **given)


def assert_in_pool(pool, batch):
    """Assert that the large tensors of a batch lie in the pool, and the small ones nowhere special."""
    assert lies_in(pool, batch["picture"])
    assert lies_in(pool, batch["mask"])
    assert not lies_in(pool, batch["label"])


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_every_start_method(room, options):
    """Batches are right and in order, and lie in the pool, with each start method, over two epochs if workers stay."""
    batches = loader(room, **options)
    for _ in range(2 if "persistent_workers" in options else 1):
        for number, batch in enumerate(batches):
            assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
            assert_in_pool(room, batch)
        assert number == COUNT // BATCH - 1
    del batches, batch


def test_without_workers(room):
    """With num_workers=0 the main process writes batches into the pool itself."""
    for number, batch in enumerate(loader(room, num_workers=0)):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
        assert_in_pool(room, batch)
    del batch


def test_pinned_memory_thread(room):
    """What a program changes in a batch is in the batch only, and a batch can be cloned and kept."""
    kept = [batch["picture"].clone() for batch in loader(room)]
    assert [int(each[0, 0, 0, 0]) for each in kept] == [0, 4, 8]


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed(room, workers):
    """With `streamed` batches are the same, and take one run each."""
    before = room.stats().allocations
    for number, batch in enumerate(loader(room, bt.streamed(Pictures(), bt.collate(room)), num_workers=workers)):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
        assert_in_pool(room, batch)
        assert batch["picture"].untyped_storage().nbytes() == batch["picture"].nbytes
    del batch
    assert room.stats().allocations - before == COUNT // BATCH


def test_streamed_samples_that_differ(room):
    """Samples of another dtype or shape than the first are left to PyTorch, which stacks or refuses them."""
    made = [torch.zeros(100, 100), torch.zeros(100, 100, dtype=torch.float64), torch.ones(100, 100)]
    samples = bt.streamed(made, bt.collate(room)).__getitems__([0, 1, 2])
    assert [each.dtype for each in samples] == [each.dtype for each in made]
    assert torch.equal(bt.collate(room)(samples), default_collate(made))
    with pytest.raises(RuntimeError, match="equal size"):
        bt.collate(room)(bt.streamed([torch.zeros(80, 80), torch.zeros(81, 80)], bt.collate(room)).__getitems__([0, 1]))
    assert not lies_in(room, bt.streamed([torch.zeros(3)], bt.collate(room)).__getitems__([0])[0])
    del samples


def test_rows_of_others_are_copied(room):
    """Samples that a dataset keeps in the pool are copied into the batch: the dataset may go on using them."""
    data = bt.zeros(room, BATCH, 64, 64)
    batch = bt.collate(room)(list(data))
    batch += 1
    assert data.sum() == 0
    assert lies_in(room, batch)
    del batch, data


@pytest.mark.usefixtures("impatient")
def test_without_batches(room):
    """With batch_size=None, `convert` copies the tensors of each sample into the pool; `collate` says what to use."""
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": "fork"}
    for number, sample in enumerate(DataLoader(Whole(), collate_fn=bt.convert(room), **options)):
        assert lies_in(room, sample["picture"])
        assert lies_in(room, sample["names"][1][1])
        assert (sample["picture"] == number).all()
        assert (sample["names"][0], sample["names"][1][0]) == ("a", number)
        assert (sample["names"][1][1] == number).all()
    del sample
    with pytest.raises(TypeError, match="use convert"):
        list(DataLoader(Whole(), collate_fn=bt.collate(room), **options))


COLLATED = {
    "numbers": [1, 2, 3],
    "floats": [1.5, 2.0],
    "scalars": list(np.arange(3, dtype=np.float32)),
    "many numbers": list(range(5000)),
    "strings": ["a", "b"],
    "bfloat16": [torch.ones(100, 100, dtype=torch.bfloat16)] * 3,
    "complex": [torch.ones(100, 100, dtype=torch.complex64)] * 3,
    "bool": [torch.ones(200, 200, dtype=torch.bool)] * 3,
    "without dimensions": [torch.tensor(1), torch.tensor(2)],
    "without elements": [torch.empty(0, 5)] * 3,
    "not contiguous": [torch.arange(40_000.0).view(200, 200).T] * 3,
    "sliced": list(torch.arange(160_000.0).view(4, 200, 200)[:, 1:-1, ::3]),
    "conjugated": [torch.full((100, 100), 1 + 2j).conj()] * 2,
    "of two dtypes": [torch.ones(100, 100), torch.ones(100, 100, dtype=torch.float64)],
    "with gradients": [torch.ones(100, 100, requires_grad=True)] * 2,
    "tuples": [(torch.ones(100, 100), 1), (torch.zeros(100, 100), 2)],
    "arrays in Fortran order": [np.asfortranarray(np.arange(10_000.0).reshape(100, 100))] * 2,
}


@pytest.mark.parametrize("samples", COLLATED.values(), ids=COLLATED)
def test_like_default_collate(room, samples):
    """Batches have the values, types and shapes of default_collate's, whatever the samples are."""

    def flat(what):
        return [each for part in what for each in flat(part)] if isinstance(what, list | tuple) else [what]

    got, expected = flat(bt.collate(room)(samples)), flat(default_collate(samples))
    for ours, own in zip(got, expected, strict=True):
        assert type(ours) is type(own)
        if isinstance(ours, torch.Tensor):
            assert (ours.dtype, ours.shape, ours.requires_grad) == (own.dtype, own.shape, own.requires_grad)
            assert torch.equal(ours, own)
            plain = ours.nbytes >= 16 << 10 and not own.requires_grad and own.dtype is not torch.float64
            if plain and samples[0] is not COLLATED["conjugated"][0]:
                assert lies_in(room, ours)
        else:
            assert ours == own


@pytest.mark.parametrize(
    "samples", [[torch.eye(3).to_sparse()] * 2, [torch.ones(2), torch.ones(3)], [object()], [[1], [1, 2]], []]
)
def test_refuses_like_default_collate(room, samples):
    """What default_collate refuses is refused with the same error."""
    with pytest.raises(Exception) as own:
        default_collate(samples)
    with pytest.raises(type(own.value)) as ours:
        bt.collate(room)(samples)
    assert str(ours.value) == str(own.value)


# --- pools that have no room ---


def test_full_copies(room, caplog):
    """With "copy" a batch without room goes PyTorch's way, with one record for the log; later ones use the pool."""
    blocker = room.allocate(blocks=room.blocks)
    collate = bt.collate(room)
    samples = [Pictures()[n] for n in range(BATCH)]
    with caplog.at_level(logging.WARNING, "blockpool"):
        for _ in range(3):
            batch = collate(samples)
            assert is_right(batch, range(BATCH))
            assert not lies_in(room, batch["picture"])
    assert [each.blockpool_event for each in caplog.records].count("batch_refused") == 1
    for number, batch in enumerate(loader(room, bt.streamed(Pictures(), bt.collate(room)))):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
        assert not lies_in(room, batch["picture"])
    blocker.release()
    assert lies_in(room, collate(samples)["picture"])


def test_full_in_the_middle():
    """A program that keeps batches fills the pool in the middle of an epoch; all batches arrive all the same."""
    kept = []
    for number, batch in enumerate(loader(bp.Pool.create("256KiB", 2))):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
        kept.append(batch)
    assert len(kept) == COUNT // BATCH


@pytest.mark.usefixtures("impatient")
def test_full_raises(room):
    """With "raise" the loader raises PoolExhausted in the main process."""
    blocker = room.allocate(blocks=room.blocks)
    with pytest.raises(bp.PoolExhausted, match="worker process"):
        next(iter(loader(room, collate_fn=bt.collate(room, on_full="raise"))))
    blocker.release()  # the workers, which have it by fork, may not have ended yet


@pytest.mark.usefixtures("impatient")
def test_full_waits():
    """With "wait" a small pool holds up the workers, and everything arrives; a timeout ends the wait."""
    small = bp.Pool.create("256KiB", 6)  # a batch takes 2 blocks
    batches = loader(small, prefetch_factor=1, collate_fn=bt.collate(small, on_full="wait", timeout=60))
    for number, batch in enumerate(batches):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
        assert lies_in(small, batch["picture"])
    del batch
    blocker = small.allocate(blocks=6)
    with pytest.raises(bp.PoolExhausted):
        next(iter(loader(small, collate_fn=bt.collate(small, on_full="wait", timeout=0.05))))
    blocker.release()


@pytest.mark.usefixtures("impatient")
def test_too_small():
    """A pool that no batch fits in is a fallback with "copy", and an error at once with "wait"."""
    small = bp.Pool.create("16KiB", 3)
    assert is_right(next(iter(loader(small))), range(BATCH))
    with pytest.raises(bp.PoolExhausted, match="only 3"):
        next(iter(loader(small, collate_fn=bt.collate(small, on_full="wait"))))


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.usefixtures("impatient")
def test_closed(room):
    """When the pool is closed, "copy" falls back, and the others raise PoolClosed; batches that are there stay."""
    batches = iter(loader(room, num_workers=0))
    first = next(batches)
    room.close()
    second = next(batches)
    assert is_right(first, range(BATCH))
    assert is_right(second, range(BATCH, 2 * BATCH))
    for on_full in ("wait", "raise"):
        with pytest.raises(bp.PoolClosed):
            next(iter(loader(room, collate_fn=bt.collate(room, on_full=on_full))))


def test_closed_while_workers_work(room):
    """Closing the pool in the main process, in the middle of an epoch, disturbs no worker and no batch."""
    batches = iter(loader(room))
    assert is_right(next(batches), range(BATCH))
    room.close()
    for number, batch in enumerate(batches, 1):
        assert is_right(batch, range(number * BATCH, (number + 1) * BATCH))
    assert number == 2


# --- workers that die, and programs that stop early ---


@pytest.mark.usefixtures("impatient")
def test_a_killed_worker(room):
    """A killed worker ends the epoch with PyTorch's error; nothing stays in the pool, and a new iterator goes on."""
    # It "exited unexpectedly", or "is killed by signal" if PyTorch hears of that before it waits for a batch.
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid"):
        deque(loader(room, Fragile()), 0)
    await_workers(room)
    room.recover(tickets_older_than=0)
    assert room.stats().allocated == 0
    assert sum(is_right(batch, range(BATCH)) for batch in itertools.islice(loader(room), 1)) == 1
    await_workers(room)
    room.recover(tickets_older_than=0)


def test_leaving_early(room):
    """Batches that were ready when a program left its loop are dropped by age; the loop's own are free at once."""
    for _ in range(3):
        for batch in loader(room):
            assert_in_pool(room, batch)
            break
        del batch
    await_workers(room)
    room.recover(tickets_older_than=0)
    assert room.stats().allocated == 0


def test_leaving_early_with_a_lifetime():
    """Batches that nobody received make room by themselves once they are older than the pool's ticket_lifetime."""
    pool = bp.Pool.create("16KiB", 256, ticket_lifetime=0.01)  # nobody needs room while the loader works
    batches = iter(loader(pool))
    next(batches)
    await_true(lambda: pool.stats().tickets)  # of batches that are ready
    del batches
    await_workers(pool)
    await_true(lambda: (pool.stats().oldest_ticket or 0) > 1)
    whole = pool.allocate(blocks=256)
    assert pool.stats().tickets == 0
    whole.free()


# --- descriptors and segments ---


def test_no_descriptors(room):
    """While 100 batches of 2 tensors are kept, no descriptor or segment is open for them; PyTorch has one for each."""
    data = TensorDataset(torch.arange(200 * 3000.0).view(200, 3000), torch.arange(200))
    batches = DataLoader(data, 2, num_workers=2, collate_fn=bt.collate(room), multiprocessing_context="fork")
    ours = iter(batches)
    kept = [next(ours)]
    before = len(open_segments())
    kept += list(ours)
    assert sum(len(each) for each in kept) == 200
    assert all(lies_in(room, picture) for picture, _ in kept)
    assert len(open_segments()) <= before
    assert not [each for each in open_segments() if "torch_" in each]
    del kept, ours
    own = list(itertools.islice(DataLoader(data, 2, num_workers=1, multiprocessing_context="fork"), 10))
    assert sum("torch_" in each for each in open_segments()) >= 20
    del own


# --- the objects themselves ---


def test_wrong_arguments(room, pool):
    """Wrong arguments raise at once, where the loader is made."""
    for make in (bt.collate, bt.convert):
        for kind, call in (
            (TypeError, lambda make=make: make(3)),
            (ValueError, lambda make=make: make(pool)),
            (ValueError, lambda make=make: make(room, on_full="drop")),
            (ValueError, lambda make=make: make(room, timeout=3)),
        ):
            with pytest.raises(kind):
                call()
    with pytest.raises(TypeError, match="give any other to the DataLoader as it is"):
        bt.streamed(iter([1]), bt.collate(room))
    for kind, call in (
        (TypeError, lambda: bt.streamed(Pictures(), 3)),
        (TypeError, lambda: bt.streamed(bt.streamed(Pictures(), bt.collate(room)), bt.collate(room))),
        (TypeError, lambda: bt.streamed(Pictures(), room)),
    ):
        with pytest.raises(kind):
            call()


def test_pickles(room):
    """Both can be pickled, with their settings."""
    again = pickle.loads(pickle.dumps(bt.collate(room, on_full="wait", timeout=5)))
    assert (again.on_full, again.timeout) == ("wait", 5)
    batch = again([torch.ones(100, 100)] * 2)
    assert lies_in(room, batch) or batch.untyped_storage().data_ptr()
    streamed = pickle.loads(pickle.dumps(bt.streamed(Pictures(), bt.collate(room))))
    assert len(streamed) == COUNT
    assert streamed[3]["picture"].shape == SHAPE
    del batch, again, streamed
