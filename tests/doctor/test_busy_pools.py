"""Pools under heavy load have no finding: what is usual for a moment is no fault."""

import time

import blockpool as bp
from blockpool.doctor import diagnose
from waits import await_true

WORK = """
    import random
    from shared.peer_work import AtWork
    random_numbers = random.Random({seed})
    pool = bp.Pool.attach({name!r})
    kept = []
    def work():
        kept.append(pool.allocate(blocks=random_numbers.randint(1, 5)))
        if random_numbers.random() < 0.3:
            kept.append(bp.redeem(random_numbers.choice(kept).share()))
        if random_numbers.random() < 0.01:
            pool.keep("newest", kept[-1], replace=True)
        if random_numbers.random() < 0.01:
            pool.check()
        if len(kept) > 20:
            kept[random_numbers.randrange(20) :] = []
    at_work = AtWork(work)
"""


def test_processes_that_allocate_and_free(pool_name, peers):
    """Processes that allocate, free, pass on, keep and audit as fast as they can are healthy at every look."""
    pool = bp.Pool.create(64, 2000, name=pool_name, processes=32)
    workers = [peers() for _ in range(3)]
    for seed, worker in enumerate(workers):
        worker(WORK.format(seed=seed, name=pool_name))
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert diagnose(pool_name) == []
    await_true(lambda: pool.stats().allocations > 1000)
    for worker in workers:
        worker("at_work.stop()")


def test_one_block_in_turn(pool_name, peers):
    """A pool of one block that is allocated and freed without a pause is not taken for one whose block is stuck."""
    pool = bp.Pool.create(64, 2, name=pool_name)
    worker = peers()
    worker(f"""
        from shared.peer_work import AtWork
        pool = bp.Pool.attach({pool_name!r})
        at_work = AtWork(lambda: [pool.allocate().free() for _ in range(100)])
    """)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert diagnose(pool_name, old=0) == []
    await_true(lambda: pool.stats().allocations > 1000)
    worker("at_work.stop()")


def test_a_full_queue_at_work(pool_name, peers):
    """A queue that is full most of the time, as its receiver is slower than its sender, is healthy."""
    pool = bp.Pool.create(4096, 64, name=pool_name)
    queue = pool.queue("frames", 8)
    sender, receiver = peers(), peers()
    sender(f"""
        from shared.peer_work import AtWork
        pool = bp.Pool.attach({pool_name!r}); frames = pool.queue("frames")
        def work():
            try: frames.put(pool.allocate(), timeout=0.1)
            except bp.QueueFull: pass
        at_work = AtWork(work)
    """)
    receiver(f"""
        import time
        from shared.peer_work import AtWork
        pool = bp.Pool.attach({pool_name!r}); frames = pool.queue("frames")
        def work():
            time.sleep(0.01)
            try: frames.get(timeout=0.1)
            except bp.QueueEmpty: pass
        at_work = AtWork(work)
    """)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert diagnose(pool_name) == []
    sender("at_work.stop()")
    receiver("at_work.stop()")
    assert queue.qsize() <= 8
