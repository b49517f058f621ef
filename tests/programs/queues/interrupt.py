"""Wait in the way that the argument names, and be interrupted by Ctrl-C; nothing is left behind.

Prints how many seconds of CPU the wait took, which went on for a second before.
"""

import os
import signal
import sys
import threading
import time

import blockpool as bp
from blockpool._core import room_used

pool = bp.Pool.create("4KiB", 4, queue_room="8KiB")
empty, full, crowded = pool.queue(), pool.queue(capacity=1), pool.queue(capacity=100)
redelivering = pool.queue(redeliver=True)
full.put(0)
redelivering.put(0)
block = pool.allocate()
topic, latest = pool.topic(history=1), pool.latest()
reader = topic.subscribe(wait=True)
topic.publish(0)
late = topic.subscribe(start="now")
waits = {
    "get": empty.get,
    "get_timeout": lambda: empty.get(timeout=1000),
    "receive": empty.receive,
    "iterate": lambda: next(iter(empty)),
    "put": lambda: full.put(block),
    "put_timeout": lambda: full.put([block], timeout=1000),
    "put_without_room": lambda: crowded.put(bytes(2000)),
    "put_a_copy": lambda: empty.put(bytes(4 * 4096)),
    "join": redelivering.join,
    "read": late.get,
    "iterate_topic": lambda: next(late),
    "publish": lambda: topic.publish([block], timeout=1000),
    "wait_for_a_value": latest.wait,
}
wait = waits[sys.argv[1]]
if wait is waits["put_without_room"]:
    while True:
        try:
            crowded.put(bytes(1000), timeout=0)
        except bp.PoolExhausted:
            break
before = room_used(empty), pool.stats().allocated
began = time.process_time()
try:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    wait()
except KeyboardInterrupt:
    print(time.process_time() - began)
assert (room_used(empty), pool.stats().allocated) == before
