"""The script that says whether the code stands in layers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDING = "src/blockpool/_binding"

pytestmark = pytest.mark.skipif(not (ROOT / BINDING).is_dir(), reason="the sources are not beside the tests")

FAULTS = {
    "a part names a later one": (
        f"{BINDING}/runs.pxi",
        "cdef object last_block(Block block):\n    return block\n",
        "runs names a later part, block: Block",
    ),
    "a name in an f-string counts": (
        f"{BINDING}/errors.pxi",
        "cdef object some_text(m):\n    return f'{address_of(m, 0)}'\n",
        "errors names a later part, memory: address_of",
    ),
    "a name is not in the contract": (
        f"{BINDING}/transfer.pxi",
        "cdef object hidden():\n    return reference_in(())\n",
        "transfer uses what is not in references.pxd: reference_in",
    ),
    "a contract has what nothing uses": (
        f"{BINDING}/runs.pxd",
        "cdef int unused(int n) except -1\n",
        "runs.pxd has what no other part needs: unused",
    ),
    "a room of the C library includes one above it": (
        "core/src/bitmap/bitmap.c",
        '#include "shared/ledger.h"\n',
        "core/src/bitmap/bitmap.c includes shared/ledger.h",
    ),
    "modules import each other in a circle": (
        "src/blockpool/_sending.py",
        "def late():\n    from blockpool import _patches\n",
        "modules import each other in a circle",
    ),
}


def layers(root):
    """Run the script on a tree."""
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "layers.py", root], capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path):
    """Copy what the script reads."""
    shutil.copytree(ROOT / "core" / "src", tmp_path / "core" / "src")
    shutil.copytree(ROOT / BINDING, tmp_path / BINDING)
    for kind in ("*.pyx", "*.py"):
        for file in (ROOT / "src/blockpool").glob(kind):
            shutil.copy(file, tmp_path / "src/blockpool")
    return tmp_path


def test_the_code_stands_in_layers():
    """No part of the binding names a later one, no room of C includes one above it, no modules import in a circle."""
    done = layers(ROOT)
    assert done.returncode == 0, done.stdout
    assert " 0 faults" in done.stdout


@pytest.mark.parametrize(("path", "addition", "says"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(tree, path, addition, says):
    """The script fails on each kind of fault, and names the file and what is wrong."""
    file = tree / path
    file.write_text(file.read_text() + addition)
    done = layers(tree)
    assert done.returncode == 1
    assert says in done.stdout


def test_the_order_is_that_of_the_includes(tree):
    """Two includes in the wrong order are a fault: the part that comes too early names a later one."""
    core = tree / "src/blockpool/_core.pyx"
    text = core.read_text()
    lower, upper = (f'include "_binding/{name}.pxi"' for name in ("memory", "runs"))
    core.write_text(text.replace(lower, "?").replace(upper, lower).replace("?", upper))
    done = layers(tree)
    assert "runs names a later part, memory" in done.stdout
    assert done.returncode != 0
