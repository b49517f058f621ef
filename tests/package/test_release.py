"""What belongs to a release: what it is made of, what its messages say, and the workflows that build it."""

import io
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from blockpool._extras import install_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHECK = ROOT / "tools" / "check-release.py"
VERSION = re.search(r'BLOCKPOOL_VERSION "(.+)"', (ROOT / "core/include/blockpool_version.h").read_text())[1]


def check(root, *arguments):
    """Run the check in a tree."""
    return subprocess.run(
        [sys.executable, root / "tools" / CHECK.name, *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path):
    """Make a tree with what the check reads, in which version 1.2.3 can be released."""
    for name, text in {
        "tools/check-release.py": CHECK.read_text(),
        "core/include/blockpool_version.h": '#define BLOCKPOOL_VERSION "1.2.3"\n',
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n\n- A line.\n",
        "README.md": "a pool\n",
        "src/blockpool/__init__.py": "",
        ".ci/run": "true\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)  # noqa: S607 - the one on PATH
    return tmp_path


@pytest.mark.parametrize(
    ("tag", "text", "says"),
    [
        ("v1.2.3", None, ""),
        ("v1.2.4", None, "the tag is v1.2.4, and core/include/blockpool_version.h says 1.2.3\n"),
        ("1.2.3", None, "the tag is 1.2.3, and "),
        ("v1.2.3", "## [Unreleased]\n\n## [1.2.3]\n", "CHANGELOG.md has no section '## [1.2.3] - YYYY-MM-DD'\n"),
        ("v1.2.3", "## [Unreleased]\n\n- A line.\n\n## [1.2.3] - 2026-01-31\n", "has lines under [Unreleased]"),
    ],
)
def test_a_tag_agrees_with_version_and_changelog(tree, tag, text, says):
    """A tag is released only if the version and a dated section of the changelog are its own, and no lines are left."""
    if text is not None:
        (tree / "CHANGELOG.md").write_text(text)
    done = check(tree, "tag", tag)
    assert done.returncode == (1 if says else 0), done
    assert says in done.stderr


@pytest.mark.parametrize(
    ("without", "extra", "says"),
    [
        ((), (), ""),
        (("README.md",), (), "lacks README.md"),
        ((), ("core/build/log",), "has core/build/log, which does not belong there"),
        ((), (".ci/run",), "has .ci/run, which does not belong there"),
    ],
)
def test_a_source_distribution_has_what_git_knows(tree, tmp_path, without, extra, says):
    """A source distribution has exactly the files that git knows, but for those that only the repository needs."""
    names = {"CHANGELOG.md", "README.md", "PKG-INFO", "core/include/blockpool_version.h", "src/blockpool/__init__.py"}
    names |= {"tools/check-release.py", *extra}
    file = tmp_path / "blockpool-1.2.3.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name in sorted(names - set(without)):
            archive.addfile(tarfile.TarInfo(f"blockpool-1.2.3/{name}"), io.BytesIO())
    done = check(tree, "dist", file)
    assert done.returncode == (1 if says else 0), done
    assert says in done.stderr


def libraries(extra):
    """Return what an extra brings, by pyproject.toml."""
    for line in PROJECT["project"]["optional-dependencies"][extra]:
        own = re.fullmatch(r"blockpool\[(\w+)\]", line)
        yield from libraries(own[1]) if own else [line]


@pytest.mark.parametrize("extra", PROJECT["project"]["optional-dependencies"])
def test_what_to_install_is_what_an_extra_brings(extra):
    """The command in a message has exactly the libraries of the extra, and runs this interpreter's pip."""
    words = install_command(extra).replace("'", "").split(" -m pip install ")[1].split()
    assert words == list(dict.fromkeys(libraries(extra)))


def test_what_to_install_is_said_in_one_place():
    """No other module words it; the extension names NumPy as the extra does."""
    if not (ROOT / "src").is_dir():
        pytest.skip("the sources are not beside the tests")
    said = {
        path.name: re.findall(r"pip install\b|blockpool\[\w", path.read_text())
        for kind in ("*.py", "*.pyx", "*.pxi")
        for path in (ROOT / "src").rglob(kind)
    }
    assert {name for name, found in said.items() if found} == {"_extras.py", "arrays.pxi"}
    assert f"pip install '{next(libraries('numpy'))}'" in (ROOT / "src/blockpool/_binding/arrays.pxi").read_text()


def workflows():
    """Return the texts of the workflows, by their names; the source distribution has none."""
    found = {path.name: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    if not found:
        pytest.skip("the workflows are not beside the tests")
    return found


def test_workflows_pin_what_they_use():
    """Each action is pinned by its commit, with its version beside it; no permission is given to a whole workflow."""
    for name, text in workflows().items():
        for used in re.findall(r"uses: (.+)", text):
            assert used.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", used), (name, used)
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE), name


def test_workflows_test_every_python_that_is_named():
    """The workflow `test` runs the suite on each Python of the classifiers, and a wheel is built for each."""
    named = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["project"]["classifiers"]))
    (matrix,) = re.findall(r"python: \[(.*)\]", workflows()["test.yml"])
    assert set(named) <= set(matrix.replace('"', "").split(", "))
    built = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert {f"cp{version.replace('.', '')}-*" for version in named} <= set(built)
