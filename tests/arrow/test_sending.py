"""Arrow tables that lie in a pool: queues, put() and multiprocessing send them without another copy."""

import multiprocessing

import pyarrow as pa
import pytest

import blockpool as bp
from blockpool import arrow
from memory import is_in, spans_of
from transfers import carry, send


def table_of(rows=5000):
    """Return a table with strings, a dictionary, lists and null values, in two chunks."""
    half = pa.table(
        {
            "number": pa.array(range(rows)),
            "text": pa.array([None if row % 7 == 0 else f"text {row}" for row in range(rows)]),
            "kind": pa.array(["a", "b"] * (rows // 2)).dictionary_encode(),
            "parts": pa.array([[row, row] for row in range(rows)]),
            "view": pa.array(["a text that is longer than twelve bytes"] * rows, pa.string_view()),
        }
    )
    return pa.concat_tables([half, half.slice(rows // 2)])


def table_in(pool):
    """Return a table that lies in the pool. It is no fixture, as pytest would keep it to the end."""
    return arrow.to_pool(table_of(), pool)


@pytest.mark.parametrize("way", ["queue", "put", "pipe"])
@pytest.mark.parametrize("what", ["table", "slice", "column", "batch", "chunk", "within"])
def test_sent_in_place(pool, way, what, carried):
    """Tables, and what shows a part of them, arrive with the same memory, and nothing is copied."""
    table = table_in(pool)
    data = {
        "table": table,
        "slice": table.slice(4000, 2000).select(["text", "kind"]),
        "column": table["text"],
        "batch": table.to_batches()[0],
        "chunk": table["parts"].chunk(1)[5:50],
        "within": {"table": [table]},
    }[what]
    run = pool.runs()[0]
    got = send(data, pool, way)
    inner = (got["table"][0], table) if what == "within" else (got, data)
    assert inner[0].equals(inner[1])
    assert type(inner[0]) is type(inner[1])
    large = [span for span in spans_of(inner[1]) if span[1] >= 4096]
    assert [span for span in spans_of(inner[0]) if span[1] >= 4096] == large
    assert [(each.index, each.nbytes) for each in pool.runs() if each.nbytes > 20_000] == [(run.index, run.nbytes)]
    assert carried()[1:] == (0, 0)
    assert pool.stats().tickets == 0


@pytest.mark.parametrize("way", ["queue", "put"])
def test_one_reference_for_all_buffers(pool, way):
    """However many buffers of a run a table has, a message takes one reference to that run."""
    table = table_in(pool)
    assert len(spans_of(table)) > 20
    if way == "put":
        ticket = bp.put(table, pool)
        assert pool.runs()[0].tickets == 1
        bp.get(ticket)
        return
    queue = pool.queue()
    for _ in range(3):
        queue.put(table)
    assert [len(queue.get()) for _ in range(3)] == [len(table)] * 3
    queue.close()


def test_results_that_share_memory(pool, carried):
    """What Arrow computes without a copy, such as a selection of columns, is sent without one too."""
    table = table_in(pool)
    renamed = table.rename_columns([name.upper() for name in table.column_names]).drop_columns(["PARTS"])
    got = carry(renamed)
    assert got.equals(renamed)
    assert carried()[1:] == (0, 0)
    more = renamed.append_column("MORE", pa.array(range(len(renamed))))
    assert carry(more).equals(more)
    assert carried()[1:] == (0, 0)  # below the threshold of install(): part of the pickle


def test_outside_a_pool(pool):
    """A table that is not in the pool goes through a queue of it, and put(), with one copy into one run."""
    table = table_of()
    for way in ("queue", "put"):
        got = send(table, pool, way)
        assert got.equals(table)
        assert len([run for run in pool.runs() if run.nbytes > 20_000]) == 1
        del got


def test_the_memory_outlives_all_others(pool):
    """A column of a received table keeps the memory, though the table and its sender's are gone."""
    table = table_in(pool)
    column = bp.get(bp.put(table, pool))["text"]
    before = column.to_pylist()
    del table
    assert pool.stats().allocated > 0
    assert column.to_pylist() == before


def answer(connection):
    """Receive a table and send back its columns that hold text."""
    table = connection.recv()
    connection.send((len(table), table.select(["text"])))
    connection.close()


def test_there_and_back(pool, carried):
    """A table goes to another process and a part of it comes back, all in the same memory."""
    table = table_in(pool)
    here, there = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=answer, args=(there,))
    process.start()
    there.close()
    here.send(table)
    rows, part = here.recv()
    process.join(60)
    assert process.exitcode == 0
    assert rows == len(table)
    assert is_in(part["text"].combine_chunks() and part, pool)
    assert spans_of(part) == spans_of(table.select(["text"]))
    assert carried()[1:] == (0, 0)


def test_pickled_and_never_loaded(pool):
    """A table that was put, or queued, and that nobody takes leaves nothing in the pool."""
    table = table_in(pool)
    queue = pool.queue()
    queue.put(table)
    bp.put(table, pool)
    queue.close()
    del table, queue
    pool.recover(tickets_older_than=0)
