"""The program in docs/how-to/ray.md."""

import re
from pathlib import Path

import pytest

import blockpool.ray as carrier
from waits import await_true

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "ray.md"


@pytest.mark.usefixtures("engine")
def test_the_program_of_the_page(capsys):
    """The page's program prints what it says."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert program.count("ray.init()\n") == 1
    names = {"__name__": "__main__"}
    exec(program.replace("ray.init()\n", ""), names)  # noqa: S102 - Ray is there already
    assert capsys.readouterr().out == "7\n"
    pool = names.pop("pool")
    names.clear()
    carrier.uninstall()
    await_true(lambda: pool.recover() and pool.stats().allocated == 0)
