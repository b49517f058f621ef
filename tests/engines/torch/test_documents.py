"""What is documented about PyTorch, run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from pages import page, run_page
from programs import HANGS

ROOT = Path(__file__).parents[3]


def run(*command):
    """Run a program of this interpreter, which must end well, and return what it prints."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=HANGS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page(tmp_path):
    """Every example of docs/how-to/pytorch.md prints what is below it."""
    run_page(page("how-to/pytorch.md"), tmp_path, "-W", "ignore:This DataLoader will create")


def test_the_example():
    """In the example the network learns from batches in the pool, a worker is killed, and nothing stays allocated."""
    lines = run(ROOT / "examples" / "torch_loader.py").splitlines()
    assert lines[1] == "epoch 1: a worker was killed; the epoch starts again"
    for epoch, line in enumerate([lines[0], *lines[2:4]]):
        assert re.fullmatch(rf"epoch {epoch}: 16 batches, 16 of them in the pool, \d+% right", line)
    assert lines[4:] == ["blocks not back: 0"]
