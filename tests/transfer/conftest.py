"""What the tests of transfers share."""

import pytest

import blockpool.multiprocessing as carrier


@pytest.fixture
def sent():
    """Give a function that returns the counts of what was sent since, without those that are zero."""
    before = carrier.stats()

    def since():
        now = carrier.stats()
        return {
            field: getattr(now, field) - getattr(before, field)
            for field in ("shared", "copied", "copied_bytes", "refused")
            if getattr(now, field) != getattr(before, field)
        }

    return since
