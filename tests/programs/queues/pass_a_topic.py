"""Pass a topic and a latest value to children, and to a forked child also a subscription."""

import multiprocessing
import sys

import blockpool as bp


def work(topic, latest, news, reader):
    """Read the topic, set the value, and publish an answer; nothing may have been missed."""
    if reader is None:
        reader = topic.subscribe(wait=True)
    assert [reader.get(timeout=60) for _ in range(2)] == ["a", "b"], reader
    assert reader.lost == 0
    assert latest.get() == (1, 2)
    news.publish("ready")
    assert [reader.get(timeout=60) for _ in range(20)] == list(range(20))
    latest.set((3, 4))


if __name__ == "__main__":
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    pool = bp.Pool.create("4KiB", 16)
    topic, news, latest = pool.topic(history=3), pool.topic(), pool.latest()
    mine, reader, answers = topic.subscribe(), topic.subscribe(wait=True), news.subscribe()
    latest.set((1, 2))
    topic.publish("a")
    topic.publish("b")
    child = context.Process(target=work, args=(topic, latest, news, reader if method == "fork" else None))
    child.start()
    assert answers.get(timeout=60) == "ready"
    reader.close()  # the child has one of its own
    assert topic.subscribers == 1
    for number in range(20):
        topic.publish(number, timeout=60)
    sample = latest.read()
    if sample.value != (3, 4):
        sample = latest.wait(sample, timeout=60)
    assert sample.value == (3, 4)
    assert sample.process == child.pid
    assert mine.get() == 17
    assert mine.lost == 19
    child.join(60)
    assert child.exitcode == 0
    assert latest.read().writer_alive is False
    print("well")
