# Received messages: the objects that tell what is known of a message, and with which it is finished.
#
# An unfinished one has entered its channel (channels.pxd), which is closed only after it is finished. It is finished
# once: by done(), with the end of a `with`, or when the object is dropped.

@cython.final
cdef class Message:
    cdef _Channel channel       # None if the message is done
    cdef queue_message message
    cdef readonly object item
    cdef uint64_t sent_at       # nanoseconds on the monotonic clock
    cdef readonly uint32_t process
    cdef unsigned long thread   # that received it
    cdef uint32_t forks         # of the process that received it

    # Ends the message, or gives it back to the queue to be received again.
    cdef int finish(self, bint again) except -1
