"""Objects that Python code can reach but not make: the classes behind pools, views and context managers."""

import copy
import copyreg
import gc
import inspect
import pickle
from array import array

import pytest

import blockpool as bp
from blockpool import _core


class Spy:
    """An object that looks around while a queue pickles it.

    One within another sees what tells pickle how when it was just made; the collector may not show an older one.
    """

    def __init__(self, seen, queue=None):
        self.seen = seen
        self.queue = queue

    def __reduce__(self):
        """Find what tells pickle how."""
        if self.queue is not None:
            self.queue.put(Spy(self.seen))
        self.seen += [found for found in gc.get_objects() if type(found).__name__ == "_Packing"]
        return str, ()


def internals():
    """Return an object of each internal class, by name."""
    pool = bp.Pool("4KiB", 4)
    queue = bp.Pool.create("4KiB", 4).queue()
    seen = []
    queue.put(Spy(seen, queue))
    return {
        "mapping": _core.mapping_of_pool(pool),
        "lease": pool.allocate().buf.obj,
        "numpy allocator": pool.numpy_allocator(),
        "words": bp.IndexPool(10).bitmap.obj,
        "packed": _core.pack(b"message", []),
        "items of a queue": iter(queue),
        "packing": seen[0],
        "recorder": _core.begin_recording(bp.Pool.create("4KiB", 4)),
        "replaying": _core.begin_replay([array(code) for code in "Bqiiq"], 0, [], [], 0),
    }


NAMES = list(internals())  # pytest keeps what it is given to the end, and these would be in other tests' way

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
@pytest.mark.parametrize("name", NAMES)
def test_no_way_to_make_one(name, way):
    """Making an object of an internal class by a call, copy, pickle or subclass raises TypeError."""
    found = internals()[name]
    with pytest.raises(TypeError):
        WAYS[way](found, type(found))


# No Python code reaches an object of this one, which keeps a mapping for a thread.
KEEPER = next(kind for kind in object.__subclasses__() if kind.__name__ == "_Keeper")


@pytest.mark.parametrize("way", ["call", "its __new__", "object's __new__", "as pickle does", "derive"])
def test_no_way_to_make_a_keeper(way):
    """The class, which can be found, does not help either."""
    with pytest.raises(TypeError):
        WAYS[way](None, KEEPER)


ACCESS = bp.Pool.__base__


CHANNEL = bp.Queue.__base__


@pytest.mark.parametrize("base", [ACCESS, CHANNEL], ids=["access", "channel"])
@pytest.mark.parametrize(
    "make",
    [
        lambda base: base(),
        lambda base: base.__new__(base),
        object.__new__,
        lambda base: type("Derived", (base,), {})(),
        lambda base: object.__new__(type("Derived", (base,), {})),
        lambda base: setattr(bp.Pool(64, 1), "__class__", base),
    ],
)
def test_the_bases_of_public_classes_have_no_objects_of_their_own(make, base):
    """Making an object of a class that Pool or Queue derives from, or of another class that does, raises TypeError."""
    assert bp.Pool.__mro__ == (bp.Pool, ACCESS, object)
    assert bp.Queue.__mro__ == (bp.Queue, CHANNEL, ACCESS, object)
    with pytest.raises(TypeError):
        make(base)


def test_all_internal_classes_are_known_here():
    """Every class of the two extension modules is public or tested in this file."""
    public = {bp.Block, bp.IndexPool, bp.Inspector, bp.Message, bp.Sample, bp.Surveyor}
    known = {type(found) for found in internals().values()} | {ACCESS, KEEPER} | public
    modules = {"blockpool._core", "blockpool._index"}
    # Some classes of other libraries have no module (3.14).
    assert {kind for kind in object.__subclasses__() if getattr(kind, "__module__", None) in modules} == known


PUBLIC = (
    bp.Pool,
    bp.Block,
    bp.Inspector,
    bp.Latest,
    bp.Message,
    bp.Queue,
    bp.Sample,
    bp.Subscription,
    bp.Surveyor,
    bp.Topic,
)
NEVER_OPENED = [kind.__new__(kind) for kind in PUBLIC]


@pytest.mark.parametrize("found", NEVER_OPENED, ids=lambda found: type(found).__name__)
def test_objects_around_their_init(found):
    """Whatever is asked of an object that was never opened answers or raises; nothing crashes."""
    for name in dir(found):
        if name in {"__class__", "__init__", "__new__", "__init_subclass__", "__subclasshook__"}:
            continue
        for arguments in ((), (1,), (None,), (1, 1), (None, None, None)):
            try:
                value = getattr(found, name)
                if callable(value):
                    answer = value(*arguments)
                    if inspect.iscoroutine(answer):
                        answer.close()
            except (bp.BlockPoolError, TypeError, ValueError, AttributeError):
                continue
