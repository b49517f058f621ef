"""A server on asyncio: messages go from the socket straight into shared memory, where worker processes parse them.

    python examples/async_server.py

A message is its length in four bytes, and then lines such as ``Oslo;-3.5``: a place and a temperature. The answer is
the number of lines and their highest temperature. The server receives a message into a block of a shared pool and hands
the block to a worker, which parses it in place. Only a ticket of about a hundred bytes is sent to the worker. While all
blocks are in use, the server receives nothing, and TCP makes the clients wait; nothing piles up.

Clients in the same program send over several connections at once, and compare each answer with their own.
"""

import asyncio
import multiprocessing
import random
import re
import socket
import struct
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor

import blockpool

BLOCK_BYTES = 64 * 1024
BLOCKS = 4
WORKERS = 2
CONNECTIONS = 8
MESSAGES = 25  # per connection
LENGTH = struct.Struct("!I")
ANSWER = struct.Struct("!Id")
LINE = re.compile(rb"[^;\n]*;(-?\d+\.\d)\n")
PLACES = ("Oslo", "Quito", "Perth", "Nuuk")


# --- in the workers ---


def begin(pool: blockpool.Pool) -> None:
    """Keep the pool attached; otherwise the worker would detach after each message and attach for the next."""
    globals()["kept"] = pool


def parse(block: blockpool.Block) -> tuple[int, float]:
    """Parse a message in its block."""
    try:
        return summary(block.buf)
    finally:
        block.release()


def summary(message: bytes | memoryview) -> tuple[int, float]:
    """Return the number of lines and the highest temperature. A regular expression searches any memory in place."""
    temperatures = [float(line[1]) for line in LINE.finditer(message)]
    return len(temperatures), max(temperatures)


# --- the server ---


async def receive_into(sock: socket.socket, memory: memoryview) -> bool:
    """Fill the memory from the socket; return whether the client sent that much."""
    while memory:
        count = await asyncio.get_running_loop().sock_recv_into(sock, memory)
        if count == 0:
            return False
        memory = memory[count:]
    return True


async def converse(sock: socket.socket, pool: blockpool.Pool, workers: Executor) -> None:
    """Answer the messages of one client until it closes the connection."""
    loop = asyncio.get_running_loop()
    head = bytearray(LENGTH.size)
    with sock:
        while await receive_into(sock, memoryview(head)):
            (length,) = LENGTH.unpack(head)
            if not 0 < length <= BLOCK_BYTES:
                return  # a client that sends this cannot be served
            block = await pool.allocate_async(nbytes=length)
            try:
                if not await receive_into(sock, block.buf):
                    return
                answer = await loop.run_in_executor(workers, parse, block)
            finally:
                block.release()  # not `with`: the executor may refer to the block for a moment longer
            await loop.sock_sendall(sock, ANSWER.pack(*answer))


async def serve(listener: socket.socket, pool: blockpool.Pool, workers: Executor) -> None:
    """Accept clients until cancelled."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as clients:
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.settimeout(0)
            clients.create_task(converse(sock, pool, workers))


# --- the clients ---


def message(chance: random.Random) -> bytes:
    """Make up a message."""
    lines = chance.randrange(500, 4000)
    return b"".join(f"{chance.choice(PLACES)};{chance.uniform(-60, 60):.1f}\n".encode() for _ in range(lines))


async def ask(port: int, seed: int) -> tuple[int, int]:
    """Send messages over a connection; return their size in bytes, and how many answers were right."""
    chance = random.Random(seed)
    total = right = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(MESSAGES):
        text = message(chance)
        writer.write(LENGTH.pack(len(text)) + text)
        answer = await reader.readexactly(ANSWER.size)
        total += len(text)
        right += ANSWER.unpack(answer) == summary(text)
    writer.close()
    await writer.wait_closed()
    return total, right


async def run(pool: blockpool.Pool, workers: Executor) -> bool:
    """Start the server, run the clients, stop the server; return whether everything went well."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        server = asyncio.create_task(serve(listener, pool, workers))
        start = time.perf_counter()
        port = listener.getsockname()[1]
        results = await asyncio.gather(*(ask(port, seed) for seed in range(CONNECTIONS)))
        seconds = time.perf_counter() - start
        server.cancel()
        await asyncio.wait([server])
    sent, total = CONNECTIONS * MESSAGES, sum(total for total, _ in results)
    right = sum(right for _, right in results)
    print(f"{sent} messages of {total} bytes over {CONNECTIONS} connections in {seconds:.1f} s")
    print(f"{right} right answers from {WORKERS} workers")
    return right == sent


def main() -> int:
    """Return 0 if every answer was right and every block is back."""
    pool = blockpool.Pool.create(BLOCK_BYTES, BLOCKS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, spawn, initializer=begin, initargs=(pool,)) as workers:
        well = asyncio.run(run(pool, workers))
    stats = pool.stats()
    print(f"{stats.free} of {stats.blocks} blocks free, after {stats.allocations} allocations")
    return 0 if well and stats.free == stats.blocks else 1


if __name__ == "__main__":
    sys.exit(main())
