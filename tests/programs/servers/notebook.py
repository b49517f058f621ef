"""Run a cell in a kernel, show its pool, kill the kernel, and run the cell again in the next one.

The argument is the file that has the cell.
"""

import sys
from pathlib import Path

from jupyter_client.manager import KernelManager


def run(client, code):
    """Run a cell, and return what it prints and what it shows as HTML."""
    printed, shown = [], []

    def hear(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] == "execute_result":
            shown.append(content["data"].get("text/html", ""))

    reply = client.execute_interactive(code, timeout=60, output_hook=hear)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed).strip(), "".join(shown)


def main(cell):
    """Run it twice."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    try:
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        print(run(client, cell)[0])
        print(run(client, "pool")[1].replace("\n", " "))
        manager.restart_kernel(now=True)  # with SIGKILL
        client.wait_for_ready(timeout=60)
        print(run(client, cell)[0])
        print(run(client, "print(int(features.sum()))")[0])
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"))
