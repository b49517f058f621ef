"""Who may ask what: each request is checked before anything answers it.

A web site that somebody visits can have the browser send requests to a server on the same machine. Three checks keep
it from reading or changing anything:

- The header Host must name this server. A site that lets its own name point to this machine (DNS rebinding) is refused.
- The header Origin, where a browser sends one, must be this server's. Other sites are refused.
- A request that changes something must have the token, which only the server's own page has.

Pages of other sites cannot read answers either, for no answer allows it.
"""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from blockpool.report.json import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "TOKEN_HEADER", "Guard", "is_loopback", "refusal"]

TOKEN_HEADER = "X-Blockpool-Token"  # noqa: S105 - the header's name
LOOPBACK = ("localhost", "127.0.0.1", "::1")

MOST_BODY = 1 << 16

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


def is_loopback(host: str) -> bool:
    """Return whether that name or address is one that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def refusal(status: int, error: str, message: str) -> JSONResponse:
    """Return an answer that says why there is none."""
    return JSONResponse({"schema": SCHEMA, "kind": "error", "error": error, "message": message}, status)


def _host_of(header: str) -> str | None:
    """Return the name or address in a header Host, in lower case and without the port; None if it is none."""
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment or not parts.hostname:
        return None
    if header.rpartition("]")[2].partition(":")[0] and "]" in header:  # urlsplit leaves out what follows an address
        return None
    return parts.hostname


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """Refuses requests, and adds the security headers to all answers; an ASGI middleware.

    Parameters
    ----------
    app : ASGI application
        What answers the others.
    hosts : collection of str
        Names and addresses that the header Host may have, besides those of loopback.
    any_address : bool
        Whether it may be any IP address. An address cannot be pointed elsewhere as a name can.
    token : str
        What requests that change something must have.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], any_address: bool, token: str) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*LOOPBACK, *hosts)}
        self._any_address = any_address
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self.why_refused(scope["method"], Headers(scope=scope))
        await (self._app if refused is None else refused)(scope, receive, with_headers)

    def why_refused(self, method: str, headers: Headers) -> JSONResponse | None:
        """Return the answer to a request that is refused; None if it is not."""
        refused = self._wrong_host(headers) or self._wrong_origin(headers)
        if refused is not None or method in {"GET", "HEAD"}:
            return refused
        return self._wrong_token(headers) or self._too_large(headers)

    def _wrong_host(self, headers: Headers) -> JSONResponse | None:
        hosts = headers.getlist("host")
        host = _host_of(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return refusal(400, "BadHost", "the request has no valid header Host")
        if host in self._hosts or (self._any_address and _is_address(host)):
            return None
        return refusal(
            403,
            "ForeignHost",
            f"this server does not answer for the host {host[:100]!r}; "
            "if it is really its name, start it with --allow-host",
        )

    def _wrong_origin(self, headers: Headers) -> JSONResponse | None:
        host = headers["host"].lower()
        for origin in headers.getlist("origin"):
            if origin.lower() not in {f"http://{host}", f"https://{host}"}:
                return refusal(403, "ForeignOrigin", f"this server answers no pages of {origin[:100]!r}")
        return None

    def _wrong_token(self, headers: Headers) -> JSONResponse | None:
        if secrets.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token):
            return None
        return refusal(
            403,
            "WrongToken",
            f"a request that changes something needs the header {TOKEN_HEADER} with the token of this server; "
            "reload the page if the server was started again",
        )

    def _too_large(self, headers: Headers) -> JSONResponse | None:
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length[:20]) <= MOST_BODY:
            return None
        return refusal(413, "TooLarge", f"the body of a request has at most {MOST_BODY} bytes")
