"""Whether what is to be released has all that belongs to it and nothing else.

    python tools/check-release.py dist FILE...   a source distribution and wheels
    python tools/check-release.py tag vX.Y.Z     a tag: the version and CHANGELOG.md agree with it

The source distribution is compared with the files that git knows, and a wheel with the package in src/.
"""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.search(r'BLOCKPOOL_VERSION "(.+)"', (ROOT / "core/include/blockpool_version.h").read_text())[1]

# What only the repository needs, and what only a source distribution has.
REPOSITORY = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml")
MADE = {"PKG-INFO"}

# What the extensions are made from, which an installation does not need.
SOURCES = {".pyx", ".pxd", ".pxi", ".c", ".h"}


def known_to_git() -> set[str]:
    """Return the files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    return {name for name in listed.split("\0") if name}


def differences(file: Path, found: set[str], expected: set[str]) -> list[str]:
    """Return what a distribution lacks, and what it has and should not."""
    return [f"{file.name} lacks {name}" for name in sorted(expected - found)] + [
        f"{file.name} has {name}, which does not belong there" for name in sorted(found - expected)
    ]


def check_source(file: Path) -> list[str]:
    """Return what is wrong with a source distribution."""
    top = f"blockpool-{VERSION}/"
    with tarfile.open(file) as archive:
        names = {member.name for member in archive if not member.isdir()}
    stray = [f"{file.name} has {name}, outside {top}" for name in names if not name.startswith(top)]
    expected = {name for name in known_to_git() if not name.startswith(REPOSITORY)} | MADE
    return stray + differences(file, {name.removeprefix(top) for name in names if name.startswith(top)}, expected)


def check_wheel(file: Path) -> list[str]:
    """Return what is wrong with a wheel."""
    info = f"blockpool-{VERSION}.dist-info/"
    sbom = info + "sboms/blockpool.cdx.json"
    abi = file.name.split("-")[3].removeprefix("cp")
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        bill = json.loads(archive.read(sbom)) if sbom in names else None
    expected = {
        name.removeprefix("src/")
        for name in known_to_git()
        if name.startswith("src/") and Path(name).suffix not in SOURCES
    }
    expected |= {info + name for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    extensions = {name for name in names if name.endswith(".so")}
    modules = sorted(re.match(r"blockpool/(\w+)\.cpython-\d+t?-", name)[1] for name in extensions)
    wrong = differences(file, names - extensions - {sbom}, expected)
    if modules != ["_core", "_index"]:
        wrong.append(f"{file.name} has the extensions {modules}, not _core and _index alone")
    if not all(f".cpython-{abi}-" in name for name in extensions):
        wrong.append(f"{file.name} has extensions for another Python: {sorted(extensions)}")
    return wrong + (wrong_in_bill(file, bill) if bill else [f"{file.name} has no bill of materials"])


def wrong_in_bill(file: Path, bill: dict) -> list[str]:
    """Return what is wrong with the bill of materials of a wheel."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    wrong = []
    invalid = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    if invalid:
        wrong.append(f"{file.name}: its bill of materials is no CycloneDX 1.6: {invalid}")
    project = bill["metadata"]["component"]
    if (project["name"], project["version"]) != ("blockpool", VERSION):
        wrong.append(f"{file.name}: its bill of materials is of {project['name']} {project['version']}")
    names = [part["name"] for part in bill["components"]]
    if names != ["cpython", "cython", "numpy"]:
        wrong.append(f"{file.name}: its bill of materials lists {names}")
    return wrong


def check_tag(tag: str) -> list[str]:
    """Return what contradicts a tag."""
    wrong = []
    if tag != f"v{VERSION}":
        wrong.append(f"the tag is {tag}, and core/include/blockpool_version.h says {VERSION}")
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", text, re.MULTILINE)
    dates = dict(sections)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", dates.get(VERSION, "")):
        wrong.append(f"CHANGELOG.md has no section '## [{VERSION}] - YYYY-MM-DD'")
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    if unreleased and unreleased[1].strip():
        wrong.append(f"CHANGELOG.md has lines under [Unreleased]; they belong to [{VERSION}]")
    return wrong


def main(arguments: list[str]) -> int:
    """Check, print what is wrong, and return the exit status."""
    match arguments:
        case ["tag", tag]:
            wrong = check_tag(tag)
        case ["dist", *names] if names:
            wrong = [
                line for name in names for line in (check_wheel if name.endswith(".whl") else check_source)(Path(name))
            ]
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1:]))
