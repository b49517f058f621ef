from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    Never,
    NewType,
    NoReturn,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypeAlias,
    TypeVar,
    final,
    overload,
)

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, CapsuleType, disjoint_base

from blockpool._handles import Handle, Ticket
from blockpool.errors import PoolExhausted
from blockpool.stats import Audit, Outstanding, PoolStats, Recovered, Residency, Run

TRACEMALLOC_DOMAIN: Final[int]

_Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Timeout: TypeAlias = SupportsFloat | SupportsIndex | None
_Order: TypeAlias = Literal["C", "F"]
_S = TypeVar("_S", bound=np.generic)
_Kind: TypeAlias = type[_S] | np.dtype[_S]

@final
class Block:
    # Blocks come from Pool.allocate(); no argument makes Block(...) right.
    def __init__(self, never: Never, /) -> None: ...
    @property
    def index(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def address(self) -> int: ...
    @property
    def buf(self) -> memoryview: ...
    @overload
    def array(
        self, shape: _Shape, dtype: None = None, *, order: _Order = "C"
    ) -> npt.NDArray[np.float64]: ...
    @overload
    def array(self, shape: _Shape, dtype: _Kind[_S], *, order: _Order = "C") -> npt.NDArray[_S]: ...
    @overload
    def array(
        self, shape: _Shape, dtype: npt.DTypeLike | None, *, order: _Order = "C"
    ) -> npt.NDArray[Any]: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> CapsuleType: ...
    @property
    def handle(self) -> Handle: ...
    def share(self, n: SupportsIndex = 1) -> Ticket: ...
    def readonly(self) -> Block: ...
    def free(self) -> None: ...
    def release(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __copy__(self) -> NoReturn: ...
    def __deepcopy__(self, memo: object) -> NoReturn: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]: ...

def redeem(handle: Handle | str | bytes, /) -> Block: ...
def sweep() -> int: ...

@disjoint_base
class Pool:
    def __init__(
        self,
        block_size: str | SupportsIndex,
        blocks: SupportsIndex | None = None,
        *,
        buffer: Buffer | None = None,
        prefault: bool = False,
        huge_pages: bool = False,
        debug: bool | None = None,
    ) -> None: ...
    @classmethod
    def create(
        cls,
        block_size: str | SupportsIndex,
        blocks: SupportsIndex,
        *,
        name: str | None = None,
        exist_ok: bool = False,
        permanent: bool = False,
        prefault: bool = False,
        on_fork: Literal["share", "detach"] = "share",
    ) -> Self: ...
    @classmethod
    def attach(cls, name: str, *, on_fork: Literal["share", "detach"] = "share") -> Self: ...
    def unlink(self) -> None: ...
    def recover(self, *, tickets_older_than: SupportsFloat | None = None) -> Recovered: ...
    @property
    def name(self) -> str | None: ...
    @property
    def block_size(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def alignment(self) -> int: ...
    @property
    def debug(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def allocate(
        self,
        *,
        blocks: SupportsIndex | None = None,
        nbytes: str | SupportsIndex | None = None,
        timeout: _Timeout = 0,
    ) -> Block: ...
    def allocate_many(self, count: SupportsIndex, *, timeout: _Timeout = 0) -> list[Block]: ...
    @overload
    def empty(
        self, shape: _Shape, dtype: None = None, *, order: _Order = "C", timeout: _Timeout = 0
    ) -> npt.NDArray[np.float64]: ...
    @overload
    def empty(
        self, shape: _Shape, dtype: _Kind[_S], *, order: _Order = "C", timeout: _Timeout = 0
    ) -> npt.NDArray[_S]: ...
    @overload
    def empty(
        self,
        shape: _Shape,
        dtype: npt.DTypeLike | None,
        *,
        order: _Order = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    @overload
    def zeros(
        self, shape: _Shape, dtype: None = None, *, order: _Order = "C", timeout: _Timeout = 0
    ) -> npt.NDArray[np.float64]: ...
    @overload
    def zeros(
        self, shape: _Shape, dtype: _Kind[_S], *, order: _Order = "C", timeout: _Timeout = 0
    ) -> npt.NDArray[_S]: ...
    @overload
    def zeros(
        self,
        shape: _Shape,
        dtype: npt.DTypeLike | None,
        *,
        order: _Order = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    @overload
    def full(
        self,
        shape: _Shape,
        fill_value: Any,
        dtype: _Kind[_S],
        *,
        order: _Order = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[_S]: ...
    @overload
    def full(
        self,
        shape: _Shape,
        fill_value: Any,
        dtype: npt.DTypeLike | None = None,
        *,
        order: _Order = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    @overload
    def asarray(
        self,
        source: npt.NDArray[_S],
        dtype: None = None,
        *,
        order: Literal["K", "C", "F"] = "K",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[_S]: ...
    @overload
    def asarray(
        self,
        source: npt.ArrayLike,
        dtype: _Kind[_S],
        *,
        order: Literal["K", "C", "F"] = "K",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[_S]: ...
    @overload
    def asarray(
        self,
        source: npt.ArrayLike,
        dtype: npt.DTypeLike | None = None,
        *,
        order: Literal["K", "C", "F"] = "K",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    def allocate_async(
        self,
        *,
        blocks: SupportsIndex | None = None,
        nbytes: str | SupportsIndex | None = None,
        timeout: _Timeout = None,
    ) -> Coroutine[Any, Any, Block]: ...
    def numpy_allocator(self) -> AbstractContextManager[None, None]: ...
    def stats(self) -> PoolStats: ...
    def runs(self) -> list[Run]: ...
    def check(self) -> Audit: ...
    def residency(self) -> Residency: ...
    def close(self) -> None: ...
    def outstanding(self) -> list[Outstanding]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]: ...

# --- for the package alone ---

def require_shared(pool: Pool) -> None: ...
def copy_array(pool: Pool, array: npt.NDArray[Any]) -> npt.NDArray[Any] | None: ...
def copy_buffer(pool: Pool, source: memoryview) -> memoryview | None: ...
def send_array(
    array: npt.NDArray[Any], readonly: bool, threshold: int
) -> tuple[Any, ...] | None: ...
def send_buffer(view: memoryview, readonly: bool, threshold: int) -> tuple[Any, ...] | None: ...
def transfers() -> tuple[int, int, int, int]: ...
def withdraw(owner: Block | npt.NDArray[Any] | memoryview, /) -> bool: ...
def in_flight(block: Block, /) -> int: ...
def first_run(pool: Pool, /) -> Handle | None: ...
def pool_of(view: npt.NDArray[Any] | memoryview, /) -> Pool: ...
def _send_block(block: Block) -> tuple[Any, ...]: ...
def _receive_block(*parts: Any) -> Block: ...
def _receive_array(*parts: Any) -> npt.NDArray[Any]: ...
def _receive_buffer(*parts: Any) -> memoryview: ...

# The steps of a wait for room.
_Mapping = NewType("_Mapping", object)

def mapping_of_pool(pool: Pool, /) -> _Mapping: ...
def claim(pool: Pool, blocks: int, nbytes: int, /) -> Block | None: ...
def given_up(pool: Pool, blocks: int, /) -> PoolExhausted: ...
def begin_wait(mapping: _Mapping, /) -> None: ...
def end_wait(mapping: _Mapping, /) -> None: ...
def moment(mapping: _Mapping, /) -> int: ...
def sleep_since(mapping: _Mapping, sequence: int, /) -> bool: ...
def recover_unused(mapping: _Mapping, garbage: bool, /) -> None: ...
