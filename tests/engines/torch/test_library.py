"""What importing `blockpool.torch` does where PyTorch is missing, too old, or not wanted."""

import subprocess
import sys

from blockpool._extras import install_command
from blockpool.torch._library import is_old

FAKE = "torch = sys.modules['torch'] = types.ModuleType('torch'); sys.modules['torch.multiprocessing'] = torch"
FAKES = {
    "missing": "sys.modules['torch'] = None",
    "too old": f"{FAKE}; torch.__version__ = '2.5.1+cpu'",
    "not a number": f"{FAKE}; torch.__version__ = 'unknown'",
}


def run(program):
    """Run a program, and return what it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_library_that_will_not_do():
    """A missing or too old PyTorch gives ImportError, which says what was found and what to install."""
    for name, fake in FAKES.items():
        program = f"""
import sys, types
{fake}
try:
    import blockpool.torch
except ImportError as error:
    print(error)
"""
        printed = run(program)
        assert install_command("torch") in printed, name
        assert ("2.5.1" in printed) is (name == "too old")


def test_versions():
    """Versions are compared as numbers."""
    assert not any(is_old(each) for each in ("2.6.0", "2.10.1+cu130", "3.0.0a0+git123", "10.0"))
    assert all(is_old(each) for each in ("2.5.1", "1.13.0", "", "unknown"))


def test_not_imported_by_blockpool():
    """`import blockpool` imports neither PyTorch nor what is made for it."""
    assert run("import sys, blockpool; print('torch' in sys.modules, 'blockpool.torch' in sys.modules)") == (
        "False False\n"
    )
