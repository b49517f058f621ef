"""The collector has little to look at: a refused request collects garbage, and replays refuse many thousands."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect():
    """Take what earlier tests left behind out of the collector's sight, as the start of the tests does for imports."""
    gc.collect()
    gc.freeze()
