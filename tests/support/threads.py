"""Call functions in several threads at once."""

import threading
from functools import partial


def outcomes(*functions):
    """Call each function in a thread, all at once; return what each returned or raised."""
    found = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def run(number, function):
        start.wait(60)
        try:
            found[number] = function()
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            found[number] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive(), "a thread hangs"
    return found


def together(work, threads=4):
    """Call `work(number)` in several threads at once; return what each returned, or raise what one raised."""
    found = outcomes(*[partial(work, number) for number in range(threads)])
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found
