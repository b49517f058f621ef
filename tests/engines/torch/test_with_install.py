"""Tensors in a pool, sent by a program that only calls `install`."""

import pytest

pytest.importorskip("torch")


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tensor_in_the_pool_stays_there(run_program, when, method):
    """After `install`, a child changes the very tensor that was sent, whether PyTorch came before or after it."""
    assert run_program("transfer/tensor_to_a_child.py", when, method) == "1.0 0\n"
