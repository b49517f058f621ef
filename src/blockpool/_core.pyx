# cython: language_level=3, binding=False, boundscheck=False, wraparound=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Pool and Block: the binding of the C library.

Who keeps what alive::

    Pool ──▶ _Mapping ◀── Block            a block without views owns its run itself
                 ▲
                 └──────── _Lease ◀── Block, memoryview, numpy.ndarray, …

A Block begins as the only owner of its run. The first view, or the first read-only twin, moves the run to a
_Lease, which is the exporter of every view. From then on the run goes back when the last reference to the lease is
gone, and «is it in use?» is the reference count of the lease. Exports are not counted: numpy.ndarray(buffer=…)
releases its export at once and keeps only a reference to the exporter.

In debug mode a block has its lease from the start, and the lease tells the mapping's guard (blockpool._debug) when the run
comes back. So the hot calls need not know of it.

The memory is unmapped with the _Mapping, when neither Pool nor Block nor lease refers to it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromObject
from cpython.object cimport PyObject
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free as c_free, malloc

from blockpool._engine cimport (
    BITMAP_NONE, POOL_FAULT_CONTINUATION_FREE, POOL_FAULT_CONTINUATION_LOST, POOL_FAULT_PAST_END, STATE_BUSY,
    STATE_FREED, STATE_OK, bitmap_count, bitmap_longest_free, block_state, os_map_private, os_memory,
    os_memory_t, os_now, os_prefault, os_residency, os_residency_t, os_unmap, pool, pool_address, pool_allocate,
    pool_allocate_many, pool_allocate_run, pool_check, pool_fault, pool_metadata_bytes, pool_next_run, pool_release,
    pool_view, pool_wait_enter, pool_wait_forget, pool_wait_leave, pool_wait_sequence, pool_wait_sleep,
    state_begin_free, state_end_free, state_enter, state_is_open, state_leave, state_open, state_outcome, state_release,
)

import gc
import operator
import os
import sys
import weakref

from blockpool._sizes import parse_size
from blockpool.errors import BlockInUse, DoubleFree, InvalidBlock, PoolClosed, PoolCorrupt, PoolExhausted

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    object PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags)
    enum: PyBUF_WRITE
    # Public, but not declared by the header that Python.h includes in every version.
    int PyTraceMalloc_Track(unsigned int domain, uintptr_t address, size_t size)
    int PyTraceMalloc_Untrack(unsigned int domain, uintptr_t address)


# Waiting threads wake this often to let Ctrl-C in.
cdef double SLICE = 0.25
# Beyond these, a search leaves the GIL.
cdef uint64_t MANY = 4096
cdef uint64_t LARGE_POOL = 1 << 16
# What check() lists at most.
cdef enum: FAULTS = 16
# The page size is the best alignment that the start of a mapping promises.
cdef enum: BEST_ALIGNMENT = 4096

# The domain of pool memory in tracemalloc: "pool" in ASCII.
TRACEMALLOC_DOMAIN = 0x706F6F6C
cdef enum: DOMAIN = 0x706F6F6C

# «No timeout given», recognised without a comparison.
cdef object ZERO = 0

# The mappings in which somebody has waited: a forked child has none of those threads.
cdef object waited = weakref.WeakSet()


def _after_fork_in_child():
    for mapping in list(waited):
        pool_wait_forget((<_Mapping>mapping).core)


os.register_at_fork(after_in_child=_after_fork_in_child)


@cython.final
@cython.internal
@cython.no_gc
cdef class _Mapping:
    """The memory of a pool, and the counts that belong to it. Gone when nobody refers to it."""

    cdef object __weakref__
    cdef pool *core             # at the start of its own mapping, followed by the metadata
    cdef size_t core_bytes
    cdef void *data
    cdef size_t nbytes
    cdef bint borrowed          # the memory is the caller's
    cdef Py_buffer lender
    cdef object pool_ref        # a weak reference to the Pool
    cdef object guard           # of debug mode; None without
    cdef size_t alignment
    cdef bint closed
    # Statistics, written with the GIL held; no invariant rests on them.
    cdef uint64_t allocations, frees, failures, in_use, peak, requested

    def __dealloc__(self):
        if self.core != NULL:
            os_unmap(self.core, self.core_bytes)
        if self.borrowed:
            PyBuffer_Release(&self.lender)
        elif self.data != NULL:
            with nogil:
                os_unmap(self.data, self.nbytes)


cdef inline void count_allocation(_Mapping m, uint64_t blocks, uint64_t nbytes) noexcept:
    m.allocations += 1
    m.requested += nbytes
    m.in_use += blocks
    if m.in_use > m.peak:
        m.peak = m.in_use


cdef inline void give_back(_Mapping m, uint64_t index, uint64_t blocks, uint64_t nbytes) noexcept:
    pool_release(m.core, index, blocks)
    m.frees += 1
    m.requested -= nbytes
    m.in_use -= blocks


@cython.final
@cython.internal
@cython.no_gc
@cython.freelist(64)
cdef class _Lease:
    """A run that has views: the exporter of all of them. The run goes back with it.

    A read-only lease exports the memory of another one, its parent, and keeps that alive.
    """

    cdef _Mapping mapping
    cdef _Lease parent
    cdef uint64_t index, blocks, nbytes

    def __init__(self):
        raise TypeError("the memory of a block comes from Block.buf")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.mapping is None:
            raise BufferError("this object has no memory")
        PyBuffer_FillInfo(view, self, pool_address(self.mapping.core, self.index), self.nbytes,
                          self.parent is not None, flags)

    def __repr__(self):
        return f"<memory of blockpool block {self.index}>"

    def __dealloc__(self):
        if self.mapping is None or self.parent is not None:
            return
        if self.mapping.guard is None:
            give_back(self.mapping, self.index, self.blocks, self.nbytes)
        else:
            give_back_guarded(self)


cdef int give_back_guarded(_Lease lease) except -1:
    """What give_back does, in debug mode: the run rests first. The lease has none from then on."""
    cdef _Mapping m = lease.mapping
    lease.mapping = None
    PyTraceMalloc_Untrack(DOMAIN, <uintptr_t>pool_address(m.core, lease.index))
    m.frees += 1
    m.requested -= lease.nbytes
    m.in_use -= lease.blocks
    error = m.guard.take_back(lease.index)
    release_rested(m, False)
    if error is not None:
        raise error
    return 0


cdef bint release_rested(_Mapping m, bint everything) except -1:
    """Let the pool have what rested long enough, or everything; say whether there was any."""
    rested = m.guard.rested(everything=everything)
    for index, blocks in rested:
        pool_release(m.core, index, blocks)
    return len(rested) > 0


cdef inline _Lease new_lease(_Mapping mapping, _Lease parent, uint64_t index, uint64_t blocks, uint64_t nbytes):
    cdef _Lease lease = _Lease.__new__(_Lease)
    set_lease(lease, mapping, parent, index, blocks, nbytes)
    return lease


cdef inline void set_lease(
    _Lease lease, _Mapping mapping, _Lease parent, uint64_t index, uint64_t blocks, uint64_t nbytes
) noexcept:
    lease.mapping = mapping
    lease.parent = parent
    lease.index = index
    lease.blocks = blocks
    lease.nbytes = nbytes


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Block:
    """A run of one or more adjacent blocks of a pool; from `Pool.allocate`.

    The memory comes back when the last of these is gone: this object and its twins (`readonly`), and every view
    of the memory, however it was made. `free` gives it back at once, or says what still uses it.

    All methods may be called from any thread.

    Attributes
    ----------
    index : int
        The first block's place in the pool.
    blocks : int
        Length in blocks.
    nbytes : int
        Length in bytes as asked for: `nbytes` of the allocation, else whole blocks.
    """

    cdef _Mapping mapping
    cdef _Lease lease           # None while this object alone owns the run
    cdef readonly uint64_t index, blocks, nbytes
    cdef block_state state

    def __init__(self):
        raise TypeError("a Block comes from Pool.allocate()")

    def __dealloc__(self):
        if self.lease is None and state_is_open(&self.state):
            give_back(self.mapping, self.index, self.blocks, self.nbytes)

    @property
    def pool(self):
        """The pool of the block."""
        if self.mapping is None:
            raise InvalidBlock("this Block was never allocated; get blocks from Pool.allocate()")
        owner = <object>self.mapping.pool_ref()
        if owner is None:
            owner = Pool.__new__(Pool)
            if not self.mapping.closed:
                adopt(<Pool>owner, self.mapping)
        return owner

    @property
    def address(self):
        """The address of the first byte, a multiple of `Pool.alignment`. Nothing pins the memory for its user."""
        self.require_open()
        return <uintptr_t>pool_address(self.mapping.core, self.index)

    @property
    def buf(self):
        """A writable memoryview of `nbytes` bytes; read-only if the block is.

        It, and whatever is made from it (slices, arrays, ctypes objects), keeps the memory allocated.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        """
        self.enter()
        try:
            return PyMemoryView_FromObject(self.own_lease())
        finally:
            self.leave()

    def readonly(self):
        """Return another Block of the same memory whose views are read-only.

        Returns
        -------
        Block
            Writing to its views raises TypeError. It keeps the memory as any Block does, so `free` of either raises
            `BlockInUse` until the other is released.

        Raises
        ------
        InvalidBlock
            If the block was released or freed.
        """
        cdef _Lease lease
        cdef Block twin
        self.enter()
        try:
            lease = self.own_lease()
            if lease.parent is None:
                lease = new_lease(self.mapping, lease, self.index, self.blocks, self.nbytes)
            twin = Block.__new__(Block)
            twin.mapping = self.mapping
            twin.lease = lease
            twin.index = self.index
            twin.blocks = self.blocks
            twin.nbytes = self.nbytes
            state_open(&twin.state)
            return twin
        finally:
            self.leave()

    def free(self):
        """Give the memory back now; this was the last use.

        Raises
        ------
        BlockInUse
            If a view or another Block still uses the memory. Nothing was changed.
        DoubleFree
            If it was freed before.
        InvalidBlock
            If it was released before.
        """
        cdef state_outcome outcome = state_begin_free(&self.state)
        cdef Py_ssize_t users = 0
        if outcome == STATE_BUSY:
            raise BlockInUse(f"{self.describe()} is in use by another thread at this moment; try again")
        if outcome != STATE_OK:
            self.raise_why(outcome)
        if self.lease is None:
            give_back(self.mapping, self.index, self.blocks, self.nbytes)
        else:
            users = Py_REFCNT(<PyObject *>self.lease) - 1
            if self.lease.parent is not None:
                users += Py_REFCNT(<PyObject *>self.lease.parent) - 1
        state_end_free(&self.state, users == 0)
        if users == 0 and self.lease is not None:
            self.drop()
        if users:
            raise BlockInUse(
                f"{self.describe()} still has {users} user{'s' if users > 1 else ''}: views of its memory (memoryviews, "
                "arrays) or other Blocks of it; drop those first, or call release() to let the last of them free it"
            )

    def release(self):
        """End the use of this object; the memory comes back when no view and no other Block is left.

        Later calls of this object raise `InvalidBlock`, but releasing again, or after `free`, does nothing.
        """
        self.end_use()

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, kind, value, traceback, /):
        # Python holds this object once for the call, and once if `as` gave it a name. Whoever else holds it (a queue that
        # will pickle it later, a list, a generator) still wants it.
        if Py_REFCNT(<PyObject *>self) <= 2:
            self.end_use()

    def __repr__(self):
        cdef str state = ""
        if not state_is_open(&self.state):
            state = " (no longer valid)"
        elif self.lease is not None and self.lease.parent is not None:
            state = " (read-only)"
        return f"<blockpool.Block {self.index}, blocks={self.blocks}, nbytes={self.nbytes}{state}>"

    def __copy__(self):
        raise TypeError(
            "a Block cannot be copied: two owners would share one memory. Assign it (both names are then one Block), "
            "use readonly() for a second one, or copy the bytes: other.buf[:] = block.buf"
        )

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce_ex__(self, protocol):
        raise TypeError(
            "a block of a private pool cannot be pickled: no other process can reach its memory. "
            "Send bytes(block.buf) instead"
        )

    cdef describe(self):
        return f"block {self.index}" if self.blocks == 1 else f"the run of {self.blocks} blocks at {self.index}"

    cdef int raise_why(self, state_outcome outcome) except -1:
        if outcome == STATE_FREED:
            raise DoubleFree(f"{self.describe()} was freed before; drop this object, and allocate a new one")
        if self.mapping is None:
            raise InvalidBlock("this Block was never allocated; get blocks from Pool.allocate()")
        raise InvalidBlock(
            f"this object of {self.describe()} was released, by release() or at the end of `with`; "
            "drop it, and allocate a new one"
        )

    cdef inline int require_open(self) except -1:
        if not state_is_open(&self.state):
            self.enter()
            self.leave()
        return 0

    cdef int enter(self) except -1:
        cdef state_outcome outcome = state_enter(&self.state)
        if outcome == STATE_OK:
            return 0
        if outcome == STATE_FREED:
            raise InvalidBlock(f"{self.describe()} was freed; drop this object, and allocate a new one")
        return self.raise_why(outcome)

    cdef int leave(self) except -1:
        if state_leave(&self.state):
            self.drop()
        return 0

    cdef _Lease own_lease(self):
        with cython.critical_section(self):
            if self.lease is None:
                self.lease = new_lease(self.mapping, None, self.index, self.blocks, self.nbytes)
        return self.lease

    cdef inline int end_use(self) except -1:
        return self.drop() if state_release(&self.state) else 0

    cdef inline int drop(self) except -1:
        """End this object's part in the run."""
        cdef _Lease lease = self.lease
        if lease is None:
            give_back(self.mapping, self.index, self.blocks, self.nbytes)
            return 0
        self.lease = None
        if self.mapping.guard is None:
            return 0
        # In debug mode the run comes back here, where that can raise, and not when `lease` goes.
        if lease.parent is not None and Py_REFCNT(<PyObject *>lease) == 1:
            lease.mapping = None  # a twin's own lease has no run; go on with the one that has
            lease = lease.parent
        return give_back_guarded(lease) if lease.parent is None and Py_REFCNT(<PyObject *>lease) == 1 else 0


cdef inline void open_block(Block block, _Mapping mapping, uint64_t index, uint64_t blocks, uint64_t nbytes) noexcept:
    """Make the block the owner of a run that was claimed."""
    block.mapping = mapping
    block.index = index
    block.blocks = blocks
    block.nbytes = nbytes
    state_open(&block.state)
    count_allocation(mapping, blocks, nbytes)


cdef Block hand_out(_Mapping m, uint64_t index, uint64_t blocks, uint64_t nbytes):
    """A Block of a run that was claimed; if it cannot be made, the run goes back."""
    cdef Block block
    cdef _Lease lease
    try:
        block = Block.__new__(Block)
        if m.guard is not None:
            lease = _Lease.__new__(_Lease)
            m.guard.issue(index, blocks, nbytes)
            set_lease(lease, m, None, index, blocks, nbytes)
            block.lease = lease
            PyTraceMalloc_Track(DOMAIN, <uintptr_t>pool_address(m.core, index), nbytes)
        open_block(block, m, index, blocks, nbytes)
        return block
    except:
        pool_release(m.core, index, blocks)
        raise


cdef int adopt(Pool owner, _Mapping mapping) except -1:
    owner.mapping = mapping
    owner.quick = mapping if mapping.guard is None else None
    owner.guard = mapping.guard
    mapping.pool_ref = PyWeakref_NewRef(owner, None)
    return 0


cdef class Pool:
    """Pool(block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None)
--

    A contiguous piece of memory, cut into blocks of one size, private to this process.

    Parameters
    ----------
    block_size : int or str
        Bytes of a block, a multiple of 8: an int, or a string such as ``"4KiB"``.
    blocks : int, optional
        How many blocks. Without it, as many as fit in `buffer`.
    buffer : writable contiguous buffer, optional
        Memory to use instead of reserving some. Its address must be a multiple of 8. It stays exported until the
        pool, its blocks and their views are gone.
    prefault : bool
        Have the kernel make every page present now, so that no later access has to wait for it. Without it pages come at
        their first use.
    huge_pages : bool
        Ask the kernel for huge pages; `residency` tells what it gave.
    debug : bool, optional
        Look for misuse at some cost: memory is filled with patterns, slack after `nbytes` is checked at free, freed memory at
        reuse and at close, freed runs rest before they are used again, and every allocation remembers its stack
        (`outstanding`) and is known to `tracemalloc`, in the domain `TRACEMALLOC_DOMAIN`. Default: as ``python -X dev`` or
        the environment variable ``BLOCKPOOL_DEBUG`` say.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.
    PoolExhausted
        If the machine, or this process's cgroup, has not so much memory.

    Notes
    -----
    All methods may be called from any thread. A forked child has its own copy (copy-on-write) of the pool and of what is
    allocated in it.

    Examples
    --------
    >>> import blockpool
    >>> pool = blockpool.Pool("4KiB", 16)
    >>> with pool.allocate(nbytes=5) as block:
    ...     block.buf[:] = b"hello"
    ...     bytes(block.buf)
    b'hello'
    """

    cdef object __weakref__
    cdef _Mapping mapping       # None once closed
    cdef _Mapping quick         # the same, but None in debug mode
    cdef object guard           # of debug mode, and outlives the closing

    def __init__(self, block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None):
        if self.mapping is not None:
            raise ValueError("this Pool is open already; make a new one")
        cdef _Mapping m = _Mapping.__new__(_Mapping)
        size = parse_size(block_size, "block_size")
        if size % 8:
            raise ValueError(f"block_size must be a multiple of 8, not {size}; the next one is {size + 8 - size % 8}")
        if blocks is not None:
            blocks = as_count(blocks, "blocks")
        if buffer is None:
            if blocks is None:
                raise TypeError("blocks is missing: how many blocks the pool has")
            reserve(m, size, blocks, bool(prefault), bool(huge_pages))
        else:
            if prefault or huge_pages:
                raise ValueError("prefault and huge_pages are for memory that the pool reserves itself, not for buffer=")
            blocks = borrow(m, buffer, size, blocks)
        m.alignment = alignment_of(<uintptr_t>m.data, size)
        view(m, size, blocks)
        if debug is None:
            debug = debug_wanted()
        if debug:
            from blockpool._debug import Guard

            m.guard = Guard(PyMemoryView_FromMemory(<char *>m.data, m.nbytes, PyBUF_WRITE), size)
        adopt(self, m)

    @property
    def name(self):
        """The name under which processes share the pool; None, as it is private."""
        return None

    @property
    def block_size(self):
        """Bytes of a block."""
        return self.opened().core.block_size

    @property
    def blocks(self):
        """How many blocks the pool has, allocated or not."""
        return self.opened().core.blocks

    @property
    def nbytes(self):
        """Bytes of all blocks together."""
        cdef pool *core = self.opened().core
        return core.blocks * core.block_size

    @property
    def address(self):
        """The address of block 0."""
        return <uintptr_t>self.opened().data

    @property
    def alignment(self):
        """What the address of every block is a multiple of.

        The largest power of two that divides the block size and the address of the pool, at most 4096. A pool that reserves
        its own memory starts on a page, so there it depends on the block size alone: 64 for blocks of 64, 192, 320 bytes.
        """
        return self.opened().alignment

    @property
    def debug(self):
        """Whether the pool is in debug mode."""
        return self.guard is not None

    @property
    def closed(self):
        """Whether `close` was called."""
        return self.mapping is None

    def allocate(self, *, blocks=None, nbytes=None, timeout=0):
        """Allocate one block, or a run of adjacent blocks.

        Parameters
        ----------
        blocks : int, optional
            Length of the run in blocks. Default 1.
        nbytes : int or str, optional
            Length in bytes, instead of `blocks`: the run has as many blocks as that takes, and the Block remembers `nbytes`.
        timeout : float or None
            Seconds to wait for room; 0 does not wait, None waits as long as it takes. Ctrl-C interrupts.

        Returns
        -------
        Block
            Its bytes are what the last user left there; fresh pools are zeroed.

        Raises
        ------
        PoolExhausted
            If there is no such run. Python's garbage collector was run once before giving up.
        PoolClosed
            If the pool is closed, or is closed while waiting.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.
        """
        cdef _Mapping m = self.quick
        cdef Block block
        cdef uint64_t index
        if blocks is None and nbytes is None and timeout is ZERO and m is not None:
            block = Block.__new__(Block)  # first, so that no failure comes after the claim
            index = pool_allocate(m.core)
            if index != BITMAP_NONE:
                open_block(block, m, index, 1, m.core.block_size)
                return block
        return self.allocate_run(blocks, nbytes, timeout)

    def allocate_many(self, count, *, timeout=0):
        """Allocate `count` single blocks, all or nothing.

        Parameters
        ----------
        count : int
            How many, at least 1. They need not be adjacent.
        timeout : float or None
            As for `allocate`.

        Returns
        -------
        list of Block

        Raises
        ------
        PoolExhausted, PoolClosed, TypeError, ValueError
            As for `allocate`.
        """
        cdef _Mapping m = self.opened()
        count = as_count(count, "count")
        cdef double deadline = deadline_of(timeout)
        if count > m.core.blocks:
            raise self.exhausted(m, count, False)
        cdef uint64_t n = count, i
        cdef uint64_t *indices = <uint64_t *>malloc(n * sizeof(uint64_t))
        if indices == NULL:
            raise MemoryError(f"no memory for a list of {n} blocks")
        try:
            self.obtain(m, n, True, deadline, indices)
            found = []
            i = 0
            try:
                while i < n:
                    i += 1  # hand_out answers for this one from here on
                    found.append(hand_out(m, indices[i - 1], 1, m.core.block_size))
            except:
                while i < n:
                    pool_release(m.core, indices[i], 1)
                    i += 1
                raise
            return found
        finally:
            c_free(indices)

    def stats(self):
        """Return the state of the pool.

        Returns
        -------
        PoolStats
        """
        from blockpool.stats import PoolStats, fragmentation

        cdef _Mapping m = self.opened()
        cdef uint64_t allocated, longest
        with nogil:
            allocated = bitmap_count(&m.core.bitmap)
            longest = bitmap_longest_free(&m.core.bitmap)
        if m.guard is not None:
            allocated -= <uint64_t>m.guard.resting_blocks
        free = m.core.blocks - allocated
        allocated_bytes = allocated * m.core.block_size
        return PoolStats(
            blocks=m.core.blocks,
            block_size=m.core.block_size,
            allocated=allocated,
            free=free,
            peak=m.peak,
            largest_free_run=longest,
            fragmentation=fragmentation(free, longest),
            requested_bytes=m.requested,
            allocated_bytes=allocated_bytes,
            utilization=m.requested / allocated_bytes if allocated_bytes else 1.0,
            allocations=m.allocations,
            frees=m.frees,
            failures=m.failures,
            tickets=0,
            oldest_ticket=None,
            processes=1,
        )

    def runs(self):
        """Return every live run, in the order of addresses.

        Returns
        -------
        list of Run
            With other threads at work, runs that they allocate or free meanwhile may or may not be among them.
        """
        from blockpool.stats import Run

        cdef _Mapping m = self.opened()
        cdef uint64_t first = 0, n = 0, at = 0
        cdef list found = []
        holders = (os.getpid(),)
        if m.guard is not None:
            return [Run(run.index, run.blocks, run.nbytes, holders, 0) for run in m.guard.outstanding()]
        while pool_next_run(m.core, at, &first, &n):
            found.append(Run(first, n, n * m.core.block_size, holders, 0))
            at = first + n
        return found

    def check(self):
        """Audit the pool's bookkeeping.

        Returns
        -------
        Audit
            What was looked at.

        Raises
        ------
        PoolCorrupt
            If the bookkeeping contradicts itself; the message says what is wrong and where.
        """
        from blockpool.stats import Audit

        cdef _Mapping m = self.opened()
        cdef pool_fault faults[FAULTS]
        cdef uint64_t count, allocated, runs = 0, first = 0, n = 0, at = 0, i
        with nogil:
            count = pool_check(m.core, faults, FAULTS)
            allocated = bitmap_count(&m.core.bitmap)
            while pool_next_run(m.core, at, &first, &n):
                runs += 1
                at = first + n
        if count:
            found = [describe_fault(faults[i]) for i in range(min(count, <uint64_t>FAULTS))]
            if count > FAULTS:
                found.append(f"and {count - FAULTS} more")
            raise PoolCorrupt(
                f"{count} fault{'s' if count > 1 else ''} in the bookkeeping: {'; '.join(found)}. "
                "Something wrote over it, through a wild pointer perhaps; save what you can, and make a new pool"
            )
        if m.guard is not None:
            allocated -= <uint64_t>m.guard.resting_blocks
            runs -= <uint64_t>m.guard.resting_runs
        return Audit(blocks=m.core.blocks, allocated=allocated, runs=runs)

    def residency(self):
        """Ask the kernel what it really gave the pool.

        Returns
        -------
        Residency
            For a pool in memory of the caller's, of the whole mapping that the memory is a part of.
        """
        from blockpool.stats import Residency

        cdef _Mapping m = self.opened()
        cdef os_residency_t found
        cdef int error
        with nogil:
            error = os_residency(m.data, m.nbytes, &found)
        if error:
            raise OSError(-error, f"cannot ask the kernel about the pool's memory: {os.strerror(-error)}")
        return Residency(resident_bytes=found.resident_bytes, huge_page_bytes=found.huge_bytes)

    def close(self):
        """Close the pool: it allocates no more. Closing again does nothing.

        Blocks and views stay valid; the memory is unmapped when the last is gone. In debug mode, what is still
        allocated is reported to the logger ``blockpool``, with the stacks of the allocations (and see `outstanding`).

        Raises
        ------
        WriteAfterFree
            In debug mode, if somebody wrote to a freed block. The pool is closed all the same.
        """
        cdef _Mapping m = self.mapping
        if m is not None:
            m.closed = True
            self.mapping = self.quick = None
            if m.guard is not None:
                m.guard.close()

    def outstanding(self):
        """Return what is allocated, with the stacks of the allocations; also after `close`.

        Returns
        -------
        list of Outstanding

        Raises
        ------
        ValueError
            If the pool is not in debug mode.
        """
        if self.guard is None:
            raise ValueError("the pool keeps no stacks; make it with debug=True, or run python -X dev")
        return self.guard.outstanding()

    def __enter__(self):
        self.opened()
        return self

    def __exit__(self, kind, value, traceback, /):
        self.close()

    def __repr__(self):
        cdef _Mapping m = self.mapping
        if m is None:
            return "<blockpool.Pool closed>"
        return (f"<blockpool.Pool private, {m.core.blocks} blocks of {m.core.block_size} bytes, "
                f"{bitmap_count(&m.core.bitmap)} allocated>")

    def __reduce_ex__(self, protocol):
        raise TypeError("a private pool cannot be pickled or copied: no other process can reach its memory")

    cdef _Mapping opened(self):
        cdef _Mapping m = self.mapping
        if m is None:
            raise PoolClosed("the pool is closed; make a new one, or close it later")
        return m

    cdef allocate_run(self, blocks, nbytes, timeout):
        """`allocate` with all its arguments."""
        cdef _Mapping m = self.opened()
        cdef double deadline = deadline_of(timeout)
        size = m.core.block_size
        if nbytes is None:
            blocks = 1 if blocks is None else as_count(blocks, "blocks")
            nbytes = blocks * size
        elif blocks is None:
            nbytes = parse_size(nbytes, "nbytes")
            blocks = -(-nbytes // size)
        else:
            raise TypeError("give blocks or nbytes, not both: nbytes says how many blocks it takes")
        if blocks > m.core.blocks:
            raise self.exhausted(m, blocks, True)
        cdef uint64_t index = 0
        self.obtain(m, blocks, False, deadline, &index)
        return hand_out(m, index, blocks, nbytes)

    cdef int obtain(self, _Mapping m, uint64_t n, bint many, double deadline, uint64_t *out) except -1:
        """Claim n blocks, adjacent unless `many`, before the deadline; or raise."""
        cdef uint32_t sequence
        cdef double left
        cdef bint collected = False, undisturbed = False
        if attempt(m, n, many, out):
            return 0
        if m.guard is not None and release_rested(m, True) and attempt(m, n, many, out):
            return 0
        if deadline == 0:
            collect(m)
            if attempt(m, n, many, out):
                return 0
            raise self.exhausted(m, n, not many)
        waited.add(m)
        pool_wait_enter(m.core)
        try:
            while True:
                sequence = pool_wait_sequence(m.core)
                if attempt(m, n, many, out):
                    return 0
                left = deadline - os_now()
                if not collected and (undisturbed or left <= 0):  # nobody frees anything: is it in cycles?
                    collected = True
                    collect(m)
                    continue
                if left <= 0:
                    break
                with nogil:
                    pool_wait_sleep(m.core, sequence, min(left, SLICE))
                undisturbed = pool_wait_sequence(m.core) == sequence
                PyErr_CheckSignals()
                self.opened()
        finally:
            pool_wait_leave(m.core)
        raise self.exhausted(m, n, not many)

    cdef exhausted(self, _Mapping m, n, bint adjacent):
        """Count a failure, and return its error."""
        m.failures += 1
        cdef uint64_t free = m.core.blocks - bitmap_count(&m.core.bitmap)
        cdef uint64_t longest = bitmap_longest_free(&m.core.bitmap)
        asked = "1 block" if n == 1 else f"{n} adjacent blocks" if adjacent else f"{n} blocks"
        if n > m.core.blocks:
            return PoolExhausted(
                f"asked for {asked}; the pool has only {m.core.blocks}; ask for fewer, or make the pool larger"
            )
        return PoolExhausted(
            f"asked for {asked}; {free} of {m.core.blocks} free, longest run {longest}; "
            "free some, ask for fewer, wait for them (timeout=), or make the pool larger"
        )


cdef bint debug_wanted() except -1:
    """Whether the program as a whole runs in debug mode."""
    if not (sys.flags.dev_mode or "BLOCKPOOL_DEBUG" in os.environ):
        return False
    from blockpool._debug import wanted

    return wanted()


cdef int collect(_Mapping m) except -1:
    """Have Python free what nobody can reach."""
    gc.collect()
    if m.guard is not None:
        release_rested(m, True)
    return 0


cdef inline bint attempt(_Mapping m, uint64_t n, bint many, uint64_t *out):
    cdef bint done
    if n > MANY or m.core.blocks > LARGE_POOL:
        with nogil:
            done = claim(m.core, n, many, out)
        return done
    return claim(m.core, n, many, out)


cdef inline bint claim(pool *core, uint64_t n, bint many, uint64_t *out) noexcept nogil:
    if many:
        return pool_allocate_many(core, n, out)
    out[0] = pool_allocate_run(core, n)
    return out[0] != BITMAP_NONE


cdef as_count(value, what):
    """A whole number of at least 1."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int, not {type(value).__name__} {value!r:.60}") from None
    if count < 1:
        raise ValueError(f"{what} must be at least 1, not {count}")
    return count


cdef double deadline_of(timeout) except? -1.0:
    """When to stop waiting, on the monotonic clock; 0 is not to wait at all."""
    if timeout is None:
        return INFINITY
    if isinstance(timeout, (str, bytes)):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__} {timeout!r:.60}")
    try:
        seconds = float(timeout)
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None
    except OverflowError:
        seconds = INFINITY
    if not seconds >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None to wait without end, not {timeout!r:.60}")
    return os_now() + seconds if seconds else 0


cdef describe_fault(pool_fault fault):
    if fault.kind == POOL_FAULT_CONTINUATION_FREE:
        return f"block {fault.index} is marked as part of a run but is free"
    if fault.kind == POOL_FAULT_CONTINUATION_LOST:
        return f"block {fault.index} is marked as continuing a run but the block before it is free"
    if fault.kind == POOL_FAULT_PAST_END:
        return f"bit {fault.index}, past the last block, was changed"
    return f"summary {fault.index} promises less room than there is"


cdef size_t alignment_of(uintptr_t address, size_t block_size) noexcept:
    cdef size_t both = address | block_size | BEST_ALIGNMENT
    return both & -both


cdef int reserve(_Mapping m, size, blocks, bint prefault, bint huge_pages) except -1:
    """Give the mapping memory of its own."""
    cdef os_memory_t machine
    cdef size_t nbytes
    cdef void *data = NULL
    cdef int error
    os_memory(&machine)
    wanted = size * blocks
    limit = machine.available if prefault else machine.total
    if wanted > limit:
        what = "available now" if prefault else "in this machine or allowed to this process"
        raise PoolExhausted(
            f"asked for {wanted} bytes ({blocks} blocks of {size}); there are {limit} {what}; ask for fewer or smaller blocks"
        )
    nbytes = wanted
    with nogil:
        error = os_map_private(nbytes, huge_pages, &data)
        if error == 0 and prefault:
            error = os_prefault(data, nbytes)
            if error:
                os_unmap(data, nbytes)
    if error:
        raise PoolExhausted(
            f"asked for {wanted} bytes ({blocks} blocks of {size}); the kernel refuses ({os.strerror(-error)}); "
            "ask for fewer or smaller blocks"
        )
    m.data = data
    m.nbytes = nbytes
    return 0


cdef borrow(_Mapping m, buffer, size, blocks):
    """Give the mapping the caller's memory; return how many blocks it makes."""
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"buffer must be an object with writable memory (bytearray, mmap, array), not {type(buffer).__name__}")
    try:
        PyObject_GetBuffer(buffer, &m.lender, PyBUF_WRITABLE | PyBUF_ANY_CONTIGUOUS)
    except (BufferError, ValueError) as error:
        raise ValueError(f"buffer must be writable and contiguous: {error}") from None
    m.borrowed = True
    address = <uintptr_t>m.lender.buf
    if address % 8:
        raise ValueError(f"buffer must start at a multiple of 8; its address is {address:#x}, {address % 8} past one")
    fit = m.lender.len // size
    if fit < 1 or (blocks is not None and blocks > fit):
        raise ValueError(
            f"buffer is too small: {m.lender.len} bytes hold {fit} blocks of {size}, "
            f"and {1 if blocks is None else blocks} are needed"
        )
    m.data = m.lender.buf
    m.nbytes = (fit if blocks is None else blocks) * size
    return fit if blocks is None else blocks


cdef int view(_Mapping m, uint64_t size, uint64_t blocks) except -1:
    """Give the mapping its bookkeeping: the C structure, then bitmaps and summaries."""
    cdef size_t head = (sizeof(pool) + 63) // 64 * 64
    cdef size_t nbytes = head + pool_metadata_bytes(blocks)
    cdef void *memory = NULL
    if os_map_private(nbytes, False, &memory):
        raise PoolExhausted(f"no memory for the bookkeeping of {blocks} blocks: {nbytes} bytes; ask for fewer blocks")
    m.core = <pool *>memory
    m.core_bytes = nbytes
    pool_view(m.core, <char *>memory + head, m.data, size, blocks)
    return 0
