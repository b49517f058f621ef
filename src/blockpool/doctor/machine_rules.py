"""What can be wrong with the machine, for all pools or for one: rules that turn facts into findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.doctor.findings import ERROR, INFO, WARNING, Finding, begin, call, listed, who
from blockpool.doctor.machine import SHM
from blockpool.report.text import count, in_bytes, shown_pid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockpool.doctor.facts import PoolFacts
    from blockpool.doctor.machine import Machine
    from blockpool.stats import PoolSummary

__all__ = ["FIT_RULES", "MACHINE_RULES", "other_files", "removed_pools", "shm_room"]

# /dev/shm is nearly full below both of these: the share for small ones, the bytes for large ones.
_SHM_SHARE = 0.05
_SHM_BYTES = 256 << 20
# Less than this is no room for the smallest pool for 256 processes.
_SHM_NONE = 256 << 10
# Without inodes no pool can be made, however much memory there is.
_FEW_FILES = 16

# A limit is near from this share on; beyond it the kernel begins to swap and to drop caches.
_NEAR = 0.9
# Memory is short below this share: Linux then takes it from running programs.
_MEMORY_SHARE = 0.05


def shm_mount(machine: Machine) -> list[Finding]:
    """Find ``/dev/shm`` that is not there, or not what pools need."""
    shm = machine.shm
    if shm is None:
        return [
            Finding(
                code="shm-missing",
                severity=ERROR,
                pool=None,
                sentence="There is no /dev/shm, so no pool with a name can be made.",
                remedy="Mount it as root: `mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm`.",
            )
        ]
    details: dict[str, object] = {"kind": shm.kind, "options": list(shm.options)}
    found = []
    if "ro" in shm.options:
        found.append(
            Finding(
                code="shm-read-only",
                severity=ERROR,
                pool=None,
                sentence=f"{SHM} is mounted read-only, so no pool with a name can be made or attached.",
                remedy="Mount it for writing, as root: `mount -o remount,rw /dev/shm`.",
                details=details,
            )
        )
    if shm.kind not in (None, "tmpfs", "ramfs"):
        found.append(
            Finding(
                code="shm-not-memory",
                severity=WARNING,
                pool=None,
                sentence=f"{SHM} is no tmpfs but {shm.kind}: pools with names may be written to a disk.",
                remedy="Mount a tmpfs there, as root: `mount -t tmpfs tmpfs /dev/shm`.",
                details=details,
            )
        )
    return found


def shm_room(machine: Machine, pools: Sequence[PoolSummary]) -> list[Finding]:
    """Find ``/dev/shm`` that is nearly full."""
    shm = machine.shm
    if shm is None or not shm.total:
        return []
    short = shm.free < min(_SHM_SHARE * shm.total, _SHM_BYTES)
    few = shm.files_free is not None and shm.files_free < _FEW_FILES
    if not short and not few:
        return []
    named = sorted((pool for pool in pools if pool.name is not None), key=lambda pool: -pool.segment_bytes)
    taken = sum(pool.segment_bytes for pool in named)
    idle = [pool for pool in named if pool.permanent and not _has_living(pool)]
    if short:
        room = f"{in_bytes(shm.free)} of {in_bytes(shm.total)} free"
    else:
        room = f"room for no more than {count(shm.files_free or 0, 'file')}"
    ways = []
    if any(pool.leftover for pool in named):
        ways.append(f"remove what killed programs left, {call('sweep()')}")
    if idle:
        ways.append(f"remove permanent pools that nobody uses, such as {call(f'unlink({idle[0].name!r})')}")
    ways.append(f"make it larger, as root: `mount -o remount,size={max(2 * shm.total >> 20, 1)}m /dev/shm`")
    ways.append("in a container, start it with a larger --shm-size (it is 64 MiB unless told otherwise)")
    largest = (
        f" The largest: {listed(f'{pool.name!r} {in_bytes(pool.segment_bytes)}' for pool in named)}." if named else ""
    )
    return [
        Finding(
            code="shm-full",
            severity=ERROR if shm.free < _SHM_NONE else WARNING,
            pool=None,
            sentence=f"{SHM} has {room}; {count(len(named), 'pool')} of this user take {in_bytes(taken)}.{largest}",
            remedy=f"One of: {'; '.join(ways)}.",
            details={
                "total": shm.total,
                "free": shm.free,
                "files_free": shm.files_free,
                "pools": [{"name": pool.name, "bytes": pool.segment_bytes} for pool in named],
            },
        )
    ]


def memory(machine: Machine) -> list[Finding]:
    """Find a machine that is short of memory."""
    if machine.memory is None or machine.available is None or machine.available >= _MEMORY_SHARE * machine.memory:
        return []
    return [
        Finding(
            code="memory",
            severity=WARNING,
            pool=None,
            sentence=f"The machine has {in_bytes(machine.available)} of {in_bytes(machine.memory)} of memory left.",
            remedy="End what is not needed, and remove pools that nobody uses; the kernel may soon kill processes.",
            details={"available": machine.available, "memory": machine.memory},
        )
    ]


def control_groups(machine: Machine) -> list[Finding]:
    """Find control groups that have nearly as much memory as they may have."""
    return [
        Finding(
            code="cgroup",
            severity=WARNING,
            pool=None,
            sentence=f"The control group {group.path} has {in_bytes(group.used)} of the {in_bytes(group.limit)} of "
            f"memory that it may have, pools included; beyond that the kernel kills its processes.",
            remedy="Make pools smaller or remove those that nobody uses, or raise the limit (memory.max, or --memory "
            "of the container).",
            details={"path": group.path, "used": group.used, "limit": group.limit},
        )
        for group in machine.groups
        if group.used >= _NEAR * group.limit
    ]


def own_limits(machine: Machine) -> list[Finding]:
    """Find limits of this process that are nearly reached."""
    found = []
    if machine.files is not None and machine.files_limit is not None and machine.files >= _NEAR * machine.files_limit:
        found.append(
            Finding(
                code="descriptors",
                severity=WARNING,
                pool=None,
                sentence=f"This process has {machine.files:,} of the {machine.files_limit:,} descriptors that it may "
                f"have (RLIMIT_NOFILE); an open pool takes one or two.",
                remedy="Close what is not needed, or raise the limit: `ulimit -n` in the shell, or "
                "resource.setrlimit().",
                details={"used": machine.files, "limit": machine.files_limit},
            )
        )
    space, limit = machine.address_space, machine.address_space_limit
    if space is not None and limit is not None and space >= _NEAR * limit:
        found.append(
            Finding(
                code="address-space",
                severity=WARNING,
                pool=None,
                sentence=f"This process has {in_bytes(space)} of the {in_bytes(limit)} of address space that it may "
                f"have (RLIMIT_AS); an open pool takes as much as it is large.",
                remedy="Raise the limit: `ulimit -v unlimited` in the shell, or resource.setrlimit().",
                details={"used": space, "limit": limit},
            )
        )
    return found


def other_files(pools: Sequence[PoolSummary], release: str) -> list[Finding]:
    """Find files that have the name of a pool and cannot be attached, and pools of other releases."""
    reasons = {
        "damaged": "The file of pool {0} is damaged, so that nobody can attach it",
        "truncated": "The file of pool {0} has the wrong size, so that nobody can attach it",
        "other version": "Pool {0} was made by blockpool {1}, and blockpool {2} cannot use its layout",
        "not a pool": "The file /dev/shm/blockpool.{0} has the name of a pool and holds something else",
        "unreadable": "The file of pool {0} may not be read and written any more, as its mode was changed",
    }
    found = []
    for pool in pools:
        reason = reasons.get(pool.state)
        if reason is not None and pool.name is not None:
            name = pool.name if pool.state == "not a pool" else repr(pool.name)
            unlink = f"remove it with {call(f'unlink({pool.name!r})')}"
            remedy = f"If nobody needs it, {unlink}."
            if pool.state == "unreadable":
                remedy = f"Give its mode back with `chmod 600 /dev/shm/blockpool.{pool.name}`, or {unlink}."
            if pool.state == "other version":
                remedy = f"Use that release for it, or {unlink}; processes that have it go on."
            found.append(
                Finding(
                    code=pool.state.replace(" ", "-"),
                    severity=WARNING,
                    pool=pool.name,
                    sentence=f"{reason.format(name, pool.made_by or 'of an unknown release', release)}; it takes "
                    f"{in_bytes(pool.segment_bytes)}.",
                    remedy=remedy,
                    details={"state": pool.state, "made_by": pool.made_by, "bytes": pool.segment_bytes},
                )
            )
        elif pool.state == "ok" and pool.made_by != release:
            found.append(
                Finding(
                    code="version-mix",
                    severity=INFO,
                    pool=pool.name or pool.pool_id,
                    sentence=f"Pool {(pool.name or pool.pool_id)!r} was made by blockpool {pool.made_by}; this is "
                    f"{release}. They understand each other.",
                    remedy="Bring all programs to one release when they next start.",
                    details={"made_by": pool.made_by, "release": release},
                )
            )
    return found


def removed_pools(removed: Sequence[tuple[str | None, PoolSummary]], pools: Sequence[PoolSummary]) -> list[Finding]:
    """Find pools whose names were removed while processes have them; the names are given where they are known."""
    taken = {pool.name for pool in pools if pool.name is not None}
    found = []
    for name, pool in removed:
        again = name in taken
        other = f"; another pool has the name now, and programs that attach {name!r} get that one" if again else ""
        pids = [one.pid for one in pool.processes if one.alive is not False]
        those = listed(map(shown_pid, pids))
        which = f"pool {name!r}" if name is not None else f"pool {pool.pool_id}"
        found.append(
            Finding(
                code="name-removed",
                severity=WARNING if again else INFO,
                pool=name or pool.pool_id,
                sentence=f"The name of {which} was removed, but "
                f"{count(len(pids), 'process still has', 'processes still have')} it ({those}), and it takes "
                f"{in_bytes(pool.segment_bytes)}{other}.",
                remedy="It is freed when they end. If they are to share a pool with later ones, start them again.",
                details={"pids": pids, "bytes": pool.segment_bytes, "taken_again": again, "pool_id": pool.pool_id},
            )
        )
    return found


def fits(facts: PoolFacts) -> list[Finding]:
    """Find a pool that is larger than what the machine, a control group or a limit allows."""
    size, name, machine = facts.now.segment_bytes, facts.title, facts.machine
    details: dict[str, object] = {"bytes": size, "resident": facts.resident}
    rooms = [] if machine.available is None else [(machine.available, "the machine has left")]
    rooms += [(max(0, each.limit - each.used), f"control group {each.path} has left") for each in machine.groups]
    missing = 0 if facts.resident is None else size - facts.resident
    found = []
    for room, what in rooms:
        if missing > room:
            found.append(
                Finding(
                    code="too-large",
                    severity=WARNING,
                    pool=facts.pool,
                    sentence=f"{begin(name)} still lacks {in_bytes(missing)} of its {in_bytes(size)} of memory, "
                    f"more than {what}: {in_bytes(room)}. When it is filled, processes will be killed.",
                    remedy="Make the pool smaller, or free memory.",
                    details={**details, "room": room},
                )
            )
            break
    limit = machine.address_space_limit
    if limit is not None and size > limit - (machine.address_space or 0):
        found.append(
            Finding(
                code="address-space",
                severity=WARNING,
                pool=facts.pool,
                sentence=f"Processes with the limits of this one cannot attach {name}: it takes {in_bytes(size)} of "
                f"address space, and RLIMIT_AS allows {in_bytes(limit)} in all.",
                remedy="Raise the limit: `ulimit -v unlimited` in the shell, or resource.setrlimit().",
                details={**details, "limit": limit},
            )
        )
    return found


def files_of_processes(facts: PoolFacts) -> list[Finding]:
    """Find processes of the pool that have nearly as many descriptors as they may have."""
    found = []
    for one in facts.living:
        used, limit = facts.descriptors.get(one.slot, (0, 0))
        if limit and used >= _NEAR * limit:
            found.append(
                Finding(
                    code="descriptors",
                    severity=WARNING,
                    pool=facts.pool,
                    sentence=f"{begin(who(one.pid, one.command))}, which has {facts.title}, has {used:,} of the "
                    f"{limit:,} descriptors that it may have (RLIMIT_NOFILE).",
                    remedy=f"See what it has with `ls -l /proc/{one.pid}/fd`, or raise its limit, as root or its user: "
                    f"`prlimit --pid {one.pid} --nofile={2 * limit}:{2 * limit}`.",
                    details={"pid": one.pid, "used": used, "limit": limit},
                )
            )
    return found


# Of the machine alone; `shm_room` needs the pools too. Then those of one pool and the machine.
MACHINE_RULES = (shm_mount, memory, control_groups, own_limits)
FIT_RULES = (fits, files_of_processes)


def _has_living(pool: PoolSummary) -> bool:
    return any(one.alive is not False for one in pool.processes)
