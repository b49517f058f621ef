"""What mypy must see of arrays in a pool, and of the protocols by which others read a block. Never run."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from typing_extensions import CapsuleType

from blockpool import Block, Pool


def a_known_dtype_is_the_arrays(pool: Pool, block: Block, dtype: np.dtype[np.int16]) -> None:
    assert_type(pool.empty(3), NDArray[np.float64])
    assert_type(pool.empty((2, 3), np.uint8), NDArray[np.uint8])
    assert_type(pool.empty([2, 3], dtype, order="F", timeout=None), NDArray[np.int16])
    assert_type(pool.zeros(np.int64(3)), NDArray[np.float64])
    assert_type(pool.zeros((), dtype=np.uint32, timeout=2.5), NDArray[np.uint32])
    assert_type(pool.full(3, 5, np.float32), NDArray[np.float32])
    assert_type(pool.asarray([1, 2], dtype), NDArray[np.int16])
    assert_type(pool.asarray(pool.empty(3, np.uint8)), NDArray[np.uint8])
    assert_type(pool.asarray(pool.empty(3), np.uint8, order="F"), NDArray[np.uint8])
    assert_type(block.array(3), NDArray[np.float64])
    assert_type(block.array((2, 3), np.uint8, order="F"), NDArray[np.uint8])


def another_is_any(pool: Pool, block: Block) -> None:
    assert_type(pool.empty(3, "u1"), NDArray[Any])
    assert_type(pool.zeros(3, float), NDArray[Any])
    assert_type(pool.zeros(3, [("a", "u1")]), NDArray[Any])
    assert_type(pool.full(3, 5), NDArray[Any])
    assert_type(pool.full(3, 5, dtype=">i4", order="F", timeout=1), NDArray[Any])
    assert_type(pool.asarray([1, 2]), NDArray[Any])
    assert_type(pool.asarray(b"bytes", order="K"), NDArray[Any])
    assert_type(block.array(3, "M8[ns]"), NDArray[Any])


def protocols(block: Block) -> None:
    assert_type(block.__array_interface__, dict[str, Any])
    assert_type(block.__dlpack_device__(), tuple[int, int])
    assert_type(block.__dlpack__(), CapsuleType)
    assert_type(block.__dlpack__(stream=None, max_version=(1, 0), dl_device=(1, 0), copy=True), CapsuleType)
    np.from_dlpack(block)
    assert_type(np.asarray(block), NDArray[Any])


def wrong(pool: Pool, block: Block) -> None:
    pool.empty()  # type: ignore[call-overload]
    pool.empty(2.5)  # type: ignore[call-overload]
    pool.empty("3")  # type: ignore[arg-type]
    pool.empty(3, order="K")  # type: ignore[call-overload]
    pool.empty(3, float, "F")  # type: ignore[call-overload]
    pool.zeros(3, timeout="1")  # type: ignore[call-overload]
    pool.full(3)  # type: ignore[call-overload]
    pool.asarray([1], order="A")  # type: ignore[call-overload]
    block.array(3, timeout=1)  # type: ignore[call-overload]
    block.__dlpack__(stream=1)  # type: ignore[arg-type]
    block.__dlpack__(None)  # type: ignore[call-arg]
