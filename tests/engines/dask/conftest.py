"""The cluster of most tests of blockpool.dask."""

from pathlib import Path

import pytest

pytest.importorskip("distributed")

import blockpool.dask
from dask_clusters import cluster, pools_named
from waits import await_true

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Let warnings be: Dask's own code has some, and closes sockets late."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="module")
def pair():
    """Two workers that exchange through a pool, which is empty in the end, and gone afterwards."""
    with cluster() as made:
        blockpool.dask.install(made.client, nbytes="64MiB")
        yield made
        made.wait_until_empty()
    await_true(lambda: not pools_named(made.pool_name))
