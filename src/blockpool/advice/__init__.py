"""Advice on which pool, if any, a program should use, from a trace of what it allocates.

>>> from blockpool.advice import advise
>>> from blockpool.traces import build
>>> trace = build(kind=[0, 0, 1, 1] * 500, size=[6_220_800] * 2000, key=[0, 1, 0, 1] * 500)
>>> advice = advise(trace, measure=False)
>>> advice.call
'blockpool.Pool(6_220_800, 3)  # 2 at most at a time, and 10 % more'
>>> advice.use
True
"""

from __future__ import annotations

from blockpool._extras import install_command
from blockpool.advice.results import Advice, Candidate, Outline, Site

try:
    from blockpool.advice.making import advise
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "numpy":
        raise
    _command = install_command("advise")
    raise ImportError(f"blockpool.advice needs {_error.name}; install what it needs with: {_command}") from _error

__all__ = ["Advice", "Candidate", "Outline", "Site", "advise"]

advise.__module__ = "blockpool.advice"
