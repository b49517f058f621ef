"""Import blockpool in subinterpreters, which is refused or works; print "done", or "none" if Python has no module.

Arguments: `after` imports it in the main interpreter first, `before` afterwards; how many subinterpreters, one after
the other.
"""

import sys

try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("none")
        raise SystemExit from None

USE = """
try:
    import blockpool
    pool = blockpool.Pool(64, 2)
    view = pool.allocate().buf
    view[0] = 1
except ImportError:
    pass
"""
REFUSED = """
for name in "blockpool", "blockpool._core", "blockpool._index", "blockpool.classic":
    try:
        __import__(name)
    except ImportError as error:
        assert "main interpreter" in str(error) or "subinterpreters" in str(error), error
    else:
        raise AssertionError(name)
"""


def run(script, number):
    """Run a script in so many subinterpreters."""
    for _ in range(number):
        interpreter = interpreters.create()
        answer = interpreters.run_string(interpreter, script)
        assert answer is None, answer
        interpreters.destroy(interpreter)


def after(number):
    """Use blockpool in the main interpreter while subinterpreters import it."""
    import blockpool

    pool = blockpool.Pool(64, 4)
    block = pool.allocate()
    run(USE, number)
    block.buf[0] = 1
    block.free()
    pool.check()


def before(number):
    """Import blockpool in subinterpreters, where it must be refused, and then in the main one."""
    run(REFUSED, number)
    import blockpool

    blockpool.Pool(64, 4).allocate().buf[0] = 1
    blockpool.IndexPool(64).allocate()


{"after": after, "before": before}[sys.argv[1]](int(sys.argv[2]))
print("done")
