"""The environment of the peers: a virtual environment of their own, into which each is installed alone.

So what a peer needs never touches the user's environment, and one that cannot be had keeps no other from it. The
environment remembers why; delete its folder to try again.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blockpool.errors import BlockPoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Environment", "default_folder"]

_NOTES = "blockpool-peers.json"
_INSTALL_SECONDS = 600
_LAST_WORDS = 200


def default_folder() -> Path:
    """Return where the environment is, unless another place was named."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "blockpool", f"peers-{_tag()}")


def _tag() -> str:
    return f"{sys.implementation.cache_tag}-{platform.machine()}"


class Environment:
    """A virtual environment with what the peers need.

    Parameters
    ----------
    folder : Path
        Where it is; made if it is not there.

    Raises
    ------
    BlockPoolError
        If there is something else, or one of another Python, or if none can be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.python = str(folder / "bin" / "python")
        self._notes: dict[str, str] = {}
        if not folder.exists() or not any(folder.iterdir()):
            try:
                self._make()
                self._write()
            except BaseException:  # Ctrl-C too; the next attempt is to find nothing
                shutil.rmtree(folder, ignore_errors=True)
                raise
        try:
            found = json.loads((folder / _NOTES).read_text("utf-8"))
            python, self._notes = found["python"], found["peers"]
        except (OSError, ValueError, LookupError, TypeError):
            raise BlockPoolError(
                f"{folder} is no environment that blockpool bench made; name a folder that is empty or not there"
            ) from None
        if python != _tag():
            raise BlockPoolError(f"{folder} is for {python}, and this is {_tag()}; delete it, or name another folder")

    def install(self, needs: Sequence[str], say: Callable[[str], None]) -> dict[str, str]:
        """Install what is not there yet; return why for what cannot be had."""
        for need in needs:
            if need not in self._notes:
                say(f"installing {need} into {self._folder}")
                self._notes[need] = self._pip(need)
                self._write()
        return {need: self._notes[need] for need in needs if self._notes[need]}

    def _make(self) -> None:
        made = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-m", "venv", str(self._folder)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            words = _last(made.stdout + made.stderr)
            raise BlockPoolError(
                f"no environment can be made in {self._folder} (Debian: apt install python3-venv): {words}"
            )

    def _pip(self, need: str) -> str:
        """Install something; return "" or what pip says."""
        command = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", need]
        try:
            done = subprocess.run(  # noqa: S603 - pip of the environment
                command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"pip did not end within {_INSTALL_SECONDS} seconds"
        return f"pip: {_last(done.stderr)}" if done.returncode else ""

    def _write(self) -> None:
        content = {"python": _tag(), "peers": self._notes}
        (self._folder / _NOTES).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _last(words: str) -> str:
    """Return the last line that says something."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing was said"])[-1][:_LAST_WORDS]
