"""Pinned pools and a real GPU: skipped where PyTorch sees none."""

import pytest

import blockpool as bp

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("PyTorch sees no GPU here", allow_module_level=True)

KINDS = {"private": lambda: bp.Pool("1MiB", 8), "shared": lambda: bp.Pool.create("1MiB", 8)}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_tensors_are_pinned(make):
    """Tensors of the pool are pinned for PyTorch while the pool is, and not before and after."""
    pool = make()
    tensor = torch.from_numpy(pool.zeros(100_000, "float32"))
    assert not tensor.is_pinned()
    with pool.pin():
        assert tensor.is_pinned()
        assert tensor[1000:].is_pinned()
    assert not tensor.is_pinned()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_copies_are_asynchronous(make):
    """Copies to the GPU and back, started together and not waited for, bring the elements over."""
    pool = make()
    with pool.pin():
        there = torch.from_numpy(pool.asarray(torch.arange(500_000, dtype=torch.float32).numpy()))
        back = torch.from_numpy(pool.zeros(500_000, "float32"))
        back.copy_(there.to("cuda", non_blocking=True) * 2, non_blocking=True)
        torch.cuda.synchronize()
    assert torch.equal(back, there * 2)
