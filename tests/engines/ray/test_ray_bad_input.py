"""What `blockpool.ray` refuses, and what it needs."""

import sys

import pytest

import blockpool as bp
import blockpool.ray as carrier
from blockpool._extras import install_command


def test_pools_that_cannot_be_installed():
    """A private or closed pool, and what is no pool, are refused, and nothing is installed."""
    closed = bp.Pool.create(64, 1)
    closed.close()
    for given, error in ((bp.Pool(64, 1), ValueError), (closed, bp.PoolClosed), ("name", TypeError), (None, TypeError)):
        with pytest.raises(error):
            carrier.install(given)
    assert not carrier._pools


@pytest.mark.parametrize(
    ("found", "said"),
    [(None, "it is not installed"), ("2.59.1", "finds 2.59.1"), ("1.13.0", "finds 1.13.0"), ("2.9rc1", "finds 2.9rc1")],
)
def test_a_ray_that_is_missing_or_too_old(found, said):
    """Importing the module without Ray, or with one that is too old, says what was found and what to install."""
    with pytest.raises(ImportError, match=said) as raised:
        carrier._require(found)
    assert install_command("ray") in str(raised.value)


def test_importing_without_ray(run_python):
    """`import blockpool.ray` looks for the distribution before it imports Ray."""
    code = """
    import importlib.metadata, sys
    before = importlib.metadata.version
    importlib.metadata.version = lambda name: "2.40.0" if name == "ray" else before(name)
    try:
        import blockpool.ray
    except ImportError as error:
        print(error, "ray" in sys.modules)
    """
    assert run_python(code) == (
        "blockpool.ray needs Ray 2.60 or later, and finds 2.40.0; install what it needs with: "
        f"{install_command('ray')} False\n"
    )


def test_without_a_connection(run_python):
    """Before `ray.init`, installing works, and pickles that Ray's pickler makes have copies."""
    code = """
    import blockpool as bp, blockpool.ray, ray
    from ray import cloudpickle
    pool = bp.Pool.create("4KiB", 4)
    blockpool.ray.install(pool)
    array = pool.full(3, 1.0)
    loaded = cloudpickle.loads(cloudpickle.dumps(array))
    array[0] = 7
    print(loaded, pool.stats().tickets, blockpool.ray._kept)
    blockpool.ray.uninstall()
    """
    assert run_python(code, options=("-W", "ignore")) == "[1. 1. 1.] 0 {}\n"


def test_blockpool_does_not_import_ray(run_python):
    """`import blockpool` does not import Ray."""
    assert run_python("import sys, blockpool; print('ray' in sys.modules, 'blockpool.ray' in sys.modules)") == (
        "False False\n"
    )
    assert "ray" in sys.modules
