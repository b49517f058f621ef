# See received.pxd.

@cython.final
@cython.no_gc_clear
cdef class Message:
    """An item that was received, with what is known of its message; from `Queue.receive`.

    If the queue redelivers, the message is unfinished until `done`: should this process die before, another one
    receives the item. In a ``with`` it is done at the end, or goes back into the queue if an exception ends it. It goes
    back too if this object is dropped.

    Attributes
    ----------
    item : object
        What was put.
    process : int
        Id of the process that sent it.

    Notes
    -----
    In a forked child, a message of the parent can be read, and is the parent's to finish.
    """

    def __init__(self):
        raise TypeError("a Message comes from Queue.receive()")

    def __del__(self):
        self.finish(True)

    cdef int finish(self, bint again) except -1:
        """End the message, or give it back to the queue to be received again."""
        cdef _Channel channel
        cdef _Mapping m
        with cython.critical_section(self):  # of several threads, one finishes it
            channel = self.channel
            self.channel = None
        if channel is None:
            return 0
        m = channel.mapping
        if self.forks == channel.forks(m) and not is_lost(m):
            if again:
                attachment_message_return(m.engine.attachment, &channel.view, &self.message)
            else:
                channel.end(m, &self.message)
        channel.leave()
        return 0

    def done(self):
        """Finish the message: it will not be received again. Doing so again does nothing."""
        self.finish(False)

    @property
    def again(self):
        """Whether the item was received before, by somebody who did not finish it."""
        return bool(self.message.again)

    @property
    def position(self):
        """The number of the message, counted from the first that was put into the queue."""
        return self.message.position

    @property
    def sent(self):
        """When it was put: seconds on the clock of `time.monotonic`."""
        return self.sent_at * 1e-9

    @property
    def age(self):
        """How many seconds ago it was put."""
        return os_now() - self.sent_at * 1e-9

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback, /):
        self.finish(kind is not None)

    def __repr__(self):
        state = "" if self.channel is None else ", unfinished"
        return f"<blockpool.Message {self.message.position}, {self.item!r:.60}{state}>"
