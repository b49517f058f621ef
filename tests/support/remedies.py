"""What tests of the doctor do with its findings: pick one, and carry out its remedy as a person would."""

import os
import re
import subprocess
import sys
from pathlib import Path


def of_code(findings, code):
    """Return the only finding of that code."""
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1, findings
    return found[0]


def commands(finding):
    """Return the commands in a remedy."""
    return re.findall(r"`([^`]*)`", finding.remedy)


def follow(finding, number=0):
    """Run one of the commands of a remedy in a shell whose `python` is this interpreter."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", commands(finding)[number]],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (finding, done)
    return done.stdout
