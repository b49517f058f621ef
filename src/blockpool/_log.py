"""What the package tells the log: `tell` makes one record for the logger ``blockpool``, if the program uses `logging`.

A program that never imported `logging` has nobody who listens. So nothing is imported here: if ``sys.modules`` has
`logging`, a record is made, and otherwise the event is dropped. Importing it would cost every program some
milliseconds, and cannot be done everywhere: an import may have to wait for another thread's, which after a fork does
not exist, and while the interpreter shuts down nothing can be imported at all.

The rules of all records:

- The logger has a `NullHandler` before its first record. Otherwise `logging` would print warnings on stderr for a
  program that has set up no handlers. A handler of the program, on this logger or on one above it, gets everything.
- An error of a handler or filter does not reach the call that had something to tell: the call has done its work, or is
  about to raise an error of its own. It is reported as `logging` does, on stderr unless ``logging.raiseExceptions`` is
  false. What is no `Exception`, such as Ctrl-C in a slow handler, goes on to the caller.
- What was to be told is taken, or marked as told, before the record is made. A handler may use the pool whose record it
  handles, and two threads do not tell the same.
- No record is made from a destructor, from a signal handler in C, or while the package holds a lock: a handler may wait
  for whatever it likes, and another thread in it may wait for that lock. What is found there (processes that died,
  found by a fork; pools that were swept) is kept in C, and the next call from Python tells it.
- No record is made while the interpreter shuts down: streams may be closed, and modules half gone.
- A fork hook is a special place, see `tell_of_fork`.

Each record has the attributes ``blockpool_event``, ``blockpool_pool`` and ``blockpool_pool_id``, and those of its
event, for formatters and structured logs; docs/how-to/logging.md lists them. The message is complete without them. Its
text is not a template: nothing in it is interpreted.

Text that other processes wrote, such as command lines, is escaped in messages; in attributes it is as it was written.

Rejected: `warnings`, which are for mistakes in the source of the program, and shown once for each line of it; a
callback for each event, as `logging` is the one place where operators look.
"""

from __future__ import annotations

from sys import is_finalizing, modules

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    import logging
    from types import ModuleType
    from typing import Any

# The levels of `logging`.
INFO, WARNING, ERROR = 20, 30, 40

_NAME = "blockpool"

# The NullHandler, once there is one.
_silent: dict[str, logging.Handler] = {}


def tell(
    level: int, event: str, message: str, pool: str | None = None, pool_id: str | None = None, **fields: object
) -> None:
    """Make a record, if anybody may listen. Any thread may call this, without a lock of the package.

    Parameters
    ----------
    level : int
        One of the levels above.
    event : str
        What happened, in a word: see docs/how-to/logging.md.
    message : str
        The same for people.
    pool, pool_id : str, optional
        The name and the id of the pool.
    **fields
        Further attributes of the record, which get the prefix ``blockpool_``.
    """
    logging = _logging()
    if logging is not None:
        try:
            logger = _logger(logging)
            logger.log(level, message, extra=_attributes(event, pool, pool_id, fields), stacklevel=2)
        except Exception:  # noqa: BLE001 - a handler's; whatever it is, the call goes on
            _report(logging, level, message)


def tell_of_fork(message: str, pool: str | None, pool_id: str | None, **fields: object) -> bool:
    """Make a warning in a fork hook of the parent; return False if the caller should print it instead.

    That is so if the program has no handler for it: a fork is refused only rarely, and the program may be about to
    hang or fail because of it. And no lock is waited for that a thread may hold which waits for this one: logging takes
    its lock for a fork, so if it is still held, logging's own hook has not run yet, and other threads may wait for it
    in the middle of a handler.
    """
    logging = _logging()
    lock = getattr(logging, "_lock", None)
    if logging is None or lock is None or lock._is_owned():  # noqa: SLF001 - there is no public way to ask
        return False
    try:
        logger = _logger(logging)
        if logger.isEnabledFor(WARNING):
            if not _is_heard(logger):
                return False
            logger.warning(message, extra=_attributes("fork_without_part", pool, pool_id, fields), stacklevel=2)
    except Exception:  # noqa: BLE001 - as above
        _report(logging, WARNING, message)
    return True


def _logging() -> ModuleType | None:
    """Return the module `logging` if the program has imported all of it."""
    if is_finalizing():
        return None
    logging = modules.get("logging")
    specification = getattr(logging, "__spec__", None)
    return None if logging is None or getattr(specification, "_initializing", False) else logging


def _logger(module: Any) -> logging.Logger:
    """Return the logger, which has a NullHandler; `module` is `logging`."""
    logger: logging.Logger = module.getLogger(_NAME)
    silent = _silent.get("") or _silent.setdefault("", module.NullHandler())
    if silent not in logger.handlers:  # a program that configures its log again removes it
        logger.addHandler(silent)
    return logger


def _is_heard(logger: logging.Logger) -> bool:
    """Return whether the program has a handler for what this logger gets."""
    at: logging.Logger | None = logger
    while at is not None:
        if any(handler is not _silent.get("") for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _attributes(event: str, pool: str | None, pool_id: str | None, fields: dict[str, object]) -> dict[str, object]:
    """Return the attributes of a record; with `stacklevel`, it also names the line that called the package."""
    named = fields | {"event": event, "pool": pool, "pool_id": pool_id}
    return {f"{_NAME}_{name}": value for name, value in named.items()}


def _report(logging: Any, level: int, message: str) -> None:
    """Say on stderr that the error at hand kept a record from being handled, as `logging` does."""
    try:  # noqa: SIM105 - one more import
        logging.NullHandler().handleError(logging.LogRecord(_NAME, level, "", 0, message, (), None))
    except Exception:  # noqa: BLE001, S110 - nothing is left that could be done
        pass
