# Notes: a few bytes that belong to a run and go with it; see Block.note.
#
# May be called from any thread. The note of a shared pool's run lies beside the run, in the segment; that of a private
# one is kept by its lease (lease.pxd).

# The bytes of a bytes-like object. Raises TypeError if it is none, ValueError if they are too many for a note.
cdef bytes as_note(value)
# Sets the note of a run of a shared pool that this process holds; b"" for none. Releases the GIL if that takes longer.
# Raises PoolExhausted without memory for it, PoolBusy if another process is setting it all the time, or lost_error().
cdef int set_note(_Mapping m, const pool_run *run, bytes note) except -1
# The note of such a run; b"" for none.
cdef bytes note_of(_Mapping m, const pool_run *run)
