"""Libraries that are imported after install, and the finder that notices them."""

import copy
import importlib
import importlib.util
import inspect
import sys
import threading
import types
import unittest.mock
import warnings

import numpy as np
import pytest

import blockpool.multiprocessing as carrier
from blockpool import _late_imports, _libraries
from transfers import carry


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Make a module that is watched for; return its name, and the list of those whose import was noticed."""
    name = f"watched_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text("import threading\n\ndef function():\n    return 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    noticed = []
    finder = _late_imports.Finder({name}, noticed.append)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    yield name, noticed
    sys.modules.pop(name, None)


def test_an_import_is_noticed_when_it_is_done(watched):
    """The function gets the whole module, once, and the module has its own loader."""
    name, noticed = watched
    module = importlib.import_module(name)
    assert noticed == [module]
    assert module.function() == 5
    assert type(module.__loader__) is type(module.__spec__.loader) is importlib.machinery.SourceFileLoader
    assert "return 5" in inspect.getsource(module.function)
    importlib.import_module(name)
    assert noticed == [module]


def test_a_reload_is_noticed(watched):
    """A module that is reloaded is given to the function again."""
    name, noticed = watched
    module = importlib.import_module(name)
    assert importlib.reload(module) is module
    assert noticed == [module, module]


def test_who_only_asks_for_it(watched):
    """importlib.util.find_spec finds the module without importing it, and what it returns can make the module."""
    name, noticed = watched
    spec = importlib.util.find_spec(name)
    assert (spec.name, noticed) == (name, [])
    assert "return 5" in spec.loader.get_source(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (noticed, module.function()) == ([module], 5)


def test_a_module_that_fails(watched, tmp_path):
    """The error of a module that cannot be imported is raised, and the function is not called."""
    name, noticed = watched
    (tmp_path / f"{name}.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(name)
    assert noticed == []
    (tmp_path / f"{name}.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_threads_that_import_at_once(watched):
    """Several threads that import the module at the same moment get one module, which is noticed once."""
    name, noticed = watched
    start, found = threading.Barrier(4), []

    def take():
        start.wait(60)
        found.append(importlib.import_module(name))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == noticed * 4


def test_install_watches_and_uninstall_does_not(carrying):
    """Install puts one finder first in sys.meta_path, however often it is called, and uninstall removes it."""
    before = list(sys.meta_path)
    pool = carrying("16KiB", 16)
    carrier.install(pool)
    assert type(sys.meta_path[0]) is _late_imports.Finder
    assert sys.meta_path[1:] == before
    carrier.uninstall()
    assert sys.meta_path == before
    carrier.uninstall()
    sys.meta_path.insert(0, finder := _late_imports.Finder((), print))  # of another copy, say
    carrier.install(pool)
    carrier.uninstall()
    assert sys.meta_path == [finder, *before]
    sys.meta_path.remove(finder)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_version_of_a_library_that_is_unknown(carrying, tmp_path, monkeypatch, caplog, when):
    """If a library lacks what is to be replaced, it is imported as it is, the log says so, and all else is sent."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "multiprocess"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "multiprocess").mkdir()
    (tmp_path / "multiprocess" / "__init__.py").touch()
    (tmp_path / "multiprocess" / "reduction.py").write_text("kept = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    if when == "before":
        importlib.import_module("multiprocess.reduction")
    carrying("16KiB", 64)
    assert importlib.import_module("multiprocess.reduction").kept == 1
    (record,) = [r for r in caplog.records if getattr(r, "blockpool_event", "") == "library_unknown"]
    assert "multiprocess.reduction of this version" in record.blockpool_reason
    assert "has no attribute 'ForkingPickler'" in record.blockpool_reason
    assert type(carry(np.ones(10_000)).base).__name__ == "_Lease"
    for name in ("multiprocess", "multiprocess.reduction"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_reloading_a_library(run_program):
    """Loky sends through the pool after its module was reloaded, too, and as before after uninstall."""
    said = run_program("""
        import importlib
        import pickle
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        pool = bp.Pool.create("64KiB", 64)
        carrier.install(pool)
        import loky.backend.queues as queues
        for _ in range(2):
            print(type(pickle.loads(queues.dumps(np.ones(100_000))).base).__name__)
            importlib.reload(queues)
        carrier.uninstall()
        print(type(pickle.loads(queues.dumps(np.ones(100_000))).base).__name__)
        print(queues.dumps.__module__)
    """)
    assert said.split()[:2] == ["_Lease", "_Lease"]
    assert said.split()[2] != "_Lease"
    assert said.split()[3] == "loky.backend.reduction"


def test_a_finder_without_find_spec(watched, monkeypatch):
    """A very old finder in sys.meta_path, which importlib skips, does not stop the import."""
    name, noticed = watched
    old = type("Old", (), {"find_module": lambda _self, _name, _path=None: None})()
    monkeypatch.setattr(sys, "meta_path", [sys.meta_path[0], old, *sys.meta_path[1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        assert noticed == [importlib.import_module(name)]


def test_a_copy_of_the_loader(watched):
    """What find_spec returns can be copied and pickled."""
    name, _ = watched
    spec = importlib.util.find_spec(name)
    assert copy.copy(spec.loader).path == copy.deepcopy(spec).loader.path == spec.loader.path


@pytest.mark.parametrize("stand_in", [None, unittest.mock.MagicMock(), types.ModuleType("torch")])
@pytest.mark.parametrize("name", ["torch", "multiprocess.connection"])
def test_a_stand_in_for_a_library(carrying, monkeypatch, stand_in, name):
    """Whatever sys.modules has in place of a library (None forbids its import), install and uninstall work."""
    monkeypatch.setitem(sys.modules, name, stand_in)
    carrying("16KiB", 64)
    assert type(carry(np.ones(10_000)).base).__name__ == "_Lease"
    carrier.uninstall()
    assert type(carry(np.ones(10_000)).base).__name__ != "_Lease"


def test_installing_while_another_thread_imports(carrying, tmp_path, monkeypatch):
    """Install, in one thread, and the import of a library that something goes with, in another, both end."""
    beside = f"beside_{tmp_path.name}".replace("-", "_")
    name = f"library_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{beside}.py").write_text(f"import {name}\n")
    (tmp_path / f"{name}.py").write_text("import sys\nsys.modules[__name__ + '_held'].wait()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_libraries, "ALONGSIDE", {name: beside})
    pool = carrying("16KiB", 64)
    begun, go = threading.Event(), threading.Event()

    class Held:
        """Where the library waits in the middle of its import."""

        @staticmethod
        def wait():
            begun.set()
            assert go.wait(60)

    monkeypatch.setitem(sys.modules, f"{name}_held", Held)
    threads = [
        threading.Thread(target=importlib.import_module, args=(name,), daemon=True),
        threading.Thread(target=carrier.install, args=(pool,), daemon=True),
    ]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    while not any(
        frame.f_code.co_name == "acquire" and "importlib" in frame.f_code.co_filename for frame in stack_of(threads[1])
    ):  # until it waits for the import
        assert threads[1].is_alive()
    go.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for each in (name, beside):
        monkeypatch.delitem(sys.modules, each, raising=False)


def stack_of(thread):
    """Return the frames of a thread, the innermost first."""
    frame = sys._current_frames().get(thread.ident)
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def test_what_goes_with_a_library_that_was_imported_before(carrying, tmp_path, monkeypatch):
    """Install imports what goes with a library that the program has imported already."""
    beside = f"beside_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{beside}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_libraries, "ALONGSIDE", {"json": beside})
    carrying("16KiB", 16)
    assert sys.modules.pop(beside).__name__ == beside
