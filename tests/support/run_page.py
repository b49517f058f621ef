"""Run the examples of a page in Markdown, in the order of the page, and compare what they print with what stands there.

    python tests/support/run_page.py PAGE

They run in the working folder, in this one interpreter:

- an example with ``>>>`` prints what is below it, as in a doctest; later ones see earlier names;
- other Python is executed, in the same names;
- a program, whose first line is a comment with the name of a file, is written to that file;
- ``$ python FILE`` in a console runs that program, which prints what is below the command.

Pools get other names, so that a page can be run twice at a time.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
PROGRAM = re.compile(r"# (?P<file>[\w.]+\.\w+)\n")
COMMAND = re.compile(r"^\$ (?P<command>.*)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
POOL = re.compile(r"""(?:name=|Pool\.attach\(|inspect\(|attach\()"([\w-]+)\"""")
FLAGS = doctest.ELLIPSIS


class Page:
    """A page whose examples are run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.names: dict[str, Any] = {"__name__": path.stem}
        self.pools = set(POOL.findall(self.text))
        self.files: set[str] = set()
        self.runs = 0
        self.failures: list[str] = []

    def with_other_pools(self, text: str) -> str:
        """Return the text with the names of pools made unlike those of all others."""
        for pool in self.pools:
            text = text.replace(f'"{pool}"', f'"{pool}-{os.getpid()}"')
        return text

    def run(self) -> None:
        """Run all of it."""
        for block in BLOCK.finditer(self.text):
            text = textwrap.dedent(block["text"])
            line = self.text.count("\n", 0, block.start()) + 1
            if block["language"] == "python":
                self.python(self.with_other_pools(text), line)
            elif block["language"] == "console":
                for command in COMMAND.finditer(text):
                    self.command(command["command"], command["printed"], line)

    def python(self, text: str, line: int) -> None:
        """Run, or write, a block of Python."""
        if program := PROGRAM.match(text):
            Path(program["file"]).write_text(text, encoding="utf-8")
            self.files.add(program["file"])
        elif ">>> " in text:
            test = doctest.DocTestParser().get_doctest(text, self.names, self.path.name, str(self.path), line)
            runner = doctest.DocTestRunner(verbose=False)
            test.globs = self.names  # not a copy, which would keep blocks allocated
            runner.run(test, out=self.failures.append, clear_globs=False)
            self.runs += len(test.examples)
        else:
            exec(compile(text, f"{self.path}:{line}", "exec"), self.names)  # noqa: S102 - the page is ours
            self.runs += 1

    def command(self, command: str, expected: str, line: int) -> None:
        """Run a program of the page."""
        name, *arguments = command.split()
        if name != "python" or not arguments or arguments[0] not in self.files:
            return
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        self.runs += 1
        printed = done.stdout + done.stderr
        if done.returncode != 0 or not doctest.OutputChecker().check_output(expected, printed, FLAGS):
            self.failures.append(
                f"{self.path}:{line}: {command} ended with {done.returncode}\nexpected:\n{expected}\nsaid:\n{printed}\n"
            )


def main() -> int:
    """Run the page that the command line names; fail if there is no example, or if one fails."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - programs of a page import each other
    page = Page(Path(sys.argv[1]).resolve())
    page.run()
    print("".join(page.failures), end="")
    if not page.runs:
        print(f"{page.path} has no examples")
    return bool(page.failures) or not page.runs


if __name__ == "__main__":
    sys.exit(main())
