"""Install what the benchmarks compare with (the group `peers` of pyproject.toml), each alone: some may not be had."""

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())

for peer in PROJECT["dependency-groups"]["peers"]:
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", peer], check=False).returncode:
        print(f"{peer} cannot be installed here; the benchmarks do without it")
