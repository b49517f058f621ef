"""The snippets in docs/how-to/dask.md."""

import re
import textwrap
from pathlib import Path

import pytest

import blockpool as bp
import blockpool.dask
import dask_clusters as on
from waits import await_true

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "dask.md"


@pytest.fixture
def snippets():
    """Find the page's snippets: installing, a task that makes its result in the pool, blocks as arguments."""
    found = re.findall(r"^ *```python\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(found) == 3
    return [textwrap.dedent(snippet) for snippet in found]


def test_the_snippets_of_the_page(snippets):
    """Installed by the first one, a cluster runs the task of the second one in the pool, and the third one's blocks."""
    install, load, blocks = snippets
    with on.cluster() as made:
        names = {"__name__": "snippets"}
        assert install.count("tcp://scheduler:8786") == install.count("4GiB") == 1
        address = made.client.scheduler.address
        exec(install.replace("tcp://scheduler:8786", address).replace("4GiB", "8MiB"), names)  # noqa: S102
        with names["client"]:
            exec(load, names)  # noqa: S102
            result = names["client"].submit(names["load"], (1000, 100), pure=False)
            assert result.result().shape == (1000, 100)
            assert made.left() == (13, 0)  # 800,000 bytes in blocks of 64 KiB
            too_large = names["client"].submit(names["load"], (2000, 1000), pure=False)
            assert too_large.result().shape == (2000, 1000)
            names["function"] = on.total_of_block
            exec(blocks, names)  # noqa: S102
            del result, too_large
            pool = names.pop("pool")
            del names["future"]
            names.pop("block").release()
            await_true(lambda: pool.recover() is not None and pool.stats().tickets == 0)
            made.wait_until_empty()
            blockpool.dask.uninstall(names["client"])
    assert isinstance(pool, bp.Pool)
