"""Tensors in a pool between processes: both write to the same memory."""

import pytest
import torch

import blockpool.torch as bt
import tensors
from blockpool.multiprocessing import install, uninstall


@pytest.mark.parametrize(("method", "installed"), [("fork", False), ("spawn", True), ("forkserver", False)])
def test_another_process_writes(room, method, installed):
    """What a process of any start method writes to a tensor that it got is there, and what it makes and sends too."""
    context = torch.multiprocessing.get_context(method)
    if installed:
        install(room)
    tasks, answers = context.Queue(), context.SimpleQueue()
    worker = context.Process(target=tensors.add_one, args=(room, tasks, answers))
    worker.start()
    sent = bt.zeros(room, 20_000)
    for tensor, name in ((sent, "Tensor"), (torch.nn.Parameter(sent, requires_grad=False), "Parameter")):
        tasks.put(tensor)
        made, gradients, kind = answers.get()
        assert (float(made[99]), gradients, kind) == (float(sent.sum()), False, name)
        assert tensors.lies_in(room, made)
        del made, tensor
    assert sent[0] == sent[-1] == 2
    tasks.put(None)
    worker.join()
    assert worker.exitcode == 0
    tasks.close()
    tasks.join_thread()
    answers.close()
    uninstall()
