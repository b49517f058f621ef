"""Pinned pools: their pages are registered with the CUDA driver, so that copies to a GPU run by themselves.

A registration belongs to one process. It goes through the driver library alone, so it needs neither PyTorch nor the
CUDA toolkit, and holds for whatever in this process uses that driver. Pages of a pool are registered once, however
often it is pinned. The registration keeps the pool's memory mapped: pages that the driver may still read must not go.
"""

from __future__ import annotations

import atexit
import ctypes
import mmap
import os
import resource
from typing import TYPE_CHECKING

from blockpool._forks import pin_lock, pins
from blockpool.errors import PinFailed

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from blockpool._core import Pool

__all__ = ["Pinned"]

_LIBRARY = "libcuda.so.1"
_PORTABLE = 1  # pinned for every context, of every device, not only for the one that registers

# Results of the driver that mean something of their own here.
_OUT_OF_DATE = {
    3: "start this process with spawn or forkserver: CUDA cannot be used in a fork of a process that used it"
}
_NO_DEVICE = 100
_REGISTERED_ALREADY = 712
# The registration is gone: the driver is shutting down, the context was destroyed, or the pages were unregistered.
_GONE = {4, 201, 709, 713}


class _Driver:
    """The functions of the driver library that pinning needs, each checked."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise PinFailed(
                f"pinning needs NVIDIA's driver, and {_LIBRARY} cannot be loaded ({error}); install the driver, or "
                "give the container access to it (docker run --gpus all); a program without a GPU needs no pin()"
            ) from None

    def call(self, what: str, name: str, *arguments: object, hint: str = "") -> None:
        """Call a function; `what` says in an error's message what could not be done, `hint` what to do about it."""
        code = self.code(name, *arguments)
        if code:
            remedy = _OUT_OF_DATE.get(code) or hint
            raise PinFailed(f"{what}: {self.text_of(code)}" + (f"; {remedy}" if remedy else ""))

    def code(self, name: str, *arguments: object) -> int:
        """Call a function, and return its result: 0 if all is well."""
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise PinFailed(f"{_LIBRARY} has no {name}: the driver is too old; update it to one for CUDA 11") from None
        code: int = function(*arguments)
        return code

    def text_of(self, code: int) -> str:
        """Return what the driver says about a result."""
        text = ctypes.c_char_p()
        known = self.code("cuGetErrorString", code, ctypes.byref(text)) == 0 and text.value is not None
        return (
            f"{text.value.decode(errors='replace') if known and text.value else 'unknown'} (error {code} of the driver)"
        )

    def device(self) -> int:
        """Choose a device: the one that this thread uses, else one that the process uses, else the first.

        The pages are pinned for all devices, but to register them takes a context on one; where there is none yet, it
        takes memory of that device.
        """
        count, active, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        context, flags = ctypes.c_void_p(), ctypes.c_uint()
        hint = "pin() needs a GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES"
        self.call("the CUDA driver cannot start", "cuInit", 0, hint=hint)
        self.call("the CUDA driver cannot count devices", "cuDeviceGetCount", ctypes.byref(count))
        if count.value < 1:
            raise PinFailed(f"the CUDA driver finds no device; {hint}")
        if self.code("cuCtxGetCurrent", ctypes.byref(context)) == 0 and context.value:
            self.call("the CUDA driver cannot name the current device", "cuCtxGetDevice", ctypes.byref(device))
            return device.value
        for number in range(count.value):
            self.call("the CUDA driver cannot name a device", "cuDeviceGet", ctypes.byref(device), number)
            state = self.code("cuDevicePrimaryCtxGetState", device, ctypes.byref(flags), ctypes.byref(active))
            if state == 0 and active.value:
                return device.value
        self.call("the CUDA driver cannot name a device", "cuDeviceGet", ctypes.byref(device), 0)
        return device.value


class _Context:
    """The primary context of a device, which is made if need be; it is current in a `with`."""

    def __init__(self, driver: _Driver, device: int) -> None:
        self.driver = driver
        self.device = device
        self.pointer = ctypes.c_void_p()
        what = f"no context can be made on device {device}"
        driver.call(what, "cuDevicePrimaryCtxRetain", ctypes.byref(self.pointer), device)

    def __enter__(self) -> None:
        self.driver.call("the context cannot be used", "cuCtxPushCurrent_v2", self.pointer)

    def __exit__(self, *_: object) -> None:
        self.driver.call("the context cannot be left", "cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def release(self) -> None:
        """Give the context back. Nothing can be done if the driver refuses."""
        self.driver.code("cuDevicePrimaryCtxRelease_v2", self.device)


class _Registration:
    """The pages of one pool, registered with the driver."""

    def __init__(self, pool: Pool, memory: memoryview, start: int, nbytes: int) -> None:
        self.title = f"pool {pool.name!r}" if pool.name else "the pool"
        self.memory = memory
        self.start, self.nbytes = start, nbytes
        self.process = os.getpid()
        self.users = 0
        driver = _Driver()
        self.context = _Context(driver, driver.device())
        try:
            with self.context:
                self.enter(driver)
        except BaseException:
            self.context.release()
            raise

    def enter(self, driver: _Driver) -> None:
        """Register the pages."""
        code = driver.code("cuMemHostRegister_v2", ctypes.c_void_p(self.start), ctypes.c_size_t(self.nbytes), _PORTABLE)
        if code == _REGISTERED_ALREADY:
            raise PinFailed(
                f"some of the {self.nbytes} bytes of {self.title} are registered with the CUDA driver already, by "
                "other code of this process, such as cudaHostRegister; undo that, or leave out pin()"
            )
        if code:
            raise PinFailed(
                f"the CUDA driver refused to pin the {self.nbytes} bytes of {self.title}: {driver.text_of(code)}; "
                f"{_limit()}; raise the limit, free memory, or make the pool smaller"
            )

    def end(self) -> None:
        """Take the pages back from the driver."""
        driver = self.context.driver
        with self.context:
            code = driver.code("cuMemHostUnregister", ctypes.c_void_p(self.start))
        if code and code not in _GONE:
            raise PinFailed(f"the CUDA driver did not give {self.title} back: {driver.text_of(code)}; it stays pinned")
        self.context.release()


def _limit() -> str:
    """Return how much memory this process may lock."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return f"this process may lock {'any amount' if limit == resource.RLIM_INFINITY else f'{limit} bytes'} (ulimit -l)"


class Pinned:
    """A pool whose pages are pinned in this process, from `Pool.pin`, until `unpin` or the end of its ``with``.

    Dropping this object does not unpin the pool. A pool that was not unpinned when the interpreter ends is unpinned
    then. In a forked child it stands for nothing: CUDA does not survive a fork.

    Attributes
    ----------
    nbytes : int
        How many bytes are pinned: those of all blocks, and of the pages that they begin and end in.
    """

    def __init__(self, registration: _Registration) -> None:
        self.nbytes = registration.nbytes
        self._registration: _Registration | None = registration

    @property
    def pinned(self) -> bool:
        """Whether this object keeps the pool pinned."""
        return self._registration is not None and self._registration.process == os.getpid()

    def unpin(self) -> None:
        """Stop keeping the pool pinned. Calling it again, or in a forked child, does nothing.

        The pages are unpinned when every object that `Pool.pin` returned in this process was told so. Wait for
        asynchronous copies first (``torch.cuda.synchronize()``).

        Raises
        ------
        PinFailed
            If the driver refuses, as it does after a GPU program has failed. The pool stays pinned.
        """
        with pin_lock:
            registration = self._registration
            if registration is None or registration.process != os.getpid():
                return
            if registration.users == 1:
                registration.end()
                pins.pop((registration.start, registration.nbytes), None)
            registration.users -= 1
            self._registration = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.unpin()

    def __repr__(self) -> str:
        return f"<blockpool.Pinned {self.nbytes} bytes{'' if self.pinned else ', no longer pinned'}>"


def pin(pool: Pool, memory: memoryview) -> Pinned:
    """Register the pages of a pool, unless they are; `memory` keeps them mapped. For `Pool.pin`."""
    start = pool.address // mmap.PAGESIZE * mmap.PAGESIZE
    end = -(-(pool.address + pool.nbytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    with pin_lock:
        registration = pins.get((start, end - start))
        if registration is None:
            registration = pins[start, end - start] = _Registration(pool, memory, start, end - start)
        registration.users += 1
        return Pinned(registration)


def _end_all() -> None:
    """Unregister what is still pinned, before the memory goes."""
    with pin_lock:
        for registration in list(pins.values()):
            try:
                registration.end()
            except PinFailed:
                continue  # the driver ends with the process
        pins.clear()


atexit.register(_end_all)
