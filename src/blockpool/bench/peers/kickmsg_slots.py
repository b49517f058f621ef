"""kickmsg: slots that a publisher reserves, fills in place and publishes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from blockpool.bench.peers._peer import Peer, own_name
from blockpool.bench.tasks import Declined, Statement, marks

PEER = Peer(
    "kickmsg",
    "publisher.allocate().publish(size): a slot cannot be given back otherwise; handed over to receive_view(), which "
    "blocks, or try_receive_view(), which is polled where the receiver spins",
    against="shared_pool",
    needs="kickmsg>=0.9",
)

_FOREVER = dt.timedelta(seconds=60)
_ROOM = 64 << 20


def version() -> str:
    """Return the version of kickmsg."""
    from importlib.metadata import version as version_of

    import kickmsg

    return version_of(kickmsg.__name__)


class _Region:
    """A new region, which ends with this object."""

    def __init__(self, name: str, size: int, slots: int, subscribers: int = 1) -> None:
        import kickmsg

        config = kickmsg.Config()
        config.max_subscribers, config.sub_ring_capacity, config.pool_size = subscribers, 4, slots
        config.max_payload_size = size
        self.name = name
        self._region = kickmsg.SharedRegion.create(name, kickmsg.ChannelType.PubSub, config)
        self.publisher = kickmsg.Publisher(self._region)

    def end(self) -> None:
        """Remove its name."""
        self._region.unlink()


def _own(size: int, kind: str = "own") -> _Region:
    region = _Region(f"/{own_name()}-{kind}", size, max(8, min(256, _ROOM // size)))
    if kind == "own":
        region.end()  # nobody else is to find it
    return region


def create(size: int) -> Statement:
    """Reserve a slot, and publish it to nobody."""
    region = _own(size)
    names = {"allocate": region.publisher.allocate, "size": size, "region": region}
    return Statement("allocate().publish(size)", names)


def write(size: int) -> Statement:
    """Reserve a slot, write a byte of each page, and publish it to nobody."""
    region = _own(size)
    names = {"allocate": region.publisher.allocate, "size": size, "region": region, "marks": marks(size)}
    code = "slot = allocate(); view = memoryview(slot); view[:size:4096] = marks; view.release(); slot.publish(size)"
    return Statement(code, names | {"memoryview": memoryview})


class _Link:
    """Two regions, a publisher in one, and a subscriber in the other."""

    def __init__(self, out: str, back: str, size: int, *, spins: bool) -> None:
        import kickmsg

        self._size = size
        self._regions = kickmsg.SharedRegion.open(out), kickmsg.SharedRegion.open(back)
        self._allocate = kickmsg.Publisher(self._regions[0]).allocate
        self._subscriber = kickmsg.Subscriber(self._regions[1])
        self._spins = spins

    def _put(self, size: int) -> None:
        slot = self._allocate()
        view = memoryview(slot)
        view[0] = view[size - 1] = 1
        view.release()
        slot.publish(size)

    def _get(self) -> Any:
        if not self._spins:
            return self._subscriber.receive_view(_FOREVER)
        receive = self._subscriber.try_receive_view
        while (found := receive()) is None:
            pass
        return found

    def send(self) -> None:
        """Send a slot, written at its ends."""
        self._put(self._size)

    def receive(self) -> bool:
        """Receive a slot, and look at its ends."""
        with memoryview(self._get()) as view:
            return bool(view[0] == view[-1] == 1)

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._put(8)

    def wait(self) -> None:
        """Await the answer."""
        self._get()


class _Sender(_Link):
    def __init__(self, size: int, *, spins: bool) -> None:
        self._own = _own(size, "there"), _own(size, "back")
        self.token = self._own[0].name, self._own[1].name
        super().__init__(*self.token, size, spins=spins)

    def close(self) -> None:
        """Remove the regions."""
        for each in self._own:
            each.end()


def sender(size: int, waiting: str) -> _Sender:
    """Make two regions."""
    return _Sender(max(size, 8), spins=waiting == "spins")


def receiver(token: Any, size: int, waiting: str) -> _Link:
    """Take the other end."""
    there, back = token
    return _Link(back, there, max(size, 8), spins=waiting == "spins")


def hold(size: int, count: int) -> object:
    """Have no part: a publisher has one slot at a time."""
    del size, count
    raise Declined("a publisher reserves one slot at a time, so it cannot hold many")
