"""What mypy must see of topics and latest values. Never run."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any, assert_type

from blockpool import Latest, Pool, Sample, Subscription, Topic


def topics(pool: Pool, topic: Topic) -> None:
    assert_type(pool.topic(), Topic)
    assert_type(pool.topic("frames", 4, permanent=True, spin=0.001), Topic)
    assert_type(topic.publish([1], timeout=2), None)
    sending: Coroutine[Any, Any, None] = topic.publish_async(1)
    del sending
    assert_type(topic.subscribe(wait=True, start="now"), Subscription)
    with pool.topic() as opened:
        assert_type(opened, Topic)
    topic.subscribe(start="later")  # type: ignore[arg-type]
    pool.topic(capacity=3)  # type: ignore[call-arg]
    Topic()  # type: ignore[call-arg]


def subscriptions(reader: Subscription) -> None:
    assert_type(reader.get(timeout=1.5), Any)
    receiving: Coroutine[Any, Any, Any] = reader.get_async()
    del receiving
    assert_type(reader.__aiter__(), AsyncIterator[Any])
    assert_type(iter(reader), Subscription)
    assert_type(reader.lost + reader.last_lost + reader.behind + reader.position, int)
    reader.lost = 0  # type: ignore[misc]


def latest_values(pool: Pool, latest: Latest) -> None:
    assert_type(pool.latest("pose", permanent=False), Latest)
    assert_type(latest.set((1, 2)), None)
    assert_type(latest.get(None), Any)
    sample = latest.read()
    assert_type(sample, Sample)
    assert_type(latest.wait(sample, 1), Sample)
    assert_type(latest.wait(newer_than=3), Sample)
    waiting: Coroutine[Any, Any, Sample] = latest.wait_async(sample)
    del waiting
    assert_type(sample.writer_alive, bool | None)
    assert_type(sample.age, float)
    assert_type(latest.position, int | None)
    latest.wait("pose")  # type: ignore[arg-type]
    latest.set(value=1)  # type: ignore[call-arg]
