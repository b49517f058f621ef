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
from pages import blocks, page

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "core" / "examples"
HEADERS = {"blockpool.h", "blockpool_shared.h", "blockpool_version.h", "blockpool.hpp"}
CLASSIC_NAMES = {
    "initialize_memory_allocator",
    "allocate_memory_blocks",
    "deallocate_memory_blocks",
    "blockpool_last_status",
    "blockpool_message",
}
FRAMES_IN_C = """\
viewer: saw 100 frames, each whole and in order
driver: put 100 frames
"""
FRAMES_IN_PYTHON = """\
driver: put 100 frames
frames seen: 100 of 100, each whole and in order
blocks not back: 0
"""
IN_CPP = """\
#include <blockpool.hpp>
#include <cstdio>
#include <cstring>

int main() {
    blockpool::Block kept;
    {
        blockpool::Pool pool = blockpool::Pool::create("", 4096, 4);
        blockpool::Queue queue = pool.make_queue("frames");
        blockpool::Block frame = pool.allocate(100), moved = std::move(frame);
        if (frame || !moved) return 2;
        std::strcpy(moved.as<char>(), "without a copy");
        queue.put(moved, blockpool::array_of<unsigned short>({5, 10}));
        moved.release();
        std::optional<blockpool::Received> received = queue.get();
        if (std::strcmp((*received)->array.type, "<u2") != 0 || pool.info().allocated != 1) return 3;
        kept = received->block();
        received.reset();
        try {
            (void)queue.get(0);
            return 4;
        } catch (const blockpool::Error &error) {
            if (error.status != BLOCKPOOL_QUEUE_EMPTY) return 5;
            std::puts(error.what());
        }
        queue.shutdown();
        if (queue.get()) return 6;
    }
    std::puts(kept.as<char>()); /* its pool is still there */
    return kept.bytes() == 100 ? 0 : 7;
}
"""
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


@pytest.fixture(scope="module")
def camera(reader):
    """Return the camera driver, compiled by the first command at its head, and the second command."""
    build, run = head_commands("camera.c")
    reader.types([build], reader.sources / "core" / "examples", **reader.found)
    return reader.sources / "core" / "examples" / "camera", run


def test_frames_pass_from_c_to_c(reader, camera):
    """With the commands at the head of the camera example, all frames pass between two programs in C, in order."""
    driver, run = camera
    name = f"c-{os.getpid()}"
    printed = reader.types([run.replace("room", name), "wait"], driver.parent)
    assert sorted(printed.splitlines()) == sorted(FRAMES_IN_C.splitlines())
    assert not Path(f"/dev/shm/blockpool.{name}").exists()  # noqa: S108 - where pools are


def test_frames_pass_from_c_to_python(reader, camera):
    """The viewer in Python gets all frames of the driver in C as arrays, and every block comes back."""
    assert reader.types([f"{sys.executable} -W error {ROOT}/examples/camera_viewer.py {camera[0]}"]) == FRAMES_IN_PYTHON


def test_a_driver_that_fails_ends_the_viewer(camera):
    """If the driver in C ends badly, the viewer in Python does not wait for it."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "camera_viewer.py", "/bin/false"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "something is wrong; see above\n")
    done = subprocess.run([camera[0]], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("usage: camera")


def test_frames_pass_from_python_to_c(camera):
    """A viewer in C gets arrays that Python put, and says so if one is of another type or shape."""
    np = pytest.importorskip("numpy")
    gradient = np.arange(480 * 640, dtype=np.uint16)
    others = [None, np.zeros((480, 640), np.int16), np.zeros((640, 480), np.uint16), b"bytes", {"a": "pickle"}]
    for i, wrong in enumerate(others):
        name = f"python-{os.getpid()}-{i}"
        with bp.Pool.create(480 * 640 * 2, 8, name=name) as pool, pool.queue("frames") as frames:
            for number in range(3):
                frame = pool.asarray((gradient + number).reshape(480, 640))
                frame[0, :2] = number, 0
                frames.put(frame)
            if wrong is not None:
                frames.put(wrong)
            frames.shutdown()
            done = subprocess.run([camera[0], "viewer", name], capture_output=True, text=True, timeout=60, check=False)
            expected = (
                (0, "viewer: saw 3 frames, each whole and in order\n", "")
                if wrong is None
                else (1, "", "frame 3 is not as it should be\n")
            )
            assert (done.returncode, done.stdout, done.stderr) == expected


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


def test_only_the_headers_and_the_library_are_installed(reader):
    """Installing the C library installs its headers, a library and a .pc file, and nothing else."""
    prefix = reader.home / ".local"
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    headers = {f"include/{header}" for header in HEADERS}
    assert files == headers | {"lib/libblockpool.a", "lib/pkgconfig/blockpool.pc"}


def names_of(listing):
    """Return the names in a listing of nm."""
    return {line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3}


def declared_names(reader):
    """Return the names that the installed headers declare."""
    headers = "".join((reader.home / ".local" / "include" / header).read_text() for header in sorted(HEADERS))
    names = set(re.findall(r"^BLOCKPOOL_API .*?(\w+)\(", headers, re.MULTILINE))
    assert len(names) == headers.count("\nBLOCKPOOL_API ")
    assert names > CLASSIC_NAMES
    return names


def test_only_the_public_names_can_be_linked_to(reader):
    """The static library defines only the names of its headers, so a program can define pool_free itself."""
    need("nm")
    defined = names_of(reader.types(["nm -g --defined-only .local/lib/libblockpool.a"], reader.home))
    assert defined == declared_names(reader)


def test_the_shared_library(reader):
    """A shared library built in the same folder has the same names, and the example runs with it."""
    need("nm")
    prefix = reader.home / "shared"
    configure, *rest = readme_commands("cmake")[:-1]
    configure = configure.replace("$HOME/.local", str(prefix)) + " -DBUILD_SHARED_LIBS=ON"
    reader.types([configure, *rest])
    assert not list(prefix.rglob("*.a"))
    assert names_of(reader.types([f"nm -D --defined-only '{prefix}/lib/libblockpool.so'"])) == declared_names(reader)
    found = {
        "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    assert reader.types(readme_commands("cc "), **found) == OUTPUT
    assert "libblockpool.so" in reader.types(["ldd ./classic"], **found)


@pytest.mark.parametrize("header", ["blockpool.h", "blockpool_shared.h"])
@pytest.mark.parametrize(("compiler", "dialect"), [("cc", "c11"), ("c++", "c++11"), ("c++", "c++17"), ("c++", "c++20")])
def test_the_header_stands_alone(reader, header, compiler, dialect):
    """Each header compiles by itself without a warning in C11 and in C++, and links with C's names."""
    need(compiler)
    source = "test." + ("c" if compiler == "cc" else "cpp")
    (reader.home / source).write_text(
        f"#include <{header}>\n#include <{header}>\n"
        "int main(void) { return allocate_memory_blocks(1) != NULL || blockpool_pool_close(NULL) != BLOCKPOOL_NULL; }\n"
    )
    flags = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror $(pkg-config --cflags --libs blockpool)"
    reader.types(
        [f"{compiler} -std={dialect} -o test {source} {flags}", "./test"],
        reader.home,
        **reader.found,
    )


@pytest.mark.parametrize("dialect", ["c++17", "c++20"])
def test_the_classes_for_cpp(reader, dialect):
    """The classes for C++ compile without a warning, give back what they hold, and throw what a call returns."""
    need("c++")
    (reader.home / "classes.cpp").write_text(IN_CPP)
    flags = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror $(pkg-config --cflags --libs blockpool)"
    printed = reader.types(
        [f"c++ -std={dialect} -o classes classes.cpp {flags}", "./classes"], reader.home, **reader.found
    )
    assert printed == "the queue is empty\nwithout a copy\n"
    assert len((ROOT / "core" / "include" / "blockpool.hpp").read_text().splitlines()) < 200


def test_programs_of_the_page(reader):
    """The programs of docs/how-to/c.md compile without a warning, and the one in C++ ends well."""
    need("cc", "c++")
    programs = blocks(page("how-to/c.md"), "c", "cpp")
    assert [language for language, _ in programs] == ["c", "cpp"]
    flags = "-Wall -Wextra -Wpedantic -Werror $(pkg-config --cflags --libs blockpool)"
    for language, program in programs:
        (reader.home / f"guide.{language}").write_text(program)
        compiler = "cc -std=c11" if language == "c" else "c++ -std=c++17"
        reader.types([f"{compiler} -o guide-{language} guide.{language} {flags}"], reader.home, **reader.found)
    reader.types(["./guide-cpp"], reader.home)


def test_the_python_package_does_not_install_the_library():
    """The Python package installs neither the header nor the C library."""
    try:
        files = importlib.metadata.files("blockpool")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("blockpool is not installed but found on the path")
    assert files
    assert not [file for file in files if file.suffix in {".h", ".hpp", ".a", ".pc"} or "libblockpool" in file.name]
