"""Wait for room in a full pool until a signal handler frees a block, and print the block that was allocated."""

import gc
import signal
import threading

import blockpool as bp

pool = bp.Pool(64, 1)
kept = [pool.allocate()]
waits = threading.Event()


def kick():
    """Send the signal when the main thread is about to wait."""
    waits.wait(60)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


gc.callbacks.append(lambda _phase, _info: waits.set())
waits.clear()
signal.signal(signal.SIGUSR1, lambda *_: kept.pop().free())
thread = threading.Thread(target=kick)
thread.start()
print(pool.allocate(timeout=None))
thread.join()
