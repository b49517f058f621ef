"""Blocks give their bytes to NumPy and others by DLPack and by the array interface; both keep the memory in use."""

import ctypes
import gc
import threading

import numpy as np
import pytest

import blockpool as bp

PYTHON = ctypes.pythonapi
PYTHON.PyCapsule_GetPointer.restype = ctypes.c_void_p
PYTHON.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
PYTHON.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
PYTHON.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
CPU = 1
READ_ONLY, IS_COPIED = 1, 2
numpy_2 = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="this NumPy knows no read-only tensors"
)


class Tensor(ctypes.Structure):
    """The specification's DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Legacy(ctypes.Structure):
    """The specification's DLManagedTensor."""

    _fields_ = (
        ("tensor", Tensor),
        ("owner", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )
    capsule_name = b"dltensor"


class Versioned(ctypes.Structure):
    """The specification's DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("owner", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )
    capsule_name = b"dltensor_versioned"


def _opened(capsule):
    """Return the structure in a capsule."""
    kind = Legacy if PYTHON.PyCapsule_IsValid(capsule, b"dltensor") else Versioned
    return kind.from_address(PYTHON.PyCapsule_GetPointer(capsule, kind.capsule_name))


def _consume(capsule):
    """Take the structure out of a capsule, as a consumer does, which then has to call its deleter."""
    managed = _opened(capsule)
    used = b"used_" + managed.capsule_name
    PYTHON.PyCapsule_SetName(capsule, used)
    managed.keep_name = used  # the capsule has only a pointer to it
    return managed


def _delete(managed):
    """Call the deleter of a structure."""
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(managed.deleter)(ctypes.addressof(managed))


VERSIONS = {"legacy": None, "0.8": (0, 8), "1.0": (1, 0), "1.1": (1, 1), "2.0": (2, 0)}
versions = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


@versions
def test_the_tensor(each, version):
    """The tensor has one dimension of bytes at the block's address, in the newest form that the consumer knows."""
    block = each.allocate(nbytes=5000)
    capsule = block.__dlpack__(max_version=version)
    managed = _opened(capsule)
    if version is None or version < (1, 0):
        assert type(managed) is Legacy
    else:
        assert (managed.major, managed.minor, managed.flags) == (1, 0, 0)
    tensor = managed.tensor
    assert (tensor.data, tensor.byte_offset) == (block.address, 0)
    assert (tensor.device_type, tensor.device_id) == block.__dlpack_device__() == (CPU, 0)
    assert (tensor.code, tensor.bits, tensor.lanes) == (1, 8, 1)
    assert (tensor.ndim, tensor.shape[0], tensor.strides[0]) == (1, 5000, 1)


def test_numpy_sees_the_block(each, unchanged):
    """numpy.from_dlpack shows the block's memory, which stays in use until the last view is gone."""
    block = each.allocate(nbytes=5000)
    array = np.from_dlpack(block)
    assert (array.shape, array.dtype) == ((5000,), np.uint8)
    block.buf[:] = b"x" * 5000
    assert array.tobytes() == b"x" * 5000
    view = array[10:20]
    del array
    with unchanged(each), pytest.raises(bp.BlockInUse, match="still has 1 user: 1 array"):
        block.free()
    del view
    block.free()
    assert each.stats().allocated == 0


@numpy_2
def test_numpy_sees_a_readonly_block(each):
    """numpy.from_dlpack of a read-only block gives a read-only array that cannot be made writeable."""
    block = each.allocate()
    array = np.from_dlpack(block.readonly())
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    block.buf[0] = 9
    assert array[0] == 9


@versions
def test_a_readonly_block(each, unchanged, version):
    """A read-only block sets the flag; a consumer that knows no flags gets BufferError, or a copy if it asks."""
    block = each.allocate().readonly()
    if version is not None and version >= (1, 0):
        assert _opened(block.__dlpack__(max_version=version)).flags == READ_ONLY
        return
    with (
        unchanged(each),
        pytest.raises(BufferError, match=r"read-only here.*max_version=\(1, 0\) or copy"),
    ):
        block.__dlpack__(max_version=version)
    assert type(_opened(block.__dlpack__(max_version=version, copy=True))) is Legacy
    block.free()


@versions
@pytest.mark.parametrize("readonly", [False, True], ids=["writable", "read-only"])
def test_a_copy(each, version, readonly):
    """A tensor made with copy=True is outside the pool, is marked as a copy, and does not keep the block in use."""
    block = each.allocate(nbytes=10)
    block.buf[:] = b"0123456789"
    if readonly:
        block = block.readonly()
    capsule = block.__dlpack__(max_version=version, copy=True)
    block.free()
    assert each.stats().allocated == 0
    managed = _opened(capsule)
    assert not each.address <= managed.tensor.data < each.address + each.nbytes
    assert ctypes.string_at(managed.tensor.data, managed.tensor.shape[0]) == b"0123456789"
    if type(managed) is Versioned:
        assert managed.flags == IS_COPIED


@numpy_2
def test_numpy_may_ask_for_a_copy(each):
    """numpy.from_dlpack copies the block with copy=True, and shows it with copy=False."""
    block = each.allocate()
    block.buf[0] = 1
    copied, shown = np.from_dlpack(block, copy=True), np.from_dlpack(block, copy=False)
    block.buf[0] = 2
    assert (copied[0], shown[0]) == (1, 2)
    copied[0], shown[0] = 3, 4
    assert block.buf[0] == 4


@versions
@pytest.mark.parametrize("copy", [None, True], ids=["shown", "copied"])
def test_a_capsule_that_nobody_consumes(each, version, copy):
    """A capsule that is not consumed keeps the block in use until it is dropped."""
    block = each.allocate()
    capsule = block.__dlpack__(max_version=version, copy=copy)
    if not copy:
        with pytest.raises(bp.BlockInUse):
            block.free()
    del capsule
    block.free()


@versions
def test_a_consumed_capsule(each, version):
    """A consumed capsule can be dropped; the block stays in use until the consumer calls the deleter."""
    block = each.allocate()
    capsule = block.__dlpack__(max_version=version)
    managed = _consume(capsule)
    del capsule
    with pytest.raises(bp.BlockInUse):
        block.free()
    _delete(managed)
    block.free()


@versions
def test_a_deleter_in_a_thread_that_python_does_not_know(each, version):
    """A deleter can be called without the GIL, in a thread that Python does not know."""
    libc = ctypes.CDLL(None)
    block = each.allocate()
    capsule = block.__dlpack__(max_version=version)
    managed = _consume(capsule)
    block.release()
    assert each.stats().allocated == 1
    thread = ctypes.c_ulong()
    pointer = ctypes.c_void_p
    start = libc.pthread_create
    start.argtypes = [ctypes.POINTER(ctypes.c_ulong), pointer, pointer, pointer]
    libc.pthread_join.argtypes = [ctypes.c_ulong, pointer]
    assert start(thread, None, managed.deleter, ctypes.addressof(managed)) == 0
    assert libc.pthread_join(thread, None) == 0
    assert each.stats().allocated == 0


def test_tensors_come_and_go_in_many_threads(each):
    """A block is not in use after threads have made, consumed and deleted tensors of it."""
    block = each.allocate()

    def work():
        for number in range(200):
            made = block.__dlpack__(max_version=(1, 0) if number % 2 else None)
            if number % 3:
                managed = _consume(made)
                del made
                _delete(managed)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    block.free()


def test_a_tensor_outlives_everything():
    """An array by DLPack can be read after the block is released, the pool closed and both objects gone."""
    pool = bp.Pool("4KiB", 1)
    block = pool.allocate()
    block.buf[:] = b"x" * 4096
    array = np.from_dlpack(block)
    block.release()
    pool.close()
    del block, pool
    gc.collect()
    assert array.tobytes() == b"x" * 4096


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_a_tensor_at_the_end_of_python(run_program, kind):
    """Arrays and capsules of a block that are alive when the interpreter ends do no harm."""
    run_program("arrays/tensors_at_exit.py", kind)


WRONG = {
    "a stream": ({"stream": 1}, RuntimeError, "stream must be None, not 1"),
    "another device": ({"dl_device": (2, 0)}, BufferError, r"not on \(2, 0\)"),
    "another CPU": ({"dl_device": (1, 1)}, BufferError, r"not on \(1, 1\)"),
    "no device": ({"dl_device": 1}, TypeError, "dl_device must be None or a tuple"),
    "no version": ({"max_version": 1}, TypeError, "max_version must be None or a tuple"),
    "half a version": ({"max_version": (1,)}, TypeError, "max_version must be None or a tuple"),
    "a version of text": ({"max_version": ("1", "0")}, TypeError, "str"),
    "no copy": ({"copy": "no"}, TypeError, "copy must be True, False or None, not 'no'"),
}


@pytest.mark.parametrize(("options", "error", "why"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(each, unchanged, options, error, why):
    """Wrong arguments to __dlpack__ raise the errors that NumPy's arrays raise, and do not keep the block in use."""
    block = each.allocate()
    with unchanged(each), pytest.raises(error, match=why):
        block.__dlpack__(**options)
    block.free()


def test_a_finished_block(each):
    """A released or freed block raises InvalidBlock by DLPack and by the array interface."""
    released, freed = each.allocate(), each.allocate()
    released.release()
    freed.free()
    for block in (released, freed):
        for use in (block.__dlpack__, np.from_dlpack, np.asarray):
            with pytest.raises(bp.InvalidBlock):
                use() if use == block.__dlpack__ else use(block)


# --- the array interface ---


def test_asarray_of_a_block(each, unchanged):
    """numpy.asarray shows the block's bytes, which stay in use until the last view is gone, also after release."""
    block = each.allocate(nbytes=5000)
    array = np.asarray(block)
    assert (array.shape, array.dtype, array.flags.carray) == ((5000,), np.uint8, True)
    array[:] = 7
    assert set(bytes(block.buf)) == {7}
    view = array[1:]
    del array
    with unchanged(each), pytest.raises(bp.BlockInUse, match="still has 1 user: 1 array"):
        block.free()
    block.release()
    others = each.allocate_many(14)
    for other in others:
        other.buf[:] = b"y" * 4096
    assert set(view.tobytes()) == {7}
    del view
    assert each.stats().allocated == 14


def test_asarray_of_a_readonly_block(each):
    """numpy.asarray of a read-only block gives a read-only array that cannot be made writeable."""
    array = np.asarray(each.allocate().readonly())
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_the_owner_cannot_be_taken_from_the_array(each):
    """The base of an array of a block is no memoryview, which could be released while the array is used."""
    block = each.allocate()
    array = np.asarray(block)
    assert not hasattr(array.base, "release")
    with pytest.raises(bp.BlockInUse):
        block.free()


def test_the_interface_gives_no_address(each):
    """The array interface has an object that keeps the block in use, and never a bare address."""
    block = each.allocate()
    interface = block.__array_interface__
    assert not isinstance(interface["data"], tuple)
    with pytest.raises(bp.BlockInUse):
        block.free()
    assert memoryview(interface.pop("data")).nbytes == 4096
    block.free()


def test_a_block_in_the_pools_own_asarray(each):
    """pool.asarray of a block of the pool shows its memory and copies nothing."""
    block = each.allocate()
    array = each.asarray(block)
    array[0] = 5
    assert block.buf[0] == 5
    assert each.stats().allocated == 1


def test_a_copy_of_a_block_by_numpy(each):
    """numpy.array of a block copies it, and does not keep the block in use."""
    block = each.allocate()
    copied = np.array(block)
    block.free()
    assert copied.shape == (4096,)
