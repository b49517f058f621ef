"""What the package says of itself, in several places, agrees."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import blockpool as bp

ROOT = Path(__file__).parents[2]
VERSION_H = ROOT / "core" / "include" / "blockpool_version.h"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_versions_of_python_agree():
    """The classifiers, `requires-python` and the type checker all name Python 3.11 to 3.15."""
    named = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["project"]["classifiers"]))
    assert named == ["3.11", "3.12", "3.13", "3.14", "3.15"]
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.16"
    assert PROJECT["tool"]["mypy"]["python_version"] == "3.11"


@pytest.mark.parametrize("version", ["3.10", "3.16", "3.11t", "4.0", "x"])
def test_another_version_is_refused(version):
    """An unsupported Python is refused in one sentence, before anything is built."""
    done = subprocess.run(
        [ROOT / "tools" / "preflight.sh", "first", version],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"'{version}' was asked for" in done.stderr
    assert "3.11 3.12 3.13 3.14 3.15 3.13t 3.14t" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_builds_the_package_agrees():
    """The dependency group `build` has all that the build of a user requires, in the same versions."""
    requires = set(PROJECT["build-system"]["requires"])
    assert requires <= set(PROJECT["dependency-groups"]["build"])
    (cython,) = [line for line in requires if line.startswith("cython")]
    assert "!=3.3.0" in cython
    assert "!=3.3.1" in cython


def test_there_is_one_version():
    """The package and its metadata have the version of blockpool_version.h, which the C library is built with."""
    (version,) = re.findall(r'^#define BLOCKPOOL_VERSION "(.+)"$', VERSION_H.read_text(), re.MULTILINE)
    assert bp.__version__ == importlib.metadata.version("blockpool") == version
    assert "version" not in PROJECT["project"]


def test_the_hooks_use_the_tools_of_make_check():
    """Every hook of pre-commit is a check of tools/check.sh, so that tools and their versions are stated once."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    checks = set(re.findall(r"^check_(\w+)\(\)", (ROOT / "tools" / "check.sh").read_text(), re.MULTILINE))
    assert set(re.findall(r"entry: (.*)", hooks)) <= {f"tools/check.sh {check}" for check in checks}
    assert "rev:" not in hooks


def test_wheels_do_not_carry_the_hooks_of_tests():
    """`blockpool._testing` is built only if the build is told to, which `make` does and a user's build does not."""
    text = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"^option\(BLOCKPOOL_TESTING .* OFF\)$", text, re.MULTILINE)
    assert "BLOCKPOOL_TESTING" not in str(PROJECT)
