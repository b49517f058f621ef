"""Ray's processes that end, or are killed, while they send or have arrays of a pool."""

import os
import signal

import pytest
import ray

from ray_actors import Actor
from waits import await_true


def kill(actor):
    """Kill an actor's process."""
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)


@pytest.mark.parametrize("end", [ray.kill, kill], ids=["ray.kill", "SIGKILL"])
def test_receivers(pool, end):
    """What a killed actor held comes back, and nothing stays in flight."""
    array = pool.full(20_000, 2.0)
    actors = [Actor.remote() for _ in range(2)]
    ray.get([actor.keep.remote(array) for actor in actors])
    del array
    assert pool.stats().allocated == 3
    for actor in actors:
        end(actor)
    await_true(lambda: pool.recover() and pool.stats().allocated == 0)


def test_a_task_that_is_repeated(pool, tmp_path):
    """An actor that is killed in the middle of a call gets the same array when Ray repeats the call."""
    actor = Actor.options(max_restarts=1, max_task_retries=1).remote()
    assert ray.get(actor.be_killed_once.remote(pool.full(10, 3.0), str(tmp_path / "mark"))) == 30
    ray.kill(actor)


@pytest.mark.parametrize("end", [ray.kill, kill], ids=["ray.kill", "SIGKILL"])
def test_senders(pool, end):
    """What a killed actor returned can be loaded, more than once; then it is in flight until its lifetime is over."""
    actor = Actor.remote(pool)
    result = actor.make.remote()
    ray.wait([result])
    end(actor)
    await_true(lambda: pool.recover().processes)
    assert ray.get(result).sum() == ray.get(result).sum() == 20
    del result
    stats = pool.stats()
    assert (stats.allocated, stats.tickets) == (1, 1)
    (run,) = pool.runs()
    assert run.holders == ()
    pool.recover(tickets_older_than=0)


def test_an_actor_that_is_let_go(pool):
    """The result of an actor that ends by itself, as nobody refers to it, can be loaded."""
    result = Actor.remote(pool).make.remote()
    ray.wait([result])
    await_true(lambda: pool.stats().processes == 1 or pool.recover().processes)
    assert ray.get(result).sum() == 20
    del result
    pool.recover(tickets_older_than=0)


def test_after_the_lifetime(pool):
    """When the sender has ended and its reference is gone, loading says so, here and in another process."""
    actor, other = Actor.remote(pool), Actor.remote()
    result = actor.make.remote()
    ray.wait([result])
    ray.kill(actor)
    await_true(lambda: pool.recover().processes)
    pool.recover(tickets_older_than=0)
    assert pool.stats().allocated == 0
    for load in (result, other.total.remote(result)):
        with pytest.raises(ray.exceptions.RayError, match="StaleHandle: the memory in this message is gone: process"):
            ray.get(load)
    ray.kill(other)
