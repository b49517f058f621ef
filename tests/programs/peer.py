"""Run the pieces of code that arrive pickled on stdin, and answer each on stdout with a pickle.

The answer to a piece is (True, the value of its last expression, or None) or (False, the error that it raised).
The pieces share one namespace, which has blockpool as `bp` and a few modules. The end of stdin ends the program.
"""

import ast
import gc
import os
import pickle
import signal
import sys
import threading
import time
import warnings

import blockpool as bp

warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)

NAMES = {
    "__name__": "__main__",
    "bp": bp,
    "gc": gc,
    "os": os,
    "pickle": pickle,
    "signal": signal,
    "sys": sys,
    "threading": threading,
    "time": time,
}


def main():
    """Answer until stdin ends."""
    while True:
        try:
            code = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        try:
            body = ast.parse(code).body
            last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), "told", "exec"), NAMES)  # noqa: S102 - what it is for
            told = True, eval(compile(last, "told", "eval"), NAMES) if last else None  # noqa: S307 - the same
        except BaseException as error:  # noqa: BLE001 - every error is an answer
            told = False, error.with_traceback(None)
            error.__context__ = None
        sys.stdout.buffer.write(pickle.dumps(told))
        sys.stdout.buffer.flush()
        told = None  # a peer keeps nothing alive that it was not told to keep


if __name__ == "__main__":
    main()
