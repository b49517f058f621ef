# core/src/block_state.h, which has the contracts. Each call needs the GIL.

cdef extern from "_block_state.h":
    ctypedef struct block_state:
        pass

    enum state_outcome:
        STATE_OK
        STATE_BUSY
        STATE_FREED
        STATE_RELEASED

    void state_open(block_state *self)
    bint state_is_open(const block_state *self)
    state_outcome state_enter(block_state *self)
    bint state_leave(block_state *self)
    state_outcome state_begin_free(block_state *self)
    void state_end_free(block_state *self, bint freed)
    state_outcome state_release(block_state *self)
