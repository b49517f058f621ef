"""List pools as root and as another user, who may not read a pool of its own."""

import os
import sys

import blockpool as bp
from forking import await_child, in_child
from pools import SHM

NOBODY = 65534


def states():
    """Return the states of all pools with names that this user sees."""
    return {found.name: found.state for found in bp.pools() if found.name}


def main(name):
    """Become another user in a child."""
    mine = bp.Pool.create(64, 4, name=name)
    bp.pools()  # imports what it needs while it may

    def be_another_user():
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        assert name not in states()
        try:
            bp.inspect(name)
        except bp.PoolForbidden:
            pass
        else:
            raise AssertionError("another user's pool")
        own = bp.Pool.create(64, 4, name=f"{name}-own")
        file = SHM / f"blockpool.{own.name}"
        assert states()[own.name] == "ok"
        file.chmod(0)
        assert states()[own.name] == "unreadable"
        file.chmod(0o600)
        own.unlink()

    await_child(in_child(be_another_user))
    assert states()[name] == "ok"
    assert f"{name}-own" not in states()
    mine.close()


main(sys.argv[1])
