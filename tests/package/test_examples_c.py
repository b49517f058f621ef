"""The C library as a user has it: installed, found by pkg-config, and the examples run as README.md says."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import blockpool as bp

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "core" / "examples"
NAMES = {
    "initialize_memory_allocator",
    "allocate_memory_blocks",
    "deallocate_memory_blocks",
    "blockpool_last_status",
    "blockpool_message",
}
OUTPUT = """\
a pool of 1024 bytes, in blocks of 32
block 1,   0 bytes into the pool: written to block 1
block 2,  32 bytes into the pool: written to block 2
block 3,  64 bytes into the pool: written to block 3
block 4,  96 bytes into the pool: written to block 4
block 5, 128 bytes into the pool: written to block 5
run of 5, 160 bytes into the pool: 159 letters
deallocating the run's second block is refused: the address is inside a run; give the one that was allocated
all deallocated
deallocating block 3 again is refused: the block is not allocated: it was deallocated before, or never allocated
deallocating a variable is refused: the address is not in the pool
"""


def need(*tools):
    """Skip the test if a tool is missing, but fail it in CI, where .ci/run installs them."""
    for tool in tools:
        if shutil.which(tool, path=search_path()) is None:
            reason = f"{tool} is missing; install it to test this (Debian: apt-get install {tool})"
            if os.environ.get("CI"):
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def search_path():
    """Return PATH with the virtual environment, and so its CMake, first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def readme_commands(first):
    """Return the commands of the block of README.md that begins with the command `first`."""
    for block in re.findall(r"^```console\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE):
        commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        if commands[0].startswith(first):
            return commands
    raise LookupError(f"README.md has no commands that begin with {first}")


def head_commands(example):
    """Return the commands in the comment at the head of an example."""
    return re.findall(r"^ ?[*;]     (\S.*)$", (EXAMPLES / example).read_text(), re.MULTILINE)


class Reader:
    """A reader who types what README.md says, in a copy of the sources and in a new home folder."""

    def __init__(self, home):
        self.home = home
        self.sources = home / "sources"
        shutil.copytree(ROOT / "core", self.sources / "core", ignore=shutil.ignore_patterns("build"))
        inherited = {"CC", "CFLAGS", "LANG", "LC_ALL", "TMPDIR"}
        self.environment = {name: value for name, value in os.environ.items() if name in inherited}
        self.environment |= {"HOME": str(home), "PATH": search_path()}

    def types(self, commands, where=None, **more):
        """Run the commands in one shell that stops at the first failure; return what they print."""
        done = subprocess.run(
            ["/bin/sh", "-ec", "\n".join(commands)],
            cwd=where or self.sources,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def found(self):
        """Return the environment variables that README.md asks for."""
        return {"PKG_CONFIG_PATH": str(self.home / ".local" / "lib" / "pkgconfig")}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Return a reader who has installed the library with the commands of README.md."""
    need("cmake", "pkg-config", "make", "cc")
    made = Reader(tmp_path_factory.mktemp("reader"))
    commands = readme_commands("cmake")
    assert commands[-1].startswith("export PKG_CONFIG_PATH=")
    made.types(commands)
    assert made.types([commands[-1], "printenv PKG_CONFIG_PATH"]).strip() == made.found["PKG_CONFIG_PATH"]
    return made


def needs_x86():
    """Skip the test on other machines, and without NASM."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip(f"the example is x86-64 assembly, and this machine is {platform.machine()}")
    need("nasm")


def test_c_example_by_the_commands_of_the_readme(reader):
    """The C example compiles, links and runs with the commands of README.md, and prints what it should."""
    assert reader.types(readme_commands("cc "), **reader.found) == OUTPUT


def test_nasm_example_by_the_commands_of_the_readme(reader):
    """The NASM example assembles, links and runs with the commands of README.md, and prints the same as the C one."""
    needs_x86()
    assert reader.types(readme_commands("nasm "), **reader.found) == OUTPUT


def test_c_example_by_the_commands_at_its_head(reader):
    """The C example compiles and runs with the commands at its head, in its folder, and prints what it should."""
    commands = head_commands("classic.c")
    assert len(commands) == 2
    assert reader.types(commands, reader.sources / "core" / "examples", **reader.found) == OUTPUT


def test_nasm_example_by_the_commands_at_its_head(reader):
    """The NASM example assembles and runs with the commands at its head, in its folder, and prints what it should."""
    needs_x86()
    commands = head_commands("classic.asm")
    assert len(commands) == 3
    assert reader.types(commands, reader.sources / "core" / "examples", **reader.found) == OUTPUT


def test_a_failing_step_ends_the_example_with_1(reader):
    """An example whose first call fails says why on stderr, and its exit status is 1."""
    changed = {
        "classic.c": [("POOL_SIZE BLOCKPOOL_DEFAULT_POOL_SIZE", "POOL_SIZE 1000")],
        "classic.asm": [("POOL_SIZE       equ 1024", "POOL_SIZE       equ 1000")],
    }
    if platform.machine() != "x86_64" or shutil.which("nasm") is None:
        del changed["classic.asm"]
    folder = reader.home / "changed"
    folder.mkdir()
    for example, changes in changed.items():
        text = (EXAMPLES / example).read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (folder / example).write_text(text)
        *build, run = head_commands(example)
        reader.types(build, folder, **reader.found)
        done = subprocess.run([run], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == "initialize: the pool size must be a multiple of the block size, and not 0\n"


def test_the_installed_tree_may_be_moved(reader):
    """The installed library can be moved: pkg-config gives the new paths."""
    moved = reader.home / "moved"
    shutil.copytree(reader.home / ".local", moved)
    found = {"PKG_CONFIG_PATH": str(moved / "lib" / "pkgconfig")}
    flags = reader.types(["pkg-config --cflags --libs blockpool"], **found).split()
    assert {Path(flag[2:]).resolve() for flag in flags if flag[:2] in {"-I", "-L"}} == {
        moved / "include",
        moved / "lib",
    }


def test_versions_agree(reader):
    """The C library (by pkg-config) and the Python package have the same version."""
    assert reader.types(["pkg-config --modversion blockpool"], **reader.found).strip() == bp.__version__


def test_only_the_header_and_the_library_are_installed(reader):
    """Installing the C library installs a header, a library and a .pc file, and nothing else."""
    prefix = reader.home / ".local"
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert files == {"include/blockpool.h", "lib/libblockpool.a", "lib/pkgconfig/blockpool.pc"}


def names_of(listing):
    """Return the names in a listing of nm."""
    return {line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3}


def test_only_the_public_names_can_be_linked_to(reader):
    """The static library defines only the names of blockpool.h, so a program can define pool_free itself."""
    need("nm")
    assert names_of(reader.types(["nm -g --defined-only .local/lib/libblockpool.a"], reader.home)) == NAMES
    header = (reader.home / ".local" / "include" / "blockpool.h").read_text()
    assert set(re.findall(r"^BLOCKPOOL_API .*?(\w+)\(", header, re.MULTILINE)) == NAMES


def test_the_shared_library(reader):
    """A shared library built in the same folder has the same names, and the example runs with it."""
    need("nm")
    prefix = reader.home / "shared"
    configure, *rest = readme_commands("cmake")[:-1]
    configure = configure.replace("$HOME/.local", str(prefix)) + " -DBUILD_SHARED_LIBS=ON"
    reader.types([configure, *rest])
    assert not list(prefix.rglob("*.a"))
    assert names_of(reader.types([f"nm -D --defined-only '{prefix}/lib/libblockpool.so'"])) == NAMES
    found = {
        "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    assert reader.types(readme_commands("cc "), **found) == OUTPUT
    assert "libblockpool.so" in reader.types(["ldd ./classic"], **found)


@pytest.mark.parametrize(("compiler", "dialect"), [("cc", "c11"), ("c++", "c++11"), ("c++", "c++20")])
def test_the_header_stands_alone(reader, compiler, dialect):
    """The header compiles by itself without a warning in C11 and in C++, and links with C's names."""
    need(compiler)
    source = "test." + ("c" if compiler == "cc" else "cpp")
    (reader.home / source).write_text(
        "#include <blockpool.h>\n#include <blockpool.h>\nint main(void) { return allocate_memory_blocks(1) != NULL; }\n"
    )
    flags = "-Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags --libs blockpool)"
    reader.types(
        [f"{compiler} -std={dialect} -o test {source} {flags}", "./test"],
        reader.home,
        **reader.found,
    )


def test_the_python_package_does_not_install_the_library():
    """The Python package installs neither the header nor the C library."""
    try:
        files = importlib.metadata.files("blockpool")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("blockpool is not installed but found on the path")
    assert files
    assert not [file for file in files if file.suffix in {".h", ".a", ".pc"} or "libblockpool" in file.name]
