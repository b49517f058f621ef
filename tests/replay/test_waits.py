"""Replays in which requests wait: compared with a model of threads around a real pool, and worked out by hand."""

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from blockpool.replay import Plan, simulate
from blockpool.traces.form import ALLOCATE, FREE
from replays import random_events, trace_of

NANOSECOND = 1e-9


class Model:
    """Threads that wait for a pool of one chunk, where all begin to search at the same place."""

    def __init__(self, plan, wait):
        self.pool = bp.Pool(plan.block_size, plan.blocks, debug=False)
        self.wait = wait
        self.now = 0
        self.blocks = {}  # by id: a block, or None if it was refused
        self.undone = {}  # by id: the thread in which the allocation waits, or is behind one that does
        self.line = []  # of (thread, event, since)
        self.behind = {}  # by thread: the events behind the one that waits
        self.allocations = self.failures = self.waits = self.waited = self.live = self.peak = 0

    def allocate(self, event):
        """Try an allocation, and return whether that was the end of it."""
        _, number, size, *_ = event
        try:
            self.blocks[number] = self.pool.allocate(nbytes=max(size, 1))
        except bp.PoolExhausted:
            return False
        self.undone.pop(number, None)
        self.allocations += 1
        self.live += size
        self.peak = max(self.peak, self.live)
        return True

    def refuse(self, event):
        """Refuse a request."""
        self.blocks[event[1]] = None
        self.undone.pop(event[1], None)
        self.failures += 1

    def leave_the_line(self, entry):
        """Count the wait that is over; return the thread, which may go on."""
        self.line.remove(entry)
        self.waits += 1
        self.waited += self.now - entry[2]
        return entry[0]

    def run(self, thread, event):
        """Run an event, or put it where it must wait; return the threads that may go on because of it."""
        kind, number, size, *_ = event
        if thread in self.behind:
            self.behind[thread].append(event)
            if kind == ALLOCATE:
                self.undone[number] = thread
        elif kind == ALLOCATE:
            if not self.allocate(event):
                if -(-size // self.pool.block_size) > self.pool.blocks:
                    self.refuse(event)
                else:
                    self.line.append((thread, event, self.now))
                    self.behind[thread] = deque()
                    self.undone[number] = thread
        elif number in self.undone:
            self.behind[self.undone[number]].append(event)
        elif (block := self.blocks.pop(number)) is not None:
            block.free()
            self.live -= size
            return [self.leave_the_line(entry) for entry in list(self.line) if self.allocate(entry[1])]
        return []

    def go_on(self, threads):
        """Let threads run what was behind their request, in turn."""
        ready = deque(threads)
        while ready:
            thread = ready.popleft()
            events = self.behind[thread]
            while events:
                event = events.popleft()
                del self.behind[thread]
                ready += self.run(event[3] if event[0] == ALLOCATE else thread, event)
                if thread in self.behind:  # it waits again
                    self.behind[thread] += events
                    break
                self.behind[thread] = events
            else:
                del self.behind[thread]

    def replay(self, events):
        """Let all events go by."""
        for event in events:
            while self.line and self.line[0][2] + self.wait < event[4]:
                self.now = self.line[0][2] + self.wait
                self.refuse(self.line[0][1])
                self.go_on([self.leave_the_line(self.line[0])])
            self.now = event[4]
            self.go_on(self.run(event[3], event))
        while self.line:
            self.refuse(self.line[0][1])
            self.go_on([self.leave_the_line(self.line[0])])
        return self


@given(
    seed=st.integers(0, 2**32),
    blocks=st.sampled_from([2, 20, 64, 130, 300]),
    wait=st.sampled_from([1, 20, 200, 10**9]),
    threads=st.sampled_from([1, 2, 5, 20]),
    crossing=st.sampled_from([0, 0.2, 1]),
)
def test_waits_are_those_of_a_model(seed, blocks, wait, threads, crossing):
    """Waits, refusals and peaks are those of threads of a simple model that wait for a real pool."""
    events = random_events(seed, largest=64 * 30, threads=threads, crossing=crossing)
    model = Model(Plan(64, blocks), wait).replay(events)
    found = simulate(trace_of(events, threads), [Plan(64, blocks)], wait=wait * NANOSECOND)
    assert (found.allocations, found.failures, found.waits) == (model.allocations, model.failures, model.waits)
    assert round(found.waited / NANOSECOND) == model.waited
    assert found.peak_bytes == model.peak
    assert found.peak_blocks == (model.pool.stats().peak,)


def test_the_model_is_put_to_the_test():
    """Among such random events there are waits that end well, and some that do not."""
    events = random_events(1, largest=64 * 30, threads=5, crossing=0.2)
    found = simulate(trace_of(events, 5), [Plan(64, 130)], wait=200 * NANOSECOND)
    assert found.waits > found.failures > 0


def test_a_request_that_waits_is_served_by_a_free():
    """A request that finds no room is served by the free of another thread, and counts how long it waited."""
    events = [(ALLOCATE, 0, 8, 0, 0), (ALLOCATE, 1, 8, 1, 100), (FREE, 0, 8, 0, 400), (FREE, 1, 8, 1, 500)]
    trace = trace_of(events, 2)
    assert simulate(trace, [Plan(8, 1)]).failures == 1
    found = simulate(trace, [Plan(8, 1)], wait=1)
    assert (found.allocations, found.failures, found.waits) == (2, 0, 1)
    assert found.waited == pytest.approx(300 * NANOSECOND)


def test_each_pool_serves_its_own():
    """A free in one pool serves nothing that waits for another."""
    events = [(ALLOCATE, 0, 8, 0, 0), (ALLOCATE, 1, 99, 0, 0), (ALLOCATE, 2, 99, 1, 1), (FREE, 0, 8, 0, 2)]
    plans = [Plan(8, 1, 0, 8), Plan(104, 1, 8)]
    assert simulate(trace_of(events, 2), plans, wait=1).failures == 1
    found = simulate(trace_of([*events, (FREE, 1, 99, 0, 5)], 2), plans, wait=1)
    assert (found.failures, found.waits) == (0, 1)


def test_all_threads_wait():
    """Threads that wait for each other are refused when the trace has ended, and go on."""
    events = [(ALLOCATE, 0, 8, 0, 0), (ALLOCATE, 1, 8, 1, 0), (ALLOCATE, 2, 8, 0, 1), (ALLOCATE, 3, 8, 1, 2)]
    events += [(FREE, 0, 8, 0, 3), (FREE, 1, 8, 1, 4)]
    found = simulate(trace_of(events, 2), [Plan(8, 2)], wait=float("inf"))
    assert (found.allocations, found.failures, found.waits) == (3, 1, 2)


def test_a_wait_is_the_same_each_time():
    """Waits depend on the trace alone."""
    trace = trace_of(random_events(4, threads=7, crossing=0.5), 7)
    first, second = (replace(simulate(trace, [Plan(64, 60)], wait=5e-8), seconds=0) for _ in range(2))
    assert first == second
    assert first.waits
