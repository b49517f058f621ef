# The contracts of the binding's parts, bottom up, in the order in which _core.pyx includes the parts.

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from blockpool._binding.c.attachment cimport *
from blockpool._binding.c.block_state cimport *
from blockpool._binding.c.os cimport *
from blockpool._binding.c.pool cimport *
from blockpool._binding.c.queues cimport *
from blockpool._binding.c.recording cimport *
from blockpool._binding.c.replay cimport *
from blockpool._binding.c.sites cimport *
from blockpool._binding.c.survey cimport *
from blockpool._binding.threads cimport block_keeper, pool_place

include "_binding/reports.pxd"
include "_binding/arguments.pxd"
include "_binding/messages.pxd"
include "_binding/errors.pxd"
include "_binding/fork.pxd"
include "_binding/memory.pxd"
include "_binding/runs.pxd"
include "_binding/sites.pxd"
include "_binding/attach.pxd"
include "_binding/references.pxd"
include "_binding/lease.pxd"
include "_binding/arrays.pxd"
include "_binding/dlpack.pxd"
include "_binding/numpy_allocator.pxd"
include "_binding/transfer.pxd"
include "_binding/inspect.pxd"
include "_binding/survey.pxd"
include "_binding/look.pxd"
include "_binding/block.pxd"
include "_binding/channels.pxd"
include "_binding/packing.pxd"
include "_binding/items.pxd"
include "_binding/received.pxd"
include "_binding/queues.pxd"
include "_binding/topics.pxd"
include "_binding/latest.pxd"
include "_binding/pool.pxd"
