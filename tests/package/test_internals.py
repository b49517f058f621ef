"""Objects that Python code can reach but not make: the classes behind pools, views and context managers."""

import copy
import copyreg
import pickle

import pytest

import blockpool as bp
from blockpool import _core


def internals():
    """Return an object of each internal class, by name."""
    pool = bp.Pool("4KiB", 4)
    return {
        "mapping": _core.mapping_of_pool(pool),
        "lease": pool.allocate().buf.obj,
        "numpy allocator": pool.numpy_allocator(),
        "words": bp.IndexPool(10).bitmap.obj,
        "packed": _core.pack(b"message", []),
    }


WAYS = {
    "call": lambda _, kind: kind(),
    "its __new__": lambda _, kind: kind.__new__(kind),
    "object's __new__": lambda _, kind: object.__new__(kind),
    "as pickle does": lambda _, kind: copyreg.__newobj__(kind),
    "copy": lambda found, _: copy.copy(found),
    "deepcopy": lambda found, _: copy.deepcopy(found),
    **{
        f"pickle {protocol}": lambda found, _, protocol=protocol: pickle.dumps(found, protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "reduce": lambda found, _: found.__reduce__(),
    "reduce_ex": lambda found, _: found.__reduce_ex__(2),
    "derive": lambda _, kind: type("Derived", (kind,), {}),
    "turn another into it": lambda _, kind: setattr(bp.Pool(64, 1), "__class__", kind),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", internals())
def test_no_way_to_make_one(name, way):
    """Making an object of an internal class by a call, copy, pickle or subclass raises TypeError."""
    found = internals()[name]
    with pytest.raises(TypeError):
        WAYS[way](found, type(found))


ACCESS = bp.Pool.__base__


@pytest.mark.parametrize(
    "make",
    [
        ACCESS,
        lambda: ACCESS.__new__(ACCESS),
        lambda: object.__new__(ACCESS),
        type("Derived", (ACCESS,), {}),
        lambda: object.__new__(type("Derived", (ACCESS,), {})),
        lambda: setattr(bp.Pool(64, 1), "__class__", ACCESS),
    ],
)
def test_the_base_of_pool_has_no_objects_of_its_own(make):
    """Making an object of the class that Pool derives from, or of another class that does, raises TypeError."""
    assert bp.Pool.__mro__ == (bp.Pool, ACCESS, object)
    with pytest.raises(TypeError):
        make()


def test_all_internal_classes_are_known_here():
    """Every class of the two extension modules is public or tested in this file."""
    known = {type(found) for found in internals().values()} | {bp.Pool.__base__, bp.Block, bp.IndexPool, bp.Inspector}
    modules = {"blockpool._core", "blockpool._index"}
    assert {kind for kind in object.__subclasses__() if kind.__module__ in modules} == known


NEVER_OPENED = [kind.__new__(kind) for kind in (bp.Pool, bp.Block, bp.Inspector)]


@pytest.mark.parametrize("found", NEVER_OPENED, ids=["Pool", "Block", "Inspector"])
def test_objects_around_their_init(found):
    """Whatever is asked of a Pool, Block or Inspector that was never opened answers or raises; nothing crashes."""
    for name in dir(found):
        if name in {"__class__", "__init__", "__new__", "__init_subclass__", "__subclasshook__"}:
            continue
        for arguments in ((), (1,), (None,), (1, 1), (None, None, None)):
            try:
                value = getattr(found, name)
                if callable(value):
                    value(*arguments)
            except (bp.BlockPoolError, TypeError, ValueError, AttributeError):
                continue
