# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, auto_pickle=False
# cython: nonecheck=True
# (Except in the hot calls, which say so: their objects do not come from outside, and each check costs time.)
# cython: embedsignature=True, embedsignature.format=clinic
# Errors in destructors go to sys.unraisablehook alone: printed as well, a KeyboardInterrupt would end Python 3.14.
# cython: unraisable_tracebacks=False
# cython: freethreading_compatible=True
"""Pool and Block: the binding of the C library.

What keeps what alive; an arrow is a reference::

    Pool ──▶ _Mapping ◀── Block            a Block without views owns its run itself
                 ▲
                 └──────── _Lease ◀── Block, memoryview, numpy.ndarray, …

The memory. A _Mapping is the memory of a pool. When no Pool, Block or lease refers to it any more, the memory is
unmapped; if the pool is shared, this process leaves it then.

A run. A Block starts as the only owner of its run. Its first view, or its first read-only twin, hands the run over to a
_Lease, which exports every view. From then on the run goes back when the last reference to the lease is gone, and the
reference count of the lease tells whether the run is in use. The number of exports would not do, because
numpy.ndarray(buffer=…) releases its export at once and keeps only a reference to the exporter.

NumPy's allocator. An array whose memory NumPy itself took from a pool (Pool.numpy_allocator) has neither Block nor
lease. NumPy gives the memory back by its address, and the array keeps the mapping through the capsule of its handler.

Debug mode. A Block has its lease from the start, and the lease tells the mapping's guard (blockpool._debug,
blockpool._debug_shared) when the run comes back. So the hot calls know nothing of debug mode.

The end. When Python shuts down beside other threads that ran Python, these may be in C code that was given no more than
an address: a daemon thread that receives into a block. From then on no run goes back by itself, and no memory is
unmapped (ends_beside_threads).

Without the GIL. The module declares that it needs none. What the GIL protects in other builds has this instead; with
the GIL, all of it is plain or nothing (_threads.h).

- Who uses a Block: its state, one atomic word in every build (block_state.h).
- The lease of a Block: written and read in a critical section of the Block, once where it is made and once where the
  Block ends. Within enter() and leave() it stays what it is.
- Whether a lease is in use. A reference count may not be read while other threads change it: it is in two parts, and a
  copy made by the owning thread and one dropped by another can hide a third. So each view has a lease of its own, for
  which it alone counts, and the lease of the Block counts Blocks, read-only leases and views, atomically. All of these
  are made within enter() and leave(), so a free that finds none will find none.
- That a run goes back once: the mapping of its lease, which is exchanged for None (take_mapping).
- Notes: a critical section of the lease. Counts of transfers and of an IndexPool: atomic additions.
- Counts of a private pool: shares (pool.h). Its quarantine, and the list of pools that have waited: locks (pool.c).
- The mapping of a Pool or Inspector, which close() takes away: a critical section of the object. allocate() would meet
  other threads there, and at the reference count of the mapping. So each thread has a place in the Pool (pool_place),
  with a lock of its own and an object that keeps the mapping; a Block refers to that instead of the mapping. close()
  empties all places.
- The tables (shared pools by id; what was told): one lock, for a few steps that run no Python code (lock_tables). The
  Pools of a mapping, and when exhaustion was told: a critical section of the mapping.
- A Message, and the last one of an iterator or a `get`: a critical section takes it away, so one thread finishes it.
- The position of a Subscription, and the descriptor of a channel: a critical section, as in every build.
- The spare pickler: an atomic exchange. Modules imported late: a flag that is set last, with release (publish).
- Recorders, replays and surveys, one thread at a time: an atomic flag; a second thread gets its RuntimeError.
- How long a channel spins, when it looked for the dead, when garbage was collected: hints. Each is one word; an update
  that is lost costs a spin or a look.
- What Python code keeps (blockpool._forks has the tables) was made for threads that switch between any two steps.

What remains is Python's own: an object that ends in another thread than the one that made it is left to that one, which
ends it between two steps of Python code, or to the collector. So a dropped Block or view may come back a little later
than with the GIL, and a pool be left a little later. free(), release() and the end of a `with` give a Block back at
once, and Inspector.close() unmaps the memory at once. A thread that waits for room or for a message ends such objects
meanwhile.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_IsContiguous,
    PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContextVar_New_with_default, PyContextVar_Set, get_value
from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_Check, PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.number cimport PyNumber_Index
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.weakref cimport PyWeakref_NewRef
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec
from posix.unistd cimport close as close_descriptor, getpid, read as read_descriptor
from libc.errno cimport EMFILE, ENFILE, ENOENT, ENOSYS
from libc.math cimport INFINITY
from libc.stdint cimport (
    INT32_MAX, INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t,
)
from libc.stdlib cimport free as c_free, malloc
from libc.string cimport memcmp, memcpy, memset, strerror

from blockpool._binding.guards cimport seal
from blockpool._binding.threads cimport *

# Names that calls need are C variables, and calls do not import: while the interpreter shuts down, the names in a
# module become None and nothing can be imported, but blocks are still freed and errors still raised. For the same
# reason these are functions and classes, not modules.
cdef object _current_frames, collect_garbage, environ, flags, implementation, modules, number_array
cdef object Handle, NO_DESCRIPTOR, NO_PROC, Ticket, file_name, find_descriptor, foreign, name_of, why_not_found
cdef object parse_size, readable, shortage, take_a_turn, tell, tell_of_fork
cdef object BlockInUse, BlockPoolError, DoubleFree, InvalidBlock, NameNotFound, NameTaken
cdef object PoolBusy, PoolClosed, PoolCorrupt, PoolExhausted
cdef object PoolExists, PoolForbidden, PoolNotFound, PoolVersion, QueueClosed, StaleHandle, TooManyProcesses
cdef object TooManyTickets, TraceInvalid, WrongKind

import atexit
import copyreg
import os
from array import array as number_array
from gc import collect as collect_garbage
from os import environ
from sys import _current_frames, flags, implementation, modules

from blockpool._handles import (
    NO_DESCRIPTOR, NO_PROC, Handle, Ticket, file_name, find_descriptor, foreign, name_of, why_not_found,
)
from blockpool._log import tell, tell_of_fork
from blockpool._room import shortage, take_a_turn
from blockpool._sizes import parse_size, readable
from blockpool.errors import (
    BlockInUse, BlockPoolError, DoubleFree, InvalidBlock, NameNotFound, NameTaken, PoolBusy, PoolClosed, PoolCorrupt,
    PoolExhausted, PoolExists, PoolForbidden, PoolNotFound, PoolVersion, QueueClosed, StaleHandle, TooManyProcesses,
    TooManyTickets, TraceInvalid, WrongKind,
)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) noexcept
    int Py_AtExit(void (*call)() noexcept nogil)
    int PyGILState_Check()
    # Public, but in some versions not declared by the headers that Python.h includes.
    int PyTraceMalloc_Track(unsigned int domain, uintptr_t address, size_t size)
    int PyTraceMalloc_Untrack(unsigned int domain, uintptr_t address)

cdef extern from "<pthread.h>" nogil:
    int pthread_atfork(void (*before)() noexcept, void (*parent)() noexcept, void (*child)() noexcept)

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    #define Py_IsFinalizing _Py_IsFinalizing
    #endif
    """
    int Py_IsFinalizing()
    bint unlikely(bint)


# The default timeout, recognised without a comparison.
cdef object ZERO = 0
# Stands for an argument that was not given.
cdef object ABSENT = object()
leave_uncounted(<PyObject *>ABSENT)


cdef int require_imports(what) except -1:
    """Raise RuntimeError if nothing can be imported any more. For the few modules that are imported at first use."""
    if Py_IsFinalizing():
        raise RuntimeError(f"the interpreter is shutting down, and {what} were never used before; use them earlier")
    return 0


# Bottom up: no part uses a name of a later one; tools/layers.py checks that. The .pxd beside each part is its contract.
include "_binding/reports.pxi"
include "_binding/arguments.pxi"
include "_binding/messages.pxi"
include "_binding/errors.pxi"
include "_binding/fork.pxi"
include "_binding/memory.pxi"
include "_binding/events.pxi"
include "_binding/runs.pxi"
include "_binding/sites.pxi"
include "_binding/attach.pxi"
include "_binding/references.pxi"
include "_binding/names.pxi"
include "_binding/notes.pxi"
include "_binding/lease.pxi"
include "_binding/arrays.pxi"
include "_binding/dlpack.pxi"
include "_binding/numpy_allocator.pxi"
include "_binding/transfer.pxi"
include "_binding/inspect.pxi"
include "_binding/survey.pxi"
include "_binding/look.pxi"
include "_binding/recording.pxi"
include "_binding/block.pxi"
include "_binding/channels.pxi"
include "_binding/packing.pxi"
include "_binding/items.pxi"
include "_binding/received.pxi"
include "_binding/queues.pxi"
include "_binding/topics.pxi"
include "_binding/latest.pxi"
include "_binding/pool.pxi"
include "_binding/objects.pxi"
include "_binding/replay.pxi"
include "_binding/package.pxi"

seal(_Access)
seal(_Mapping)
seal(_Lease)
seal(_Keeper)
seal(_Packed)
seal(_NumpyAllocator)
seal(_Channel)
seal(_Packing)
seal(_Items)
seal(_Recorder)
seal(_Replaying)
