# Channels: a queue, topic or latest value that this process has open; what the classes of all three are built on.
#
# THE SHAPE. _Channel is an _Access (memory.pxd), so it can be passed wherever an allocation asks for one. A subclass is
# opened by open_channel() or redeem_channel(), and every public method of it goes:
#
#     m = self.enter()                  # raises QueueClosed, or lost_error(); close() elsewhere now waits for leave()
#     try:
#         ...
#     finally:
#         self.leave()
#
# A message that a subclass hands out, and that is to be finished later, is a Message (received.pxd).
#
# To send: pack_item() (items.pxd) makes a message of a Python object: begin(), carry() for each run, and the bytes. It
# is the caller's until put() has returned; if that raises, the caller owes end(). To receive: take(), unpack_item(),
# end(). To read a topic: try_copy(), unpack_item(), free_copy(). To wait for anything else:
#
#     while True:
#         sequence = self.sequence(m, side)
#         ...look for it...
#         if not self.sleep(m, side, sequence, deadline):
#             ...time is up...
#
# Deadlines are as in arguments.pxd: 0 means not to wait, INFINITY for ever. All that waits releases the GIL, lets
# signal handlers run, and now and then recovers what dead processes held. What does not wait keeps the GIL.
#
# Messages belong to the process that took them: in a forked child, `forks` of the channel differs from what it was.

# A message of a topic, copied while it was there.
cdef struct message_copy:
    queue_message message       # of the copy
    uint64_t[560] words         # of a message of usual length
    uint64_t *longer            # of a longer one, or NULL

cdef class _Channel(_Access):
    cdef object __weakref__
    cdef queue_t view           # kind, capacity, flags and run never change
    cdef readonly object name   # None if it has none
    cdef block_state state      # open, in use by so many calls, closed
    cdef double spin            # seconds to look without sleeping; negative: as long as has been worth it
    cdef double spun            # that long
    cdef unsigned misses        # spins in a row that found nothing
    cdef unsigned resting       # calls that are not to spin
    cdef double looked          # when a call that does not wait last looked for the dead
    cdef bint drops             # whether begin() may end the oldest message to make room
    cdef int descriptor         # for event loops, or -1; of the process after so many forks
    cdef uint32_t described

    cdef _Mapping enter(self)
    cdef int leave(self) except -1
    # Closes it, and lets go of it when no call is inside any more; returns whether this call closed it.
    cdef bint close_channel(self) noexcept
    cdef void let_go(self) noexcept
    # How many forks lie between the process that attached the pool and this one.
    cdef uint32_t forks(self, _Mapping m) noexcept

    # A message for that many runs and bytes; waits for room. Raises PoolExhausted.
    cdef int begin(
        self, _Mapping m, uint32_t kind, unsigned runs, uint64_t nbytes, double deadline, queue_message *message
    ) except -1
    cdef int begin_slowly(
        self, _Mapping m, uint32_t kind, unsigned runs, uint64_t nbytes, double deadline, queue_message *message
    ) except -1
    cdef bint drop_one(self, _Mapping m) noexcept
    # Adds a run that this process holds. Raises TooManyTickets or PoolCorrupt.
    cdef int carry(self, _Mapping m, queue_message *message, const pool_run *run) except -1
    # Publishes it, if there is room; returns whether it did. Raises QueueShutDown.
    cdef bint try_put(self, _Mapping m, queue_message *message) except -1
    # The same, and waits for room. Raises QueueFull.
    cdef int put_message(self, _Mapping m, double deadline, queue_message *message) except -1
    # Takes the oldest message, if there is one. Raises QueueShutDown if there will be none.
    cdef bint try_take(self, _Mapping m, queue_message *message) except -1
    # The same, and waits for one. Raises QueueEmpty.
    cdef int take(self, _Mapping m, double deadline, queue_message *message) except -1
    cdef void end(self, _Mapping m, const queue_message *message) noexcept
    # Makes this process a holder of the run of number i that a message carries. Raises MessageEnded for one of a topic
    # that has ended meanwhile.
    cdef int hold(self, _Mapping m, const queue_message *message, unsigned i, pool_run *run) except -1

    # Copies the message of a topic at *position or after it, if there is one; the caller owes free_copy(). *lost grows
    # by how many were missed. Raises QueueShutDown if there will be none.
    cdef bint try_copy(self, _Mapping m, uint64_t *position, uint64_t *lost, message_copy *copy) except -1

    # Looks for the event without sleeping, for as long as that is worth it; returns whether it seems to have come. A
    # call that waits does so once, before it sleeps.
    cdef bint spins(self, _Mapping m, queue_side side, double deadline) noexcept
    # The same for a topic's message at that position.
    cdef void learn(self, bint found) noexcept
    cdef bint spins_at(self, _Mapping m, uint64_t position, double deadline) noexcept
    cdef double worth(self, double deadline) noexcept
    cdef uint32_t sequence(self, _Mapping m, queue_side side) noexcept
    # Returns false, without having slept, if the deadline is over. Raises what a signal handler raises, or QueueClosed.
    cdef bint sleep(self, _Mapping m, queue_side side, uint32_t sequence, double deadline) except -1
    # Recovers what dead processes held, unless somebody did a moment ago; for calls that do not wait.
    cdef int look_for_the_dead(self, _Mapping m) except -1
    # The descriptor for event loops, made now if need be. It becomes readable for the next message after rearm().
    cdef int watch(self, _Mapping m) except -1
    cdef int rearm(self, _Mapping m) except -1
    # The fields of its pickle: five as of any reference, which is put in flight, then its name.
    cdef tuple sent_channel(self)
    cdef int take_back_sent(self) except -1

# What a new queue, topic or latest value is to be, or has to be if it exists: None for what it is, or the default.
# Opens the channel by its name, or makes it; without a name, makes it.
# Raises WrongKind, NameTaken if it exists with another capacity, …, PoolExhausted, PoolBusy, TypeError or ValueError.
cdef int open_channel(
    _Channel channel, _Mapping m, name, queue_kind kind, capacity, uint64_t default_capacity, redeliver, permanent, spin
) except -1
# Opens the same once more.
cdef int open_again(_Channel channel, _Channel other, _Mapping m) except -1
# Opens the channel that a pickle names; raises StaleHandle if it ended, otherwise as receive_run().
cdef int redeem_channel(
    _Channel channel, queue_kind kind, pool_id, index, generation, process, pool_name, name, spin
) except -1
# Takes the channel's name away. Raises NameNotFound if it lost it before.
cdef int forget_channel(_Channel channel, _Mapping m) except -1
# The same, for a method that has not entered the channel.
cdef int unlink_channel(_Channel channel) except -1
# For messages: "queue 'frames'", or "the queue".
cdef described(_Channel channel)
cdef void free_copy(message_copy *copy) noexcept
# The process that sent a message at that time is alive and has the pool attached; None if that cannot be known.
cdef object is_attached(_Mapping m, uint32_t process, uint64_t sent)
# The classes of the errors, which are imported when the first channel is opened.
cdef object QueueEmpty, QueueShutDown
# Raised by hold(): the message has ended, so somebody else was quicker. Never leaves the binding.
cdef object MessageEnded
# The deadline of a call with these two arguments, as in queue.Queue.
cdef double deadline_given(block, timeout) except? -1.0
