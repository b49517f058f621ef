# See channels.pxd.

# The shortest and the longest spin that is worth it, seconds.
cdef double SPIN_LEAST = 2e-6, SPIN_MOST = 1e-4
# After so many spins in a row that found nothing, the next 2 to the power of that many calls do not spin.
cdef unsigned MISSES_MOST = 10
# Seconds between two tries to find room for a message: what frees it wakes nobody.
cdef double ROOM_SLICE = 0.005
# How often calls that do not wait look for the dead, seconds.
cdef double LOOK_SLICE = 0.25

# From blockpool._queue_errors; None until the first channel is opened.
cdef object QueueEmpty = None, QueueFull, QueueShutDown
cdef int errors_are_there = 0


class _MessageEnded(StaleHandle):
    """The message of a topic ended before its reader held what it carries."""


cdef object MessageEnded = _MessageEnded
del _MessageEnded


cdef int need_errors() except -1:
    """Import the errors; here rather than when one is raised, as a call that waits imports nothing."""
    global QueueEmpty, QueueFull, QueueShutDown
    if not is_published(&errors_are_there):
        require_imports("queues")
        from blockpool import _queue_errors

        QueueFull = _queue_errors.QueueFull
        QueueShutDown = _queue_errors.QueueShutDown
        QueueEmpty = _queue_errors.QueueEmpty
        publish(&errors_are_there)
    return 0


@cython.internal
@cython.no_gc_clear
cdef class _Channel(_Access):
    """A queue, topic or latest value that this process has open."""

    def __cinit__(self):
        self.descriptor = -1

    @cython.nonecheck(False)
    def __dealloc__(self):
        if state_is_open(&self.state):
            self.let_go()

    cdef _Mapping opened(self):
        if not state_is_open(&self.state):
            raise not_open_error(self)
        if is_lost(self.mapping):
            raise lost_error(&self.mapping.engine, self.mapping.name)
        return self.mapping

    @cython.nonecheck(False)
    cdef _Mapping enter(self):
        if state_enter(&self.state) != STATE_OK:
            raise not_open_error(self)
        if is_lost(self.mapping):
            self.leave()
            raise lost_error(&self.mapping.engine, self.mapping.name)
        return self.mapping

    @cython.nonecheck(False)
    cdef int leave(self) except -1:
        if state_leave(&self.state):
            self.let_go()
        return 0

    cdef bint close_channel(self) noexcept:
        cdef state_outcome outcome
        if not state_is_open(&self.state):
            return False
        outcome = state_release(&self.state)
        if outcome == STATE_OK:
            self.let_go()
        return True

    @cython.nonecheck(False)
    cdef void let_go(self) noexcept:
        cdef _Mapping m = self.mapping
        if self.descriptor >= 0:
            close_descriptor(self.descriptor)
            self.descriptor = -1
        while attachment_queue_close(m.engine.attachment, &self.view) == POOL_LOCKED:
            m.engine.let_others_run()

    @cython.nonecheck(False)
    cdef uint32_t forks(self, _Mapping m) noexcept:
        return m.engine.attachment.forks

    # --- sending ---

    @cython.nonecheck(False)
    cdef int begin(
        self, _Mapping m, uint32_t kind, unsigned runs, uint64_t nbytes, double deadline, queue_message *message
    ) except -1:
        if attachment_message_begin(m.engine.attachment, &self.view, kind, runs, nbytes, message) == POOL_OK:
            return 0
        return self.begin_slowly(m, kind, runs, nbytes, deadline, message)

    cdef int begin_slowly(
        self, _Mapping m, uint32_t kind, unsigned runs, uint64_t nbytes, double deadline, queue_message *message
    ) except -1:
        cdef pool_status status
        cdef uint32_t sequence
        cdef bint waited = False
        while True:
            sequence = self.sequence(m, QUEUE_WRITABLE)
            status = attachment_message_begin(m.engine.attachment, &self.view, kind, runs, nbytes, message)
            if status == POOL_OK:
                return 0
            if status == POOL_LOCKED:
                m.engine.let_others_run()
                continue
            if status != POOL_EXHAUSTED:
                raise_channel_failure(self, m, status)
            if self.drops and self.drop_one(m):
                continue
            if not waited:
                waited = True
                if reclaim(m, False):
                    continue
            if nbytes >= small_bytes(m) or deadline <= os_now():
                raise no_room_for_message(self, m, nbytes)
            self.sleep(m, QUEUE_WRITABLE, sequence, min(deadline, os_now() + ROOM_SLICE))

    cdef bint drop_one(self, _Mapping m) noexcept:
        """End the oldest message; return whether there was one."""
        cdef queue_message newest
        cdef uint64_t lost = load_relaxed(&self.view.header.lost)
        newest.position = INT64_MAX
        attachment_queue_drop_oldest(m.engine.attachment, &self.view, &newest)
        return load_relaxed(&self.view.header.lost) != lost

    cdef int carry(self, _Mapping m, queue_message *message, const pool_run *run) except -1:
        cdef pool_status status
        while True:
            status = attachment_message_carry(m.engine.attachment, &self.view, message, run)
            if status == POOL_OK:
                return 0
            if status != POOL_LOCKED:
                return raise_run_failure(&m.engine, m.name, status, run.index)
            m.engine.let_others_run()

    @cython.nonecheck(False)
    cdef bint try_put(self, _Mapping m, queue_message *message) except -1:
        cdef pool_status status
        while True:
            status = attachment_message_put(m.engine.attachment, &self.view, message)
            if status == POOL_OK:
                return True
            if status == POOL_QUEUE_FULL:
                return False
            if status != POOL_LOCKED:
                raise_channel_failure(self, m, status)
            m.engine.let_others_run()

    cdef int put_message(self, _Mapping m, double deadline, queue_message *message) except -1:
        cdef uint32_t sequence
        if self.try_put(m, message):
            return 0
        if deadline == 0:
            self.look_for_the_dead(m)
            if self.try_put(m, message):
                return 0
        elif not (self.spins(m, QUEUE_WRITABLE, deadline) and self.try_put(m, message)):
            while True:
                sequence = self.sequence(m, QUEUE_WRITABLE)
                if self.try_put(m, message):
                    return 0
                if not self.sleep(m, QUEUE_WRITABLE, sequence, deadline):
                    break
        else:
            return 0
        raise full_error(self)

    # --- receiving ---

    @cython.nonecheck(False)
    cdef bint try_take(self, _Mapping m, queue_message *message) except -1:
        cdef pool_status status
        while True:
            status = attachment_message_take(m.engine.attachment, &self.view, message)
            if status == POOL_OK:
                return True
            if status == POOL_QUEUE_EMPTY:
                return False
            if status != POOL_LOCKED:
                raise_channel_failure(self, m, status)
            m.engine.let_others_run()

    cdef int take(self, _Mapping m, double deadline, queue_message *message) except -1:
        cdef uint32_t sequence
        if self.try_take(m, message):
            return 0
        if deadline == 0:
            self.look_for_the_dead(m)
            if self.descriptor >= 0:
                self.rearm(m)
            if self.try_take(m, message):
                return 0
        elif not (self.spins(m, QUEUE_READABLE, deadline) and self.try_take(m, message)):
            while True:
                sequence = self.sequence(m, QUEUE_READABLE)
                if self.try_take(m, message):
                    return 0
                if not self.sleep(m, QUEUE_READABLE, sequence, deadline):
                    break
        else:
            return 0
        raise QueueEmpty(f"{described(self)} has no message; wait for one (timeout=)")

    @cython.nonecheck(False)
    cdef void end(self, _Mapping m, const queue_message *message) noexcept:
        attachment_message_end(m.engine.attachment, &self.view, message)

    cdef int hold(self, _Mapping m, const queue_message *message, unsigned i, pool_run *run) except -1:
        cdef pool_status status
        while True:
            status = attachment_message_hold(m.engine.attachment, message, i, run)
            if status == POOL_OK:
                return 0
            if status == POOL_STALE and self.view.kind != QUEUE_IS_QUEUE:
                raise MessageEnded("the message has ended")
            if status != POOL_LOCKED:
                return raise_run_failure(&m.engine, m.name, status, run.index)
            m.engine.let_others_run()

    # --- topics ---

    @cython.nonecheck(False)
    cdef bint try_copy(self, _Mapping m, uint64_t *position, uint64_t *lost, message_copy *copy) except -1:
        cdef pool_status status
        cdef void *words = copy.words
        cdef uint64_t room = sizeof(copy.words)
        copy.longer = NULL
        while True:
            status = attachment_message_copy(
                m.engine.attachment, &self.view, position, lost, words, room, &copy.message
            )
            if status == POOL_OK:
                return True
            if status == POOL_EXHAUSTED:
                room = copy.message.run.blocks * MESSAGE_BLOCK
                free_copy(copy)
                words = copy.longer = <uint64_t *>malloc(room)
                if words == NULL:
                    raise MemoryError(f"no memory for a message of {room} bytes")
                continue
            free_copy(copy)
            if status == POOL_QUEUE_EMPTY:
                return False
            raise_channel_failure(self, m, status)

    # --- waiting ---

    @cython.nonecheck(False)
    cdef uint32_t sequence(self, _Mapping m, queue_side side) noexcept:
        return attachment_queue_sequence(m.engine.attachment, &self.view, side)

    cdef bint sleep(self, _Mapping m, queue_side side, uint32_t sequence, double deadline) except -1:
        cdef double began = os_now(), left = min(deadline - began, SLICE), took
        if not left > 0:
            return False
        with nogil:
            attachment_queue_sleep(m.engine.attachment, &self.view, side, sequence, left)
        took = os_now() - began
        if took < SPIN_MOST:
            self.spun = min(max(2 * self.spun, SPIN_LEAST), SPIN_MOST)
        PyErr_CheckSignals()
        if WITHOUT_GIL:
            take_a_turn()
        self.opened()
        if took >= left:
            reclaim(m, True)
        return True

    cdef bint spins(self, _Mapping m, queue_side side, double deadline) noexcept:
        cdef double seconds = self.worth(deadline)
        cdef bint found
        if seconds == 0:
            return False
        with nogil:
            found = attachment_queue_spin(m.engine.attachment, &self.view, side, seconds)
        self.learn(found)
        return found

    cdef bint spins_at(self, _Mapping m, uint64_t position, double deadline) noexcept:
        cdef double seconds = self.worth(deadline)
        cdef bint found
        if seconds == 0:
            return False
        with nogil:
            found = attachment_message_spin(m.engine.attachment, &self.view, position, seconds)
        self.learn(found)
        return found

    cdef void learn(self, bint found) noexcept:
        """Note whether it was worth spinning. If it often was not, as with too few processors, rest a while."""
        cdef unsigned misses
        if found:
            self.misses = 0
        else:
            self.spun /= 2  # sleep() finds out when it would be worth it again
            misses = min(self.misses + 1, MISSES_MOST)
            self.misses = misses
            self.resting = 1 << misses if misses > 2 else 0

    cdef double worth(self, double deadline) noexcept:
        """How many seconds to spin; 0 for not at all."""
        cdef double spin = self.spin if self.spin >= 0 else self.spun
        cdef unsigned resting = self.resting  # read once, as another thread may count it down too
        if resting and self.spin < 0:
            self.resting = resting - 1
            return 0
        return 0 if spin < SPIN_LEAST else max(min(spin, deadline - os_now()), 0)

    cdef int look_for_the_dead(self, _Mapping m) except -1:
        cdef double now = os_now()
        if now - self.looked >= LOOK_SLICE:
            self.looked = now
            reclaim(m, True)
        return 0

    # --- event loops ---

    cdef int watch(self, _Mapping m) except -1:
        cdef int found
        with cython.critical_section(self):
            if self.descriptor < 0 or self.described != self.forks(m):
                found = attachment_watch(m.engine.attachment)
                if found < 0:
                    raise watch_error(self, found)
                if self.descriptor >= 0:
                    close_descriptor(self.descriptor)  # the parent's, which it goes on reading
                self.descriptor = found
                self.described = self.forks(m)
                self.rearm(m)  # only now: later it would drain what the caller is to be told
            return self.descriptor

    cdef int rearm(self, _Mapping m) except -1:
        cdef char[4096] events
        if self.described == self.forks(m):
            while read_descriptor(self.descriptor, events, sizeof(events)) > 0:
                pass
            attachment_queue_watch(m.engine.attachment, &self.view)
        return 0

    # --- passing it on ---

    cdef tuple sent_channel(self):
        cdef _Mapping m = self.mapping
        cdef pool_status status
        parts = (*reference_of(m, &self.view.run), self.name)
        while True:
            status = attachment_queue_share(m.engine.attachment, &self.view)
            if status == POOL_OK:
                return parts
            if status != POOL_LOCKED:
                raise_run_failure(&m.engine, m.name, status, self.view.run.index)
            m.engine.let_others_run()

    cdef int take_back_sent(self) except -1:
        attachment_queue_withdraw(self.mapping.engine.attachment, &self.view)
        return 0


cdef void free_copy(message_copy *copy) noexcept:
    c_free(copy.longer)
    copy.longer = NULL


cdef object is_attached(_Mapping m, uint32_t process, uint64_t sent):
    cdef slot_set used, dead
    cdef c_bool known
    cdef look_process one
    cdef timespec now
    cdef double message_age, process_age
    with nogil:
        look_slots(m.engine.attachment, &used, &dead, &known)
    if not known:
        return None
    message_age = os_now() - <double>sent * 1e-9
    cdef unsigned slot = slot_set_next(&used, 0)
    while slot < LAYOUT_MOST_PROCESSES:
        look_slot(m.engine.attachment, slot, &one)
        if one.process == process and not slot_set_has(&dead, slot):
            clock_gettime(CLOCK_REALTIME, &now)
            process_age = now.tv_sec + <double>now.tv_nsec * 1e-9 - os_start_time(one.start)
            # a process that started later has only got the same id
            if one.start == 0 or process_age >= message_age:
                return True
        slot = slot_set_next(&used, slot + 1)
    return False


def room_used(_Channel channel not None, /):
    """Return how many bytes of the room for queues and messages are in use, by all queues of the pool."""
    cdef shared_pool_totals totals
    channel.enter()
    try:
        shared_pool_count(&channel.view.queues.annex, &totals)
    finally:
        channel.leave()
    return totals.allocated * LAYOUT_SMALL


def watch_queue(_Channel channel not None, /):
    """Return a descriptor of the caller's own for `arm_queue`."""
    cdef _Mapping m = channel.enter()
    cdef int found
    try:
        found = attachment_watch(m.engine.attachment)
    finally:
        channel.leave()
    if found < 0:
        raise watch_error(channel, found)
    return found


def arm_queue(_Channel channel not None, /):
    """Make the next message wake the descriptors."""
    cdef _Mapping m = channel.enter()
    try:
        attachment_queue_watch(m.engine.attachment, &channel.view)
    finally:
        channel.leave()


# --- opening ---

cdef int open_channel(
    _Channel channel, _Mapping m, name, queue_kind kind, capacity, uint64_t default_capacity, redeliver, permanent, spin
) except -1:
    cdef queue_request request
    cdef pool_failure failure
    cdef pool_status status
    cdef c_bool made = False
    cdef bytes text = b"" if name is None else name_of(name).encode()
    cdef const char *chars = NULL
    if name is not None:
        chars = text
    elif permanent:
        raise ValueError(f"a permanent {kind_name(kind)} needs a name, by which it is found later; give it one")
    count = default_capacity if capacity is None else as_count(capacity, capacity_name(kind))
    if count > QUEUE_MOST_CAPACITY:
        raise ValueError(f"{capacity_name(kind)} must be at most {QUEUE_MOST_CAPACITY}, not {readable(count)}")
    begin_channel(channel, spin)
    request.kind = kind
    request.capacity = count
    stays = kind == QUEUE_IS_LATEST and name is not None if permanent is None else permanent
    request.flags = (QUEUE_REDELIVERS if redeliver else 0) | (QUEUE_PERMANENT if stays else 0)
    while True:
        with nogil:
            status = attachment_queue_open(
                m.engine.attachment, chars, &request, True, GATE_SECONDS, &channel.view, &made, &failure
            )
        if status != POOL_LOCKED:
            break
        m.engine.let_others_run()
    if status == POOL_OTHER_KIND:
        raise WrongKind(other_kind(m, name, kind))
    if status == POOL_FULL:
        raise PoolExhausted(f"{titled(m.name)} has {CATALOG_NAMES} names, the most it can have; forget() some")
    if status == POOL_EXHAUSTED:
        raise PoolExhausted(
            f"{titled(m.name)} has no room for a {kind_name(kind)} of {count}: it takes {queue_bytes(&request)} bytes; "
            f"the room for queues and their messages is {small_bytes(m)} bytes in all; close some, ask for less, or "
            "make more (Pool.create(queue_room=…))"
        )
    require_part(m, status, &failure)
    channel.name = name
    channel.mapping = m
    state_open(&channel.state)
    if not made:
        require_same(channel, m, capacity, redeliver, permanent)
    return 0


cdef int begin_channel(_Channel channel, spin) except -1:
    """What comes first, so that nothing fails once the channel is open."""
    need_errors()
    channel.spin = -1
    channel.spun = SPIN_MOST / 4
    if spin is not None:
        channel.spin = number_of_seconds("spin", spin, " or None")
        if not channel.spin >= 0:
            raise ValueError(f"spin must be 0 or more seconds, or None for as long as is worth it, not {spin!r:.60}")
    return 0


cdef int require_same(_Channel channel, _Mapping m, capacity, redeliver, permanent) except -1:
    """Raise NameTaken, and close the channel, if it is not what the caller asked for."""
    cdef bint redelivers = channel.view.flags & QUEUE_REDELIVERS, stays = channel.view.flags & QUEUE_PERMANENT
    has, asked = [], []
    what = capacity_name(channel.view.kind)
    if capacity is not None and as_count(capacity, what) != channel.view.capacity:
        has.append(f"{what}={channel.view.capacity}")
        asked.append(f"{what}={readable(capacity)}")
    if redeliver is not None and bool(redeliver) != redelivers:
        has.append(f"redeliver={bool(redelivers)}")
        asked.append(f"redeliver={bool(redeliver)}")
    if permanent is not None and bool(permanent) != stays:
        has.append(f"permanent={bool(stays)}")
        asked.append(f"permanent={bool(permanent)}")
    if not has:
        return 0
    channel.close_channel()
    raise NameTaken(
        f"{titled(m.name)} has {described(channel)} already, with {', '.join(has)}, not {', '.join(asked)}; leave that "
        "out to take it as it is, or choose another name"
    )


cdef int open_again(_Channel channel, _Channel other, _Mapping m) except -1:
    cdef pool_status status
    channel.spin = other.spin
    channel.spun = other.spun
    while True:
        status = attachment_queue_again(m.engine.attachment, &other.view)
        if status == POOL_OK:
            break
        if status != POOL_LOCKED:
            raise_run_failure(&m.engine, m.name, status, other.view.run.index)
        m.engine.let_others_run()
    channel.view = other.view
    channel.name = other.name
    channel.mapping = m
    state_open(&channel.state)
    return 0


cdef int redeem_channel(
    _Channel channel, queue_kind kind, pool_id, index, generation, process, pool_name, name, spin
) except -1:
    cdef pool_run run
    cdef pool_status status
    cdef _Mapping m
    run.index = number_field("queue", index, 0, LEDGER_MOST_BLOCKS - 1)
    run.generation = number_field("generation", generation, 0, MOST_GENERATIONS)
    run.blocks = 0
    number_field("process", process, 0, INT32_MAX)
    name_field(name)
    begin_channel(channel, spin)
    m = mapping_of(id_field(pool_id), process, name_field(pool_name), None)
    while True:
        status = attachment_queue_redeem(m.engine.attachment, &run, &channel.view)
        if status != POOL_LOCKED:
            break
        m.engine.let_others_run()
    if status == POOL_STALE:
        raise StaleHandle(
            f"the {kind_name(kind)} that was sent has ended: no process had it open any more; keep it open until all "
            "have received it, or give it a name and permanent=True"
        )
    if status != POOL_OK:
        raise_run_failure(&m.engine, m.name, status, run.index)
    channel.name = name
    channel.mapping = m
    state_open(&channel.state)
    if channel.view.kind != kind:
        channel.close_channel()
        raise garbled("kind", channel.view.kind)
    return 0


cdef int forget_channel(_Channel channel, _Mapping m) except -1:
    if not is_named(m, channel.name, channel.view.kind, &channel.view.run):
        raise NameNotFound(f"{described(channel)} has no name any more; it was forgotten, or replaced")
    return forget_name(m, channel.name)


cdef int unlink_channel(_Channel channel) except -1:
    cdef _Mapping m = channel.enter()
    try:
        if channel.name is None:
            raise NameNotFound(f"{described(channel)} has no name to remove")
        return forget_channel(channel, m)
    finally:
        channel.leave()


# --- messages of errors ---

cdef kind_name(queue_kind kind):
    return (
        "queue" if kind == QUEUE_IS_QUEUE else "topic" if kind == QUEUE_IS_TOPIC else "latest value"
        if kind == QUEUE_IS_LATEST else "block"
    )


cdef capacity_name(queue_kind kind):
    return "history" if kind == QUEUE_IS_TOPIC else "capacity"


cdef full_error(_Channel channel):
    if channel.view.kind == QUEUE_IS_TOPIC:
        return QueueFull(
            f"{described(channel)} is full: its history has {channel.view.capacity} messages, and a waiting "
            "subscription has read none of them; wait longer (timeout=), or subscribe without wait=True"
        )
    return QueueFull(
        f"{described(channel)} is full: {channel.view.capacity} messages wait in it; receive some, wait (timeout=), or "
        "choose what to drop (overflow=)"
    )


cdef described(_Channel channel):
    what = kind_name(channel.view.kind)
    return f"the {what}" if channel.name is None else f"{what} {channel.name!r}"


cdef other_kind(_Mapping m, name, queue_kind wanted):
    """What has the name instead."""
    cdef bytes text = name.encode()
    cdef queue_kind kind = QUEUE_NONE
    if attachment_queue_kind(m.engine.attachment, text, &kind) != POOL_OK:
        kind = QUEUE_NONE
    return (
        f"{name!r} is a {kind_name(kind)} of {titled(m.name)}, not a {kind_name(wanted)}; choose another name, or "
        "forget() that one"
    )


cdef watch_error(_Channel channel, int error):
    """The error of a descriptor that could not be made; `error` is a negative errno."""
    remedy = NO_DESCRIPTOR if -error in (EMFILE, ENFILE) else NO_PROC if -error == ENOENT else error_text(-error)
    return OSError(-error, f"{described(channel)} cannot be watched: {remedy}")


cdef not_open_error(_Channel channel):
    if channel.mapping is None:
        return QueueClosed("this object was never opened; get one from the pool, with queue(), topic() or latest()")
    return QueueClosed(f"{described(channel)} is closed in this process; open it again")


cdef uint64_t small_bytes(_Mapping m) noexcept:
    """The room for queues and messages."""
    return m.engine.attachment.geometry.small_blocks * LAYOUT_SMALL


cdef no_room_for_message(_Channel channel, _Mapping m, uint64_t nbytes):
    error = PoolExhausted(
        f"{described(channel)}: no room for a message of {nbytes} bytes; queues and their messages have "
        f"{small_bytes(m)} bytes in {titled(m.name)}, and what is left is too little; receive some, wait (timeout=), "
        "or make more room (Pool.create(queue_room=…))"
    )
    tell_of_exhaustion(m, error)
    return error


cdef int raise_channel_failure(_Channel channel, _Mapping m, pool_status status) except -1:
    if status == POOL_QUEUE_SHUT:
        raise QueueShutDown(f"{described(channel)} was shut down")
    return raise_run_failure(&m.engine, m.name, status, channel.view.run.index)


cdef double deadline_given(block, timeout) except? -1.0:
    if not block:
        return 0
    return INFINITY if timeout is None else deadline_of(timeout)
