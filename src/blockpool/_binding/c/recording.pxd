# core/src/shared/recording.h and lanes.h; the headers have the contracts.

from libc.stdint cimport uint64_t

from blockpool._binding.c.attachment cimport attachment, pool_failure, pool_run, pool_status


cdef extern from "os/atomic.h" nogil:
    ctypedef unsigned int atomic_half


cdef extern from "shared/recording.h" nogil:
    enum:
        LANE_CELLS

    struct lane_cell:
        pass

    pool_status recording_start(attachment *self, double gate_seconds, pool_failure *failure)
    uint64_t recording_collect(attachment *self, lane_cell *cells, uint64_t most, double seconds, atomic_half *stop)
    void recording_stop(attachment *self)
    void recording_end(attachment *self)
    void recording_put_stack(attachment *self, const pool_run *run, const void *text, unsigned length)
