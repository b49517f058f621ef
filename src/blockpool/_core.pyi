from collections.abc import Sequence
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    Never,
    NoReturn,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypeAlias,
    final,
)

import numpy.typing as npt
from typing_extensions import Buffer, disjoint_base

from blockpool._handles import Handle, Ticket
from blockpool.stats import Audit, Outstanding, PoolStats, Recovered, Residency, Run

TRACEMALLOC_DOMAIN: Final[int]

_Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Timeout: TypeAlias = SupportsFloat | SupportsIndex | None

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
    def array(
        self, shape: _Shape, dtype: npt.DTypeLike | None = None, *, order: Literal["C", "F"] = "C"
    ) -> npt.NDArray[Any]: ...
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

def withdraw(block: Block, /) -> bool: ...
def _receive_block(*parts: Any) -> Block: ...
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
    def empty(
        self,
        shape: _Shape,
        dtype: npt.DTypeLike | None = None,
        *,
        order: Literal["C", "F"] = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    def zeros(
        self,
        shape: _Shape,
        dtype: npt.DTypeLike | None = None,
        *,
        order: Literal["C", "F"] = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    def full(
        self,
        shape: _Shape,
        fill_value: Any,
        dtype: npt.DTypeLike | None = None,
        *,
        order: Literal["C", "F"] = "C",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
    def asarray(
        self,
        source: npt.ArrayLike,
        dtype: npt.DTypeLike | None = None,
        *,
        order: Literal["K", "C", "F"] = "K",
        timeout: _Timeout = 0,
    ) -> npt.NDArray[Any]: ...
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
