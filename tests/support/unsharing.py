"""PID namespaces of their own for programs that a test starts."""

import os


def unshare(*options):
    """Return the start of a command whose rest runs as process 1 of a new PID namespace, and ends with its parent."""
    command = ["unshare", "--fork", "--pid", "--kill-child"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    return [*command, *options]
