"""Forks that meet: threads that fork at the same time, and children of a moment in which another thread was at work."""

import pytest


@pytest.mark.parametrize("names", ["", "import blockpool.multiprocessing, blockpool._async"])
def test_threads_that_fork_at_the_same_time(run_script, names):
    """Each child has its part in the pool, and the parent goes on: nothing is held, and no slot is lost."""
    said = run_script(
        f"""
        import os, threading
        import blockpool
        {names}

        pool = blockpool.Pool.create(64, 1 << 14)
        kept = pool.allocate_many(5000)
        ends = []

        def go():
            for _ in range(40):
                child = os.fork()
                if child == 0:
                    try:
                        kept[0].buf[0] = 1
                        pool.allocate().free()
                        os._exit(7)
                    finally:
                        os._exit(1)
                ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        threads = [threading.Thread(target=go) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sorted(set(ends)), len(ends))
        kept.pop().free()
        pool.recover()
        pool.check()
        print(pool.stats().processes)
        """
    )
    assert said.split("\n")[:2] == ["[7] 80", "1"]


def test_a_child_of_a_thread_at_work_in_a_debug_pool(run_script):
    """No child finds the bookkeeping of debug mode locked for ever."""
    said = run_script(
        """
        import os, threading, time
        import blockpool

        pool = blockpool.Pool(64, 4096, debug=True)
        done = threading.Event()

        def work():
            while not done.is_set():
                held = [pool.allocate() for _ in range(8)]

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(30):
            child = os.fork()
            if child == 0:
                pool.allocate().free()
                os._exit(7)
            until = time.monotonic() + 20
            while os.waitpid(child, os.WNOHANG)[0] == 0:
                if time.monotonic() > until:
                    os.kill(child, 9)
                    print("a child hangs")
                    break
                time.sleep(0.001)
        done.set()
        thread.join()
        """
    )
    assert said == ""
