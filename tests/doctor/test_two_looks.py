"""What is there at one look and not at the other is no finding, even if it looks bad."""

import os
import signal
import threading
from contextlib import contextmanager

import blockpool as bp
from blockpool.doctor import diagnose, facts, findings_of
from blockpool.doctor.facts import Case
from blockpool.doctor.machine import look_at_machine
from ledgers import OPENING, head_at, named, written
from remedies import of_code
from segment_parts import Parts, flip


@contextmanager
def looking(pool):
    """Take the first look at a pool; what is yielded takes the second, and returns the findings."""
    with bp.inspect(pool) as inspector:
        case = Case(inspector, look_at_machine(), 60.0)
        yield lambda: findings_of(case.finish())


@contextmanager
def half_allocated(pool, path):
    """Let block 5 be as a process leaves it in the middle of allocating, for a while."""
    with path.open("r+b", 0) as file, written(file, head_at(file, 5), OPENING | named(0) | 1):
        flip(path, Parts(pool.blocks).bitmap, 1 << 5)
        yield
        flip(path, Parts(pool.blocks).bitmap, 1 << 5)


def test_a_fault_that_the_audit_sees_once(shared, file_of):
    """The bookkeeping counts as damaged only if it is so at both looks."""
    parts = Parts(16)
    flip(file_of(shared.name), parts.entries + 5 * parts.entry + 7, 0xE0)
    with looking(shared) as look_again:
        flip(file_of(shared.name), parts.entries + 5 * parts.entry + 7, 0xE0)
        assert look_again() == []


def test_a_process_that_goes_on(shared, peer):
    """A process that was stopped at the first look and runs at the second is no finding."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    os.kill(peer.pid, signal.SIGSTOP)
    os.waitpid(peer.pid, os.WUNTRACED)
    with looking(shared) as look_again:
        os.kill(peer.pid, signal.SIGCONT)
        peer("1")
        assert look_again() == []


def test_blocks_that_leave_transit(shared, file_of, monkeypatch):
    """Blocks that are in transit at both looks, and then no more, are no finding; those that stay are."""
    monkeypatch.setattr(facts, "_TRANSIT_SECONDS_UNEXPLAINED", 0.5)
    with half_allocated(shared, file_of(shared.name)):
        finding = of_code(diagnose(shared.name), "in-transit")
        assert "no process of the pool is seen to be stopped or dead" in finding.sentence
        assert str(os.getpid()) in finding.remedy
        monkeypatch.setattr(facts, "_TRANSIT_SECONDS_UNEXPLAINED", 60.0)
        looked, seen, in_transit = [], threading.Event(), facts._in_transit

        def watched(*arguments):
            seen.set()
            return in_transit(*arguments)

        monkeypatch.setattr(facts, "_in_transit", watched)
        looker = threading.Thread(target=lambda: looked.append(diagnose(shared.name)))
        looker.start()
        assert seen.wait(60)
    looker.join(120)
    assert looked == [[]]
    assert shared.check().allocated == 0
