"""Queues that deliver an item again if its receiver dies, or gives it back, before it is done."""

import gc
import os
import signal
import threading
import time

import pytest

import blockpool as bp


@pytest.fixture
def queue(shared):
    """Open a queue of four that redelivers."""
    return shared.queue("work", capacity=4, redeliver=True)


def open_in(peer, queue, more="None"):
    """Open the queue in a peer."""
    peer(f"pool = bp.Pool.attach({queue.pool.name!r}); queue = pool.queue('work')")
    return peer(more)


# --- within a process ---
def test_an_item_is_unfinished_until_task_done(queue):
    """What `get` gave counts as unfinished until `task_done`, and `join` waits for it."""
    queue.put(1)
    queue.put(2)
    assert (queue.get(), queue.qsize(), queue.unfinished) == (1, 1, 2)
    with pytest.raises(TimeoutError, match="1 items wait, and 1 were received and are not done"):
        queue.join(timeout=0)
    queue.task_done()
    assert (queue.get(), queue.unfinished) == (2, 1)
    threading.Timer(0.1, queue.task_done).start()
    queue.join(timeout=60)
    assert queue.unfinished == 0


def test_task_done_too_often(queue):
    """Finishing more than was received is ValueError, as in the standard library."""
    with pytest.raises(ValueError, match=r"task_done\(\) called more often"):
        queue.task_done()
    queue.put(1)
    queue.get()
    queue.task_done()
    with pytest.raises(ValueError, match=r"task_done\(\) called more often"):
        queue.task_done()


def test_task_done_finishes_what_the_thread_received(queue):
    """`task_done` finishes the oldest item of its own thread; without one, the oldest of the process."""

    def in_another_thread(*calls):
        thread = threading.Thread(target=lambda: [call() for call in calls])
        thread.start()
        thread.join()

    other = queue.pool.queue("work")
    for number in range(3):
        queue.put(number)
    assert queue.get() == 0
    in_another_thread(queue.get, queue.get, queue.task_done)  # 1 and 2, and 1 is done
    queue.close()
    messages = [other.receive(timeout=60), other.receive(timeout=60)]
    assert [message.item for message in messages] == [0, 2]
    for message in messages:
        message.done()
    queue = other
    for number in range(2):
        queue.put(number)
    in_another_thread(queue.get, queue.get)
    queue.task_done()  # of the other thread, as this one has none
    assert queue.unfinished == 1
    queue.task_done()
    with pytest.raises(ValueError, match="more often"):
        queue.task_done()


def test_a_message_tells_about_itself(queue):
    """A Message has the item, its position, when it was sent and by which process."""
    for number in range(3):
        queue.put(number)
    before = time.monotonic()
    messages = [queue.receive() for _ in range(3)]
    assert [message.item for message in messages] == [0, 1, 2]
    assert [message.position for message in messages] == [0, 1, 2]
    assert [message.process for message in messages] == [os.getpid()] * 3
    assert not any(message.again for message in messages)
    assert all(0 < before - message.sent < 60 for message in messages)
    assert messages[0].sent <= messages[2].sent
    began = time.monotonic()
    assert began - messages[0].sent <= messages[0].age <= time.monotonic() - messages[0].sent
    assert repr(messages[1]) == "<blockpool.Message 1, 1, unfinished>"
    for message in messages:
        message.done()
        message.done()
    assert repr(messages[1]) == "<blockpool.Message 1, 1>"
    assert queue.unfinished == 0


def test_a_message_of_a_queue_that_does_not_redeliver(shared):
    """There, a message is done when it is received."""
    queue = shared.queue()
    queue.put("x")
    with queue.receive() as message:
        assert (message.item, queue.unfinished) == ("x", 0)
        message.done()


def test_a_with_finishes_a_message(queue):
    """At the end of its `with` a message is done."""
    queue.put(1)
    with queue.receive() as message:
        assert queue.unfinished == 1
    assert (queue.unfinished, message.item) == (0, 1)


def test_an_exception_gives_a_message_back(queue):
    """If an exception ends its `with`, a message goes back, and comes first again, marked."""
    for number in range(3):
        queue.put(number)
    with pytest.raises(KeyError), queue.receive() as message:
        raise KeyError
    assert (message.item, queue.qsize()) == (0, 3)
    again = queue.receive()
    assert (again.item, again.again, again.position) == (0, True, 0)
    again.done()
    assert [queue.get(), queue.get()] == [1, 2]


def test_a_dropped_message_goes_back(queue):
    """A Message that nobody refers to any more goes back."""
    queue.put("x")
    message = queue.receive()
    assert queue.qsize() == 0
    del message
    assert queue.qsize() == 1
    message = queue.receive()
    cycle = [message]
    cycle.append(cycle)
    del message, cycle
    gc.collect()
    assert queue.get() == "x"


def test_a_returned_message_wakes_a_receiver(queue):
    """A receiver that waits gets a message that another one gives back."""
    queue.put("x")
    message = queue.receive()
    got = []
    thread = threading.Thread(target=lambda: got.append(queue.receive(timeout=60)))
    thread.start()
    time.sleep(0.05)
    del message
    thread.join(60)
    assert (got[0].item, got[0].again) == ("x", True)


def test_closing_gives_back_what_get_gave(shared):
    """What `get` gave and `task_done` did not finish goes back when the queue is closed."""
    queue = shared.queue("work", redeliver=True)
    other = shared.queue("work")
    queue.put(1)
    assert queue.get() == 1
    queue.close()
    message = other.receive(timeout=0)
    assert (message.item, message.again) == (1, True)


def test_a_message_keeps_its_queue_open(queue, shared):
    """A message can be finished after the queue was closed; the queue ends after that."""
    queue.put(shared.allocate())
    message = queue.receive()
    queue.close()
    assert shared.names() == ["work"]
    message.done()
    del message
    assert shared.stats().allocated == 0
    assert shared.names() == []


def test_a_block_stays_while_its_message_is_unfinished(queue, shared):
    """The message holds its block until it is done, also if the receiver releases it."""
    queue.put(shared.allocate())
    message = queue.receive()
    message.item.release()
    assert shared.stats().allocated == 1
    message.done()
    assert shared.stats().allocated == 0


# --- iteration ---
def test_iteration_finishes_the_item_before(queue):
    """An item is done when the next one is asked for, and the last one when the queue is shut down."""
    for number in range(3):
        queue.put(number)
    queue.shutdown()
    for number, item in enumerate(queue):
        assert (item, queue.unfinished) == (number, 3 - number)
    assert queue.unfinished == 0


def test_leaving_an_iteration_gives_the_item_back(queue):
    """An item on which a loop ends early goes back."""
    queue.put(1)
    queue.put(2)
    for item in queue:
        assert item == 1
        break
    message = queue.receive()
    assert (message.item, message.again) == (1, True)
    message.done()


# --- between processes ---
@pytest.mark.parametrize("way", ["get", "receive"])
def test_an_item_of_a_killed_receiver_comes_again(queue, peer, way):
    """If a receiver is killed before its item is done, another one receives it, whole and with its blocks."""
    block = queue.pool.allocate(nbytes=3)
    block.buf[:] = b"abc"
    queue.put(block)
    del block
    open_in(peer, queue, f"held = queue.{way}()")
    peer.kill()
    message = queue.receive(timeout=60)
    assert (bytes(message.item.buf), message.again) == (b"abc", True)
    message.done()
    del message
    assert queue.pool.stats().allocated == 0


def test_what_is_done_does_not_come_again(queue, peer):
    """What a receiver has finished before it is killed is not received again."""
    for number in range(3):
        queue.put(number)
    open_in(peer, queue, "queue.get(), queue.task_done(), queue.receive().done(), queue.get()")
    peer.kill()
    queue.pool.recover()
    message = queue.receive(timeout=0)
    assert (message.item, message.again) == (2, True)
    message.done()
    with pytest.raises(bp.QueueEmpty):
        queue.get_nowait()


def test_a_receiver_that_leaves_gives_back_its_items(queue, peer):
    """A process that ends without finishing its items gives them back."""
    queue.put(1)
    open_in(peer, queue, "held = queue.get()")
    peer.end()
    assert queue.receive(timeout=60).again


def test_without_redelivery_an_item_is_received_once(shared, peer):
    """In a queue that does not redeliver, an item is lost with its receiver."""
    queue = shared.queue("work", capacity=4)
    queue.put(shared.allocate())
    open_in(peer, queue, "held = queue.get()")
    peer.kill()
    shared.recover()
    with pytest.raises(bp.QueueEmpty):
        queue.get(timeout=0)
    assert shared.stats().allocated == 0


def test_a_waiting_receiver_gets_the_item_of_a_dead_one(queue, peer):
    """A receiver that waits finds out by itself that another one was killed."""
    queue.put(1)
    open_in(peer, queue, "held = queue.get()")
    timer = threading.Timer(0.2, peer.kill)
    timer.start()
    assert queue.receive(timeout=60).item == 1
    timer.join()


def test_join_waits_for_other_processes(queue, peer):
    """`join` returns when another process has finished, or died and somebody else has."""
    queue.put(1)
    open_in(peer, queue, "held = queue.get()")
    with pytest.raises(TimeoutError):
        queue.join(timeout=0.05)
    peer.start("time.sleep(0.1); queue.task_done()")
    queue.join(timeout=60)
    peer.answer()


def test_a_forked_child_does_not_finish_its_parents_items(queue):
    """A child has copies of the objects, but the messages stay its parent's."""
    queue.put(1)
    queue.put(2)
    got, message = queue.get(), queue.receive()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(ValueError, match="more often"):
                queue.task_done()
            message.done()
            del message
            queue.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    queue.pool.recover()
    assert (got, queue.unfinished, queue.qsize()) == (1, 2, 0)
    message.done()
    queue.task_done()
    assert queue.unfinished == 0


def test_items_of_a_stopped_receiver_are_its_own(queue, peer):
    """A receiver that is stopped keeps its item; it can finish it when it goes on."""
    queue.put(1)
    open_in(peer, queue, "held = queue.get()")
    os.kill(peer.pid, signal.SIGSTOP)
    queue.pool.recover()
    with pytest.raises(bp.QueueEmpty):
        queue.get(timeout=0.3)
    os.kill(peer.pid, signal.SIGCONT)
    peer("queue.task_done()")
    assert queue.unfinished == 0
