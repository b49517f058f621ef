"""Blocks that live until their name is removed: the segments of `blockpool.shared_memory`.

A name is one reference in flight, taken when the segment is created and withdrawn when the name is removed. So a
segment stays even if no process holds it, and if several processes remove a name at the same time only one succeeds.
No helper process has to clean up: the reference is in the pool, and ends with it.

- An automatic name is a handle into a pool without a name, which lives as long as some process has it open. Small
  segments share a pool that each process creates when it first needs one. A large segment has a pool of its own, which
  its creator keeps until the name is removed.
- A given name is that of a permanent pool with one block. Its creator links the pool under the name before it
  allocates the block. So a process that attaches waits for a living creator, and removes what a dead one left half
  done.
"""

from __future__ import annotations

import re
import time

from blockpool._core import Block, Pool, expect_full, first_run, in_flight, redeem, withdraw
from blockpool._forks import large_segments, segments_in_making
from blockpool._handles import Handle
from blockpool.errors import (
    BlockPoolError,
    PoolBusy,
    PoolClosed,
    PoolCorrupt,
    PoolExhausted,
    PoolExists,
    PoolNotFound,
    StaleHandle,
    TooManyProcesses,
)

_AUTOMATIC = "blockpool-handle:"
_GIVEN = "shm."  # a prefix, so that no other pool of the user is taken for a segment
_NAME = re.compile(r"/?([A-Za-z0-9_.-]{1,176})")

_PAGE = 4096  # size of a block: segments start at a page, as those of the standard library do
_MOST = 1 << 62
_PAGES = 1024  # 4 MiB; the kernel makes them present when the pool is created, in 1 ms
_ZEROS = bytes(1 << 16)

_PATIENCE = 1.0  # seconds that the creator of a segment may take for a few microseconds' work

_small: dict[str, Pool] = {}  # at most one: the pool of small segments
# The pools of large segments created here whose names have not been removed. A child forgets them: the parent keeps
# them, and they could otherwise not end before the child does.
_large: dict[Handle, Pool] = large_segments
_making: list[str] = segments_in_making  # pools that threads of this process are creating


def make(name: str | None, size: int) -> tuple[str, Block]:
    """Create a segment of zeros; return its name and its block."""
    if size > _MOST:
        most = size.bit_length() - 1
        raise PoolExhausted(f"asked for more than 2**{most} bytes, which no machine has; ask for less")
    if name is not None:
        return name, _make_given(_pool_name(name), size)
    block = _allocate_small(size)
    if block is None:
        block = _allocate_large(size)
    try:
        handle = block.handle
        # always of the same length, as a program may have reserved room for a name
        numbers = f"{handle.index:08}:{handle.generation:013}:{handle.process:010}"
        made = f"{_AUTOMATIC}{handle.pool_id}:{numbers}:", block
    except BaseException:
        discard(block)
        raise
    return made


def discard(block: Block) -> None:
    """Remove a segment that was just created and whose name nobody knows."""
    pool = block.pool
    if pool.name is None:
        withdraw(block)
        _large.pop(block.handle, None)
    else:
        pool.unlink()


def take(name: object) -> Block:
    """Return the block of the segment with that name."""
    if not isinstance(name, str) or not name.startswith(_AUTOMATIC):
        return _take_given(_pool_name(name))
    block = _hold(Handle.parse(name))
    if not in_flight(block):
        raise _removed()
    return block


def remove(handle: Handle, block: Block | None) -> None:
    """Remove the name of a segment; `block` is the segment's if this process still has it."""
    if handle.name is None:
        if not withdraw(_hold(handle) if block is None else block):
            raise _removed()
    else:
        pool = Pool.attach(handle.name)
        if first_run(pool) != handle:
            raise PoolNotFound("the segment's name was removed before, and another segment has it now; unlink once")
        pool.unlink()
    tidy()


def tidy() -> None:
    """Drop the pools of large segments whose names other processes removed."""
    for handle in list(_large):
        try:
            if in_flight(redeem(handle)):
                continue
        except (StaleHandle, PoolNotFound):
            pass
        _large.pop(handle, None)


def start_afresh() -> None:
    """Create the later segments of this child in a pool that it does not share with its parent."""
    _small.clear()


def _hold(handle: Handle) -> Block:
    try:
        return redeem(handle)
    except StaleHandle:
        raise _removed() from None


def _removed() -> PoolNotFound:
    return PoolNotFound("there is no such segment: it was unlinked; create a new one")


def _allocate_small(size: int) -> Block | None:
    """Take a segment from the pool of small ones; None if it has no room."""
    if size > _PAGE * _PAGES:
        return None
    try:
        pool = _small.get("")
        if pool is None:  # if two threads are here at the same time, the first one's pool stays
            pool = _small.setdefault("", Pool.create(_PAGE, _PAGES))
            expect_full(pool)
        block = pool.allocate(nbytes=size)
    except PoolExhausted:
        return None
    except (TooManyProcesses, PoolBusy, PoolClosed):  # forked when the pool had no place left
        _small.clear()
        return None
    view = block.buf
    for at in range(0, size, len(_ZEROS)):
        view[at : at + len(_ZEROS)] = _ZEROS[: size - at]
    block.share()
    return block


def _allocate_large(size: int) -> Block:
    tidy()
    pool = Pool.create(_rounded(size), 1)
    block = pool.allocate(nbytes=size)
    _large[block.handle] = pool
    block.share()
    return block


def _rounded(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _pool_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"name must be 1 to 176 letters, digits, '_', '-' and '.', not {name!r:.100}; "
            "or None, to create a segment that gets a name"
        )
    return _GIVEN + match[1]


def _make_given(pool_name: str, size: int) -> Block:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _try_to_make(pool_name, size)
        except PoolExists:
            if _is_settled(pool_name) or time.monotonic() > deadline:
                name = pool_name.removeprefix(_GIVEN)
                raise PoolExists(
                    f"segment {name!r} exists already; attach it, unlink it, or take another name"
                ) from None
        time.sleep(0.001)


def _is_settled(pool_name: str) -> bool:
    """Return whether the name stays taken: not just being created, and not half done and now removed."""
    try:
        return _find(pool_name) is not None
    except PoolNotFound:
        return False
    except BlockPoolError:
        return True


def _try_to_make(pool_name: str, size: int) -> Block:
    _making.append(pool_name)
    try:
        pool = Pool.create(_rounded(size), 1, name=pool_name, permanent=True)
        try:
            block = pool.allocate(nbytes=size)
            block.share()
        except BaseException:
            pool.unlink()
            raise
        return block
    finally:
        _making.remove(pool_name)


def _take_given(pool_name: str) -> Block:
    deadline = time.monotonic() + _PATIENCE
    while True:
        block = _find(pool_name)
        if block is not None:
            return block
        if time.monotonic() > deadline:
            raise PoolNotFound(
                f"segment {pool_name.removeprefix(_GIVEN)!r} is not there yet: its creator was stopped while "
                "creating it; continue or end that process"
            )
        time.sleep(0.001)


def _find(pool_name: str) -> Block | None:
    """Return the segment in the pool; None while its creator is at work.

    Without a creator, a segment that is half done is removed: PoolNotFound.
    """
    try:
        pool = Pool.attach(pool_name)
    except PoolNotFound:
        name = pool_name.removeprefix(_GIVEN)
        raise PoolNotFound(f"there is no segment {name!r}: it was never created, or it was unlinked") from None
    if pool.blocks != 1:
        raise PoolCorrupt(f"pool {pool_name!r} is not a segment; use Pool.attach() for it")
    block = _complete(pool)
    if block is None and pool_name not in _making:
        pool.recover()
        if pool.stats().processes == 1:
            block = _complete(pool)  # its creator may have finished and left meanwhile
            if block is None and first_run(pool) is not None:
                raise PoolCorrupt(f"pool {pool_name!r} is not a segment; use Pool.attach() for it")
            if block is None:
                pool.unlink()
                raise PoolNotFound(
                    f"segment {pool_name.removeprefix(_GIVEN)!r} was left half made, and was removed; create it again"
                )
    return block


def _complete(pool: Pool) -> Block | None:
    handle = first_run(pool)
    if handle is None:
        return None
    try:
        block = redeem(handle)
    except StaleHandle:
        return None
    return block if in_flight(block) else None
