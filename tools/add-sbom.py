"""Put the bill of materials of wheels into them: dist-info/sboms/blockpool.cdx.json, in CycloneDX (PEP 770).

    python tools/add-sbom.py WHEEL...

It lists the project, and what of others is compiled into the extensions. They say that themselves, in their ELF section
.comment: CMakeLists.txt makes them. Only the C library of the system is linked, and it is not in the wheel. What
`auditwheel repair` puts into a wheel, it lists itself, in a file of its own beside this one.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.output.json import JsonV1Dot6
from elftools.elf.elffile import ELFFile
from packageurl import PackageURL

PART_OF_DIST_INFO = "sboms/blockpool.cdx.json"

# What can be compiled in: its licence, where it is, and what of it that is.
OTHERS = {
    "cpython": ("PSF-2.0", PackageURL("github", "python", "cpython"), "inline functions of its headers"),
    "cython": ("Apache-2.0", PackageURL("pypi", None, "cython"), "the utility code of its generated C"),
    "numpy": ("BSD-3-Clause", PackageURL("pypi", None, "numpy"), "inline functions of its headers"),
}


def compiled_in(extension: Path) -> dict[str, str]:
    """Return the version of each thing of others that is compiled into an extension."""
    with extension.open("rb") as file:
        comment = ELFFile(file).get_section_by_name(".comment")
        text = comment.data().decode() if comment else ""
    found = re.search(r"built with: ([^\0]+)", text)
    if not found:
        raise SystemExit(f"{extension.name} does not say what it was built with; CMakeLists.txt has it say so")
    return dict(part.split(" ") for part in found[1].split(", "))


def component(name: str, version: str, licence: str, purl: PackageURL, what: str) -> Component:
    """Return a component of the bill."""
    versioned = PackageURL(purl.type, purl.namespace, purl.name, version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        licenses=[LicenseFactory().make_from_string(licence)],
        purl=versioned,
        bom_ref=str(versioned),
        description=what,
    )


def bill(metadata: Message, parts: dict[str, str]) -> str:
    """Return the bill of materials of a wheel with that metadata, into which these parts are compiled."""
    ours = PackageURL("pypi", None, "blockpool")
    project = component("blockpool", metadata["Version"], metadata["License-Expression"], ours, metadata["Summary"])
    source = dict(line.split(", ") for line in metadata.get_all("Project-URL"))["Source"]
    project.external_references.add(ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(source)))
    others = [component(name, version, *OTHERS[name]) for name, version in sorted(parts.items())]
    bom = Bom(components=others)
    bom.metadata.component = project
    bom.metadata.lifecycles.add(PredefinedLifecycle(LifecyclePhase.BUILD))
    bom.register_dependency(project, others)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def repack(how: str, what: Path, where: Path | str) -> None:
    """Unpack a wheel, or pack one, which writes its list of files again."""
    subprocess.run([sys.executable, "-m", "wheel", how, what, "--dest", where], stdout=subprocess.DEVNULL, check=True)


def add(wheel: Path) -> None:
    """Put the bill into a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        repack("unpack", wheel, folder)
        (tree,) = Path(folder).iterdir()
        (dist_info,) = tree.glob("*.dist-info")
        parts = [compiled_in(extension) for extension in sorted(tree.glob("**/*.so"))]
        if not parts or any(part != parts[0] for part in parts):
            raise SystemExit(f"{wheel.name}: extensions that were built with the same are needed, not {parts}")
        file = dist_info / PART_OF_DIST_INFO
        file.parent.mkdir(exist_ok=True)
        file.write_text(bill(message_from_bytes((dist_info / "METADATA").read_bytes()), parts[0]) + "\n")
        packed = Path(folder) / "packed"
        packed.mkdir()
        repack("pack", tree, packed)
        (made,) = packed.iterdir()
        if made.name != wheel.name:
            raise SystemExit(f"{wheel.name} would become {made.name}")
        shutil.move(made, wheel)


for name in sys.argv[1:]:
    add(Path(name))
