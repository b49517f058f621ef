"""iceoryx2: samples on loan from a publisher, and events to sleep on.

A sample is created as the documentation does where speed counts: loaned without being set to zero. Where the receiver
spins, both poll `receive`, as its own benchmark does; where it sleeps, each sample is followed by an event, for which
the other side waits in the kernel.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from blockpool.bench.peers._peer import Peer, own_name
from blockpool.bench.tasks import Statement, marks

PEER = Peer(
    "iceoryx2",
    "publisher.loan_slice_uninit(size), dropped; handed over by send(), with a Notifier and a Listener where the "
    "receiver sleeps, and polled where it spins",
    against="shared_pool",
    needs="iceoryx2>=0.10",
)

_WRITE = "publisher.loan_slice_uninit(size).payload().as_memory_view().cast('B')[::4096] = marks"


def version() -> str:
    """Return the version of iceoryx2."""
    from importlib.metadata import version as version_of

    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    return version_of("iceoryx2")


class _Service:
    """A node with a service of that name, and ports of it."""

    def __init__(self, name: str, size: int) -> None:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        self._iceoryx2, self._name, self._size = iceoryx2, name, size
        config = iceoryx2.config.default()
        config.global_cfg.prefix = iceoryx2.FileName.new(f"{own_name()}_")
        config.global_cfg.root_path = iceoryx2.Path.new(os.environ["TMPDIR"])
        self._node = iceoryx2.NodeBuilder.new().config(config).create(iceoryx2.ServiceType.Ipc)
        self._builder = self._node.service_builder(iceoryx2.ServiceName.new(name))
        samples = self._builder.publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        self._samples = samples.max_publishers(16).max_nodes(32).open_or_create()

    def publisher(self, loans: int = 2) -> Any:
        """Return a new publisher."""
        builder = self._samples.publisher_builder().initial_max_slice_len(self._size)
        return builder.max_loaned_samples(loans).create()

    def subscriber(self) -> Any:
        """Return a new subscriber."""
        return self._samples.subscriber_builder().create()

    def events(self) -> Any:
        """Return the event service of that name."""
        name = self._iceoryx2.ServiceName.new(f"{self._name}/event")
        return self._node.service_builder(name).event().open_or_create()


def _service_name() -> str:
    return f"blockpool/{os.getpid()}"


def create(size: int) -> Statement:
    """Take a sample on loan, and drop it."""
    service = _Service(_service_name(), size)
    names = {"publisher": service.publisher(), "size": size, "service": service}
    return Statement("publisher.loan_slice_uninit(size)", names)


def write(size: int) -> Statement:
    """Take a sample on loan, write a byte of each page, and drop it."""
    service = _Service(_service_name(), size)
    names = {"publisher": service.publisher(), "size": size, "marks": marks(size), "service": service}
    return Statement(_WRITE, names)


def hold(size: int, count: int) -> object:
    """Keep so many samples, written."""
    service = _Service(_service_name(), size)
    publisher = service.publisher(count)
    found = [publisher.loan_slice_uninit(size) for _ in range(count)]
    for each in found:
        each.payload().as_memory_view().cast("B")[::4096] = marks(size)
    return service, publisher, found


def shared(size: int) -> object:
    """Name the service of several processes."""
    return f"{_service_name()}/{size}"


def member(token: Any, size: int) -> Statement:
    """Take a sample on loan, and drop it; each process has a publisher of the service."""
    service = _Service(token, size)
    names = {"publisher": service.publisher(), "size": size, "service": service}
    return Statement("publisher.loan_slice_uninit(size)", names)


class _End:
    """One end: it publishes on a service, and has samples of another."""

    def __init__(self, out: str, back: str, size: int, *, spins: bool) -> None:
        self._size, self._spins = size, spins
        self._services = _Service(out, size), _Service(back, size)
        self._publisher = self._services[0].publisher()
        self._subscriber = self._services[1].subscriber()
        self._notify = self._services[0].events().notifier_builder().create().notify
        self._listener = self._services[1].events().listener_builder().create()

    def _put(self, size: int) -> None:
        sample = self._publisher.loan_slice_uninit(size)
        view = sample.payload().as_memory_view().cast("B")
        view[0] = view[-1] = 1
        sample.assume_init().send()
        if not self._spins:
            self._notify()

    def _get(self) -> Any:
        receive = self._subscriber.receive
        while (sample := receive()) is None:
            if not self._spins:
                self._listener.blocking_wait()
        return sample

    def send(self) -> None:
        """Send a sample, written at its ends."""
        self._put(self._size)

    def receive(self) -> bool:
        """Receive a sample, and look at its ends."""
        view = self._get().payload().as_memory_view().cast("B")
        return bool(view[0] == view[-1] == 1)

    def answer(self) -> None:
        """Answer with a few bytes."""
        self._put(8)

    def wait(self) -> None:
        """Await the answer."""
        self._get()

    def close(self) -> None:
        """End the ports."""
        del self._publisher, self._subscriber, self._notify, self._listener


class _Sender(_End):
    def __init__(self, size: int, *, spins: bool) -> None:
        name = _service_name()
        self.token = f"{name}/there", f"{name}/back"
        super().__init__(*self.token, size, spins=spins)


def sender(size: int, waiting: str) -> _Sender:
    """Make two services."""
    return _Sender(max(size, 8), spins=waiting == "spins")


def receiver(token: Any, size: int, waiting: str) -> _End:
    """Take the other end."""
    there, back = token
    return _End(back, there, max(size, 8), spins=waiting == "spins")
