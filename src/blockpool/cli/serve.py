"""`blockpool serve`: the web page of pools."""

from __future__ import annotations

import socket
from math import isnan
from typing import TYPE_CHECKING

import click

from blockpool._extras import install_command

if TYPE_CHECKING:
    from blockpool.web.server import Settings

__all__ = ["serve"]

# What the command needs: the extra `web`, and what that brings.
_MODULES = {"starlette", "uvicorn", "prometheus_client", "anyio", "h11"}

# How much the kernel keeps of what a slow page has not read. With more, it would show what is long past.
_SEND_BUFFER = 1 << 18

_WARNING = (
    "blockpool: warning: every computer that reaches this port sees the pools of this user, and the page lets it "
    "recover and sweep them"
)

_USAGE = 2


class _Fault(click.ClickException):
    """The server cannot start as it was told to."""

    exit_code = _USAGE


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="On which port; 0 takes one that is free.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Answer requests for this name too, such as that of a proxy. May be given several times.",
)
@click.option(
    "--rate",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 10),
    help="The most updates a second that a page gets.",
)
def serve(host: str, port: int, allowed: tuple[str, ...], rate: float) -> None:
    """Show pools in a web browser, live, with metrics for Prometheus at /metrics.

    Nothing is sampled while no page is open. Ctrl-C ends it.
    """
    if isnan(rate):
        raise click.UsageError("--rate=nan is not a number of updates a second")
    try:
        from blockpool.web import server
        from blockpool.web.guard import is_loopback
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODULES:
            raise
        raise _Fault(f"serve needs {missing}; install what it needs with: {install_command('web')}") from None
    with _listen(host, port) as listening:
        address, number = listening.getsockname()[:2]
        wildcard = address in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound to
        settings: Settings = server.Settings(hosts=(host, address, *allowed), any_address=wildcard, rate=rate)

        def say_where() -> None:
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"http://{shown}:{number}/  (Ctrl-C ends it)")
            if not is_loopback(address):
                click.echo(_WARNING, err=True)

        server.serve(listening, settings, say_where)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise _Fault(f"--host {host!r} is no address of this machine: {error}") from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listening.bind(where)
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise _Fault(f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port") from None
    return listening
