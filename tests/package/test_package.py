"""What the package says of itself, in several places, agrees."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_versions_of_python_agree():
    """The classifiers, `requires-python` and the type checker all name Python 3.11 to 3.13."""
    named = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["project"]["classifiers"]))
    assert named == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert PROJECT["tool"]["mypy"]["python_version"] == "3.11"


@pytest.mark.parametrize(
    ("version", "word"),
    [("3.14", "3.11 to 3.13"), ("3.10", "is needed"), ("4.0", "is needed"), ("x", "is needed")],
)
def test_another_version_is_refused(version, word):
    """An unsupported Python is refused in one sentence, before anything is built."""
    done = subprocess.run(
        [ROOT / "tools" / "preflight.sh", "first", version],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert word in done.stderr
    assert f"{version}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_builds_the_package_agrees():
    """The dependency group `build` has all that the build of a user requires, in the same versions."""
    requires = set(PROJECT["build-system"]["requires"])
    assert requires <= set(PROJECT["dependency-groups"]["build"])
    (cython,) = [line for line in requires if line.startswith("cython")]
    assert "!=3.3.0" in cython
    assert "!=3.3.1" in cython
