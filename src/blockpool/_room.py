"""What a lack of memory needs of Python: how messages describe it, and what a thread does while it waits for room."""

from __future__ import annotations


def shortage(limit: str, room: int, *, ever: bool = False) -> tuple[str, str]:
    """Return how much memory there is, and a remedy besides asking for less.

    Parameters
    ----------
    limit : str
        Whose limit was met: a directory of shared memory, the file with a cgroup's limit, or ``""`` for the machine.
    room : int
        How many bytes it leaves.
    ever : bool
        Whether `room` is what there could ever be, rather than what there is now.
    """
    if limit == "/dev/shm":  # noqa: S108 - where pools are
        return (
            f"{limit} has {room} bytes left",
            "make /dev/shm larger (docker run --shm-size), or make the pool without a name, which takes no room there",
        )
    if limit:
        allowed = "allows" if ever else "leaves"
        return (
            f"the memory limit of the cgroup, in {limit}, {allowed} {room} bytes",
            "raise that limit",
        )
    if ever:
        return f"this machine has {room} bytes of memory and swap", "use a larger machine"
    return f"this machine has {room} bytes of memory available now", "free some memory"


def take_a_turn() -> None:
    """Do nothing, as Python code.

    A build without the GIL ends here the objects that were made in this thread and dropped in others.
    """
