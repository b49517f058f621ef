"""What tests of threads have in common."""

import sys

import pytest


@pytest.fixture
def switch_often():
    """Have the interpreter switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
