# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, auto_pickle=False
# cython: nonecheck=True
# cython: embedsignature=True, embedsignature.format=clinic
# Errors in destructors go to sys.unraisablehook alone: printed as well, a KeyboardInterrupt would end Python 3.14.
# cython: unraisable_tracebacks=False
# cython: freethreading_compatible=True
"""IndexPool: the bitmap without memory, for programs that hand out integers."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.number cimport PyNumber_Index
from libc.errno cimport EMFILE, ENFILE
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free as c_free, malloc

from blockpool._binding.c.bitmap cimport (
    BATCH_DUPLICATE, BATCH_OK, BITMAP_MOST, BITMAP_NONE, batch, batch_add, batch_add_integers, batch_bytes, batch_first,
    batch_init, batch_missing, batch_missing_range, batch_release, batch_release_range, batch_status, bitmap,
    bitmap_bytes, bitmap_claim, bitmap_claim_many, bitmap_claim_packed, bitmap_claim_run, bitmap_count, bitmap_init,
    bitmap_longest_free, bitmap_release, bitmap_summary_fault, bitmap_test,
)
from blockpool._binding.c.os cimport OS_MEMORY_SURE, os_limits, os_limits_t, os_map_private, os_unmap
from blockpool._binding.guards cimport seal
from blockpool._binding.threads cimport count_signed, raise_to, tally

# As in _core.pyx.
cdef object NO_DESCRIPTOR, implementation, readable, shortage, DoubleFree, InvalidBlock, PoolCorrupt, PoolExhausted

from sys import implementation

from blockpool._handles import NO_DESCRIPTOR
from blockpool._room import shortage
from blockpool._sizes import readable
from blockpool.errors import DoubleFree, InvalidBlock, PoolCorrupt, PoolExhausted

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow) except? -1
    object PyLong_FromUnsignedLongLong(unsigned long long number)

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    #define Py_IsFinalizing _Py_IsFinalizing
    #endif
    """
    int Py_IsFinalizing()

include "_binding/reports.pxi"

# Up to this many indices, a call needs no memory besides its stack.
cdef enum: FEW = 1024
# A batch numbers its words in 31 bits.
cdef uint64_t MOST_AT_ONCE = (1 << 31) - 1
# Beyond this many, a call releases the GIL.
cdef uint64_t MANY = 4096


@cython.final
@cython.internal
@cython.no_gc
cdef class _Words:
    """The memory of an index pool, and the exporter of its bitmap."""

    cdef bitmap *bits           # at the start of its own mapping, followed by the words
    cdef size_t nbytes

    def __init__(self):
        raise TypeError("the bitmap comes from IndexPool.bitmap")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.bits == NULL:
            raise BufferError("this object has no memory")
        PyBuffer_FillInfo(view, self, self.bits.words, (self.bits.bits + 63) // 64 * 8, True, flags)

    def __dealloc__(self):
        if self.bits != NULL:
            os_unmap(self.bits, self.nbytes)


@cython.final
cdef class IndexPool:
    """IndexPool(capacity)
--

    Hand out the integers 0 to capacity - 1, singly, many at once or as ranges, and take them back.

    It is the bitmap of a `Pool` without memory behind it: for page tables, cache slots, ids. It takes about 1.13 bits
    per index. Freeing an index that is not allocated is an error, and so is giving an index twice in one call. If the
    index was handed out again in the meantime, a second free cannot be told from that of its new owner.

    Parameters
    ----------
    capacity : int
        Number of indices, at least 1.

    Raises
    ------
    TypeError, ValueError
        If `capacity` is not an int, or less than 1.
    PoolExhausted
        If this machine does not have enough memory for the bitmap.

    Notes
    -----
    Thread safety: all methods may be called from any thread. Each method that changes several indices is all or
    nothing.

    Process safety: an IndexPool belongs to one process. A forked child has a copy of its own; it cannot be pickled.

    Examples
    --------
    >>> ids = IndexPool(100)
    >>> ids.allocate(), ids.allocate_many(3), ids.allocate_run(2)
    (0, [1, 2, 3], range(4, 6))
    >>> ids.free(0)
    >>> 0 in ids, 1 in ids, len(ids)
    (False, True, 5)
    """

    cdef object __weakref__
    cdef _Words words
    cdef bitmap *bits
    # Statistics; no invariant rests on them. Several threads may write them at once.
    cdef uint64_t allocations, frees, failures, peak
    cdef int64_t in_use         # below 0 for a moment, when two threads wrongly free the same indices

    def __cinit__(self, capacity):
        cdef void *memory = NULL
        cdef size_t head = (sizeof(bitmap) + 63) // 64 * 64
        cdef os_limits_t machine
        try:
            count = PyNumber_Index(capacity)
        except TypeError:
            raise TypeError(f"capacity must be an int, not {type(capacity).__name__} {capacity!r:.60}") from None
        if count < 1:
            raise ValueError(f"capacity must be at least 1, not {readable(count)}")
        machine.total.bytes = OS_MEMORY_SURE
        if count > BITMAP_MOST or bitmap_bytes(count) > OS_MEMORY_SURE:
            os_limits(&machine)
        if count > BITMAP_MOST or bitmap_bytes(count) > machine.total.bytes:
            limit = (<bytes>machine.total.by).decode("utf-8", "replace")
            there, remedy = shortage(limit, machine.total.bytes, ever=True)
            raise PoolExhausted(
                f"asked for {readable(count)} indices, whose bitmap takes {readable(count // 7)} bytes; {there}; "
                f"ask for fewer, or {remedy}"
            )
        cdef size_t nbytes = head + bitmap_bytes(count)
        if os_map_private(nbytes, False, &memory):
            raise PoolExhausted(f"no memory for a bitmap of {count} indices: {nbytes} bytes; ask for fewer")
        self.words = _Words.__new__(_Words)
        self.words.bits = self.bits = <bitmap *>memory
        self.words.nbytes = nbytes
        bitmap_init(self.bits, <char *>memory + head, count, True)

    @property
    def capacity(self):
        """Number of indices, allocated or not."""
        return self.bits.bits

    @property
    def bitmap(self):
        """A read-only memoryview of the bitmap: unsigned 64-bit words, index i in bit i % 64 of word i // 64.

        A bit is 1 if its index is allocated, and past the capacity. The view shows changes as they happen.
        """
        return memoryview(self.words).cast("Q")

    def allocate(self):
        """Allocate one index.

        Returns
        -------
        int
            The index. Which of the free ones it is, is not specified.

        Raises
        ------
        PoolExhausted
            If none is free.
        """
        cdef uint64_t index = bitmap_claim(self.bits)
        if index == BITMAP_NONE:
            raise self.exhausted(1, False)
        try:
            found = PyLong_FromUnsignedLongLong(index)
        except BaseException:  # there is no memory for the int
            bitmap_release(self.bits, index)
            raise
        self.count_allocation(1)
        return found

    def free(self, index, /):
        """Free one index.

        Parameters
        ----------
        index : int
            An allocated index.

        Raises
        ------
        DoubleFree
            If it is not allocated.
        InvalidBlock
            If it is not from 0 to capacity - 1.
        TypeError
            If it is not an int.
        """
        cdef uint64_t bit = self.as_index(index)
        if not bitmap_test(self.bits, bit) or not bitmap_release(self.bits, bit):
            raise not_allocated(bit)
        self.count_free(1)

    def allocate_many(self, count, /, *, packed=False):
        """Allocate `count` indices, all or nothing.

        Parameters
        ----------
        count : int
            Number of indices, at least 1.
        packed : bool
            Take as few runs of adjacent indices as possible, the longest first. This takes longer if free indices are
            scattered.

        Returns
        -------
        list of int
            The indices. They need not be adjacent.

        Raises
        ------
        PoolExhausted
            If fewer are free; none was allocated.
        TypeError, ValueError
            If `count` is not an int, or less than 1.
        MemoryError
            If there is no memory for the list; none was allocated.
        """
        cdef uint64_t n = self.as_count(count, False), i
        cdef uint64_t few[FEW]
        cdef uint64_t *indices = scratch(few, n)
        try:
            self.obtain(n, packed, indices)
            try:
                found = [indices[i] for i in range(n)]
            except BaseException:  # there is no memory for the list
                for i in range(n):
                    bitmap_release(self.bits, indices[i])
                raise
            self.count_allocation(n)
            return found
        finally:
            give_up(few, indices)

    def allocate_into(self, buffer, /, *, packed=False):
        """Fill a buffer with newly allocated indices, all or nothing.

        Parameters
        ----------
        buffer : writable, contiguous buffer of 32-bit or 64-bit integers
            For example ``array.array("i", ...)`` or ``numpy.empty(n, "int32")``. It is filled with indices.
        packed : bool
            As for `allocate_many`.

        Raises
        ------
        PoolExhausted
            If fewer are free; none was allocated, and the buffer is unchanged.
        TypeError
            If `buffer` is not a buffer, or has items of another type.
        ValueError
            If it is read-only, strided, misaligned or empty, or if the capacity needs more than its 32 bits.
        MemoryError
            If there is no memory to gather the indices; none was allocated.
        """
        cdef Py_buffer view
        cdef uint64_t few[FEW]
        cdef uint64_t *indices = NULL
        cdef uint64_t n, i
        cdef bint signed = True
        cdef size_t width = integers(buffer, &view, True, &signed)
        try:
            n = <size_t>view.len // width
            if n == 0:
                raise ValueError("the buffer is empty: there is nothing to allocate into it")
            if width == 4 and self.bits.bits > (<uint64_t>1 << 31):
                raise ValueError(
                    f"a pool of {self.bits.bits} indices needs 64-bit integers; the buffer's have 32 bits"
                )
            if n > self.bits.bits:
                raise self.exhausted(n, False)
            indices = scratch(few, n)
            self.obtain(n, packed, indices)
            if width == 4:
                for i in range(n):
                    (<int32_t *>view.buf)[i] = <int32_t>indices[i]
            else:
                for i in range(n):
                    (<int64_t *>view.buf)[i] = <int64_t>indices[i]
            self.count_allocation(n)
        finally:
            give_up(few, indices)
            PyBuffer_Release(&view)

    def allocate_run(self, count, /):
        """Allocate `count` adjacent indices.

        Parameters
        ----------
        count : int
            Number of indices, at least 1.

        Returns
        -------
        range
            The indices, in ascending order.

        Raises
        ------
        PoolExhausted
            If there is no such run of free indices.
        TypeError, ValueError
            If `count` is not an int, or less than 1.
        """
        cdef uint64_t n = self.as_count(count, True)
        cdef uint64_t first, left
        with nogil:
            first = bitmap_claim_run(self.bits, n)
        if first == BITMAP_NONE:
            raise self.exhausted(n, True)
        try:
            found = range(first, first + n)
        except BaseException:  # there is no memory for the range
            batch_release_range(self.bits, first, n, &left)
            raise
        self.count_allocation(n)
        return found

    def free_many(self, indices, /):
        """Free indices, all or nothing.

        Parameters
        ----------
        indices : list, tuple or range of int, or contiguous buffer of 32-bit or 64-bit integers
            Allocated indices, in any order. A list, tuple or range may be empty.

        Raises
        ------
        DoubleFree
            If an index is not allocated, or given twice; none was freed. The exception: if another thread freed some
            of them after this call had found them allocated, the error names one of those, and all others are freed.
        InvalidBlock
            If an index is not from 0 to capacity - 1; none was freed.
        TypeError
            If `indices` is something else, or its items are not ints; none was freed.
        ValueError
            If a buffer is strided, misaligned or empty, or there are 2**31 indices or more; none was freed.
        MemoryError
            If there is no memory to gather the indices; none was freed.
        """
        cdef Py_buffer view
        cdef size_t width
        cdef bint signed = True
        if isinstance(indices, range):
            self.free_range(indices)
        elif isinstance(indices, (list, tuple)):
            self.free_items(list(indices))
        elif PyObject_CheckBuffer(indices):
            width = integers(indices, &view, False, &signed)
            try:
                self.free_buffer(&view, width, signed)
            finally:
                PyBuffer_Release(&view)
        else:
            raise TypeError(
                f"indices must be a list, a range, or a buffer of integers, not {type(indices).__name__}; "
                "list(…) makes one"
            )

    def stats(self):
        """Return the state of the pool.

        Returns
        -------
        IndexStats
            Numbers of indices and calls. While other threads are at work, they are of no single moment.
        """
        cdef uint64_t allocated, longest
        with nogil:
            allocated = bitmap_count(self.bits)
            longest = bitmap_longest_free(self.bits)
        free = self.bits.bits - allocated
        return report("IndexStats", dict(
            capacity=self.bits.bits,
            allocated=allocated,
            free=free,
            peak=min(self.peak, self.bits.bits),  # which calls of several threads may seem to exceed
            largest_free_run=longest,
            fragmentation=fragmentation_of(free, longest),
            allocations=self.allocations,
            frees=self.frees,
            failures=self.failures,
        ))

    def check(self):
        """Audit the pool's bookkeeping.

        Returns
        -------
        int
            The number of allocated indices.

        Raises
        ------
        PoolCorrupt
            If the bookkeeping contradicts itself; the message says what is wrong and where.
        """
        cdef uint64_t summary, last, allocated
        with nogil:
            summary = bitmap_summary_fault(self.bits)
            allocated = bitmap_count(self.bits)
        last = (<uint64_t *>self.bits.words)[(self.bits.bits - 1) // 64]
        if self.bits.bits % 64 and ~last >> self.bits.bits % 64:
            raise PoolCorrupt(
                f"a bit past the last index, {self.bits.bits - 1}, was cleared: something wrote over the bitmap; "
                "create a new pool"
            )
        if summary != BITMAP_NONE:
            raise PoolCorrupt(
                f"summary {summary} promises less room than there is: something wrote over it; create a new pool"
            )
        return allocated

    def __contains__(self, index):
        try:
            value = PyNumber_Index(index)
        except TypeError:
            return False
        return 0 <= value < self.bits.bits and bitmap_test(self.bits, value)

    def __len__(self):
        return bitmap_count(self.bits)

    def __repr__(self):
        return f"<blockpool.IndexPool {bitmap_count(self.bits)} of {self.bits.bits} allocated>"

    def _repr_html_(self):
        """Return what a notebook shows, as HTML. It changes nothing, and never raises."""
        return notebook_view(self)

    def __reduce_ex__(self, protocol):
        raise TypeError("an IndexPool cannot be pickled or copied: each copy would hand out the same indices")

    cdef uint64_t as_index(self, index) except? 0xFFFFFFFFFFFFFFFF:
        cdef int overflow = 0
        cdef long long value
        if not PyLong_CheckExact(index):
            try:
                index = PyNumber_Index(index)
            except TypeError:
                raise TypeError(f"an index must be an int, not {type(index).__name__} {index!r:.60}") from None
        value = PyLong_AsLongLongAndOverflow(index, &overflow)
        if overflow or value < 0 or <uint64_t>value >= self.bits.bits:
            raise InvalidBlock(f"no index {readable(index)} here; they are 0 to {self.bits.bits - 1}")
        return value

    cdef uint64_t as_count(self, count, bint adjacent) except 0:
        try:
            n = PyNumber_Index(count)
        except TypeError:
            raise TypeError(f"count must be an int, not {type(count).__name__} {count!r:.60}") from None
        if n < 1:
            raise ValueError(f"count must be at least 1, not {readable(n)}")
        if n > self.bits.bits:
            raise self.exhausted(n, adjacent)
        return n

    cdef int obtain(self, uint64_t n, bint packed, uint64_t *out) except -1:
        cdef bint done
        if n > MANY:
            with nogil:
                done = claim(self.bits, n, packed, out)
        else:
            done = claim(self.bits, n, packed, out)
        if not done:
            raise self.exhausted(n, False)
        return 0

    cdef exhausted(self, n, bint adjacent):
        """Count a failure, and return its error."""
        tally(&self.failures, 1)
        asked = "1 index" if n == 1 else f"{readable(n)} adjacent indices" if adjacent else f"{readable(n)} indices"
        if n > self.bits.bits:
            return PoolExhausted(f"asked for {asked}; the pool has only {self.bits.bits}; make it larger")
        return PoolExhausted(
            f"asked for {asked}; {self.bits.bits - bitmap_count(self.bits)} of {self.bits.bits} free, "
            f"longest run {bitmap_longest_free(self.bits)}; free some, ask for fewer, or make the pool larger"
        )

    cdef inline void count_allocation(self, uint64_t n) noexcept:
        cdef int64_t in_use
        tally(&self.allocations, n)
        in_use = count_signed(&self.in_use, n)
        if in_use > <int64_t>self.peak:
            raise_to(&self.peak, in_use)

    cdef inline void count_free(self, uint64_t n) noexcept:
        tally(&self.frees, n)
        count_signed(&self.in_use, -<int64_t>n)

    @cython.wraparound(True)
    cdef int free_range(self, indices) except -1:
        cdef uint64_t n, _i, bit, step
        if not indices:
            return 0
        bit = self.as_index(indices[0])
        self.as_index(indices[-1])
        n = len(indices)  # not earlier: a range that is longer than the pool may have no len()
        step = <uint64_t><int64_t>indices.step if n > 1 else 1
        if step == 1:
            return self.free_adjacent(bit, n)
        if step == <uint64_t>-1:
            return self.free_adjacent(bit - (n - 1), n)
        cdef uint64_t few[FEW]
        cdef batch gathered
        cdef void *memory = begin(&gathered, few, n, self.bits.bits)
        try:
            for _i in range(n):  # all are in range and no two alike, as both ends are in range
                batch_add(&gathered, bit)
                bit += step
            return self.free_gathered(&gathered)
        finally:
            give_up(few, memory)

    cdef int free_adjacent(self, uint64_t first, uint64_t n) except -1:
        cdef uint64_t missing, freed, left
        with nogil:
            missing = batch_missing_range(self.bits, first, n)
        if missing != BITMAP_NONE:
            raise not_allocated(missing)
        # Before the release, so that what another thread allocates of these meanwhile is not counted on top of them.
        count_signed(&self.in_use, -<int64_t>n)
        with nogil:
            freed = batch_release_range(self.bits, first, n, &left)
        count_signed(&self.in_use, <int64_t>(n - freed))
        tally(&self.frees, freed)
        return freed_by_another(left)

    cdef int free_items(self, list items) except -1:
        cdef uint64_t few[FEW]
        cdef batch gathered
        cdef uint64_t n = PyList_GET_SIZE(items), i, bit
        cdef batch_status status
        cdef void *memory = begin(&gathered, few, n, self.bits.bits)
        try:
            for i in range(n):
                bit = self.as_index(<object>PyList_GET_ITEM(items, i))
                status = batch_add(&gathered, bit)
                if status != BATCH_OK:
                    raise refused(status, bit, self.bits.bits)
            return self.free_gathered(&gathered)
        finally:
            give_up(few, memory)

    cdef int free_buffer(self, Py_buffer *view, size_t width, bint signed) except -1:
        cdef uint64_t few[FEW]
        cdef batch gathered
        cdef uint64_t n = <size_t>view.len // width, bit = 0, i = 0
        if n == 0:
            raise ValueError("the buffer is empty: there is nothing to free")
        cdef batch_status status = BATCH_OK
        cdef void *memory = begin(&gathered, few, n, self.bits.bits)
        try:
            if signed or width == 8 or self.bits.bits <= <uint64_t>1 << 31:
                # an unsigned number that is taken for a negative one is out of range either way
                status = batch_add_integers(&gathered, view.buf, width, n, &bit)
                if status != BATCH_OK and not signed and width == 4:
                    bit = <uint32_t>bit
            else:
                while i < n and status == BATCH_OK:
                    bit = (<uint32_t *>view.buf)[i]
                    status = batch_add(&gathered, bit)
                    i += 1
            if status != BATCH_OK and signed:
                raise refused(status, <int64_t>bit, self.bits.bits)
            if status != BATCH_OK:
                raise refused(status, bit, self.bits.bits)
            return self.free_gathered(&gathered)
        finally:
            give_up(few, memory)

    cdef int free_gathered(self, batch *gathered) except -1:
        cdef uint64_t missing = batch_missing(gathered, self.bits)
        if missing != BITMAP_NONE:
            raise not_allocated(missing)
        self.count_free(batch_release(gathered, self.bits))
        return freed_by_another(batch_first(gathered))


cdef int freed_by_another(uint64_t index) except -1:
    """Raise if there is an index that this call found allocated but did not free."""
    if index != BITMAP_NONE:
        raise DoubleFree(
            f"index {index} was freed by another thread during this call, which freed all the others "
            "it was given; two threads own it, or think they do"
        )
    return 0


cdef inline bint claim(bitmap *bits, uint64_t n, bint packed, uint64_t *out) noexcept nogil:
    return bitmap_claim_packed(bits, n, out) if packed else bitmap_claim_many(bits, n, out)


cdef inline uint64_t *scratch(uint64_t *few, uint64_t n) except NULL:
    """Room for n numbers: the caller's own if it suffices."""
    cdef uint64_t *room = few if n <= FEW else <uint64_t *>malloc(n * sizeof(uint64_t))
    if room == NULL:
        raise MemoryError(f"no memory for a list of {n} indices")
    return room


cdef inline void give_up(uint64_t *few, void *room) noexcept:
    """Free what `scratch` or `begin` returned, unless it is the caller's own."""
    if room != few:
        c_free(room)


cdef inline void *begin(batch *gathered, uint64_t *few, uint64_t n, uint64_t bits) except NULL:
    """An empty batch for n indices; returns its memory."""
    if n > MOST_AT_ONCE:
        raise ValueError(f"{n} indices are too many at once; free at most {MOST_AT_ONCE} in one call")
    cdef size_t nbytes = batch_bytes(n)
    cdef void *room = few if nbytes <= FEW * sizeof(uint64_t) else malloc(nbytes)
    if room == NULL:
        raise MemoryError(f"no memory to gather {n} indices: {nbytes} bytes")
    batch_init(gathered, room, n, bits)
    return room


cdef size_t integers(buffer, Py_buffer *view, bint writable, bint *signed) except 0:
    """Open a contiguous buffer of 32-bit or 64-bit integers; return their size in bytes."""
    cdef uintptr_t address
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(
            "expected a buffer of 32-bit or 64-bit integers (array.array('i'), numpy int32), "
            f"not {type(buffer).__name__}"
        )
    flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0)
    try:
        PyObject_GetBuffer(buffer, view, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"the buffer must be {'writable and ' if writable else ''}contiguous: {error}") from None
    cdef const char *form = "B"
    if view.format != NULL:
        form = view.format
    if form[0] in b"@=<":
        form += 1
    if (view.itemsize == 4 or view.itemsize == 8) and form[0] in b"ilqILQnN" and form[1] == 0:
        address = <uintptr_t>view.buf
        width = view.itemsize
        if address % width == 0 or view.len == 0:
            signed[0] = form[0] in b"ilqn"
            return width
        PyBuffer_Release(view)
        raise ValueError(
            f"the buffer's integers of {width} bytes must start at a multiple of {width}, and its address is "
            f"{address:#x}; pass an aligned copy (numpy: array.copy())"
        )
    name = (<bytes>form).decode("utf-8", "replace")
    PyBuffer_Release(view)
    raise TypeError(f"the buffer must be of 32-bit or 64-bit integers, not of format {name!r}")


cdef refused(batch_status status, bit, uint64_t capacity):
    if status == BATCH_DUPLICATE:
        return DoubleFree(f"index {bit} is there twice; nothing was freed; give each index once")
    return InvalidBlock(f"no index {bit} here; they are 0 to {capacity - 1}; nothing was freed")


cdef not_allocated(uint64_t bit):
    return DoubleFree(f"index {bit} is not allocated: freed before, or never allocated; nothing was changed")


seal(_Words)
