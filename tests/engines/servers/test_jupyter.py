"""A notebook's kernel that is killed: the next one finds what the first one kept, as docs/how-to/jupyter.md shows."""

import sys

import pytest

import blockpool as bp
from programs import PROGRAMS, run_command
from servers import write_programs

pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")


def test_a_kernel_that_is_killed(tmp_path, pool_name, file_of):
    """A new kernel gets the array that a killed one kept in a named permanent pool; a pool shows itself as HTML."""
    write_programs(tmp_path)
    cell = tmp_path / "first_cell.py"
    cell.write_text(cell.read_text().replace('"notebook"', f'"{pool_name}"'))
    _, done = run_command([sys.executable, PROGRAMS / "servers" / "notebook.py", cell], timeout=120)
    assert done.returncode == 0, done
    made, shown, found, total = done.stdout.splitlines()
    assert (made, found, total) == ("made", "found", "1000000")
    assert "<svg" in shown or "<table" in shown
    assert file_of(pool_name).exists()
    bp.unlink(pool_name)
    assert not file_of(pool_name).exists()
