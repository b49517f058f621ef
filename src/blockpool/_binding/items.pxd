# Items: what a message says, as a Python object; how objects become messages, and messages objects again.
#
# A Block of the pool, or an array in it, is carried as it is. So is every Block and array within another object, and
# whatever else shows the pool's memory when pickle asks for its buffers. Other large arrays and buffers are copied
# once, together into one run. The rest is pickled (protocol 5). bytes, arrays and pickles of up to some KiB are in the
# message itself; longer ones are in a run.

# Makes a message of the object in *message, which is then the caller's; see channels.pxd. Waits for room in the annex
# and in the pool. If it raises, nothing is left behind: InvalidBlock, PoolExhausted, TooManyTickets, or what pickle
# raises.
cdef int pack_item(_Channel channel, _Mapping m, item, double deadline, queue_message *message) except -1
# The object that a message says. The message still is the caller's. Raises PoolCorrupt, StaleHandle as hold(), or what
# pickle raises.
cdef object unpack_item(_Channel channel, _Mapping m, const queue_message *message)
