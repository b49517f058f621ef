"""The server: which request gets which answer.

`create_app` makes the application, `serve` runs it on a socket until it is interrupted. What the answers are made of is
in `blockpool.observe`; here it only becomes JSON. docs/reference/web-api.md and `openapi` describe them.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import math
import re
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import blockpool
from blockpool.doctor import diagnose, healthy
from blockpool.errors import (
    BlockPoolError,
    PoolCorrupt,
    PoolForbidden,
    PoolNotFound,
    PoolVersion,
)
from blockpool.observe import snapshot
from blockpool.report.documents import Diagnosed, ListedPools, ListedRuns
from blockpool.report.json import SCHEMA, plain
from blockpool.web.actions import find, recover_pool, sweep_pools
from blockpool.web.encode import map_data, snapshot_data
from blockpool.web.feed import Feeds, Page
from blockpool.web.guard import MOST_BODY, Guard, refusal
from blockpool.web.openapi import description
from blockpool.web.shortly import Shortly

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

__all__ = ["Settings", "create_app", "serve"]

MOST_RATE = 10.0
_LEAST_RATE = 0.1
_KEPT_SECONDS = 0.5  # how old lists of pools and runs and what the doctor says may be, at least
_MOST_CELLS = 1 << 16
_MOST_RUNS = 10_000

# A number as an API has it; `int` also takes spaces, underscores and the digits of other scripts.
_WHOLE = re.compile(r"-?[0-9]{1,20}")

_STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server is to be.

    Attributes
    ----------
    hosts : tuple of str
        Names and addresses that the header Host of a request may have, besides those of loopback.
    any_address : bool
        Whether it may be any IP address; for a server that is bound to all addresses.
    token : str
        What requests that change something must have; random unless given.
    rate : float
        The most updates a second that a page gets.
    static : Path
        Where the page's files are.
    """

    hosts: tuple[str, ...] = ()
    any_address: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    rate: float = MOST_RATE
    static: Path = _STATIC


# --- what comes with a request ---


def _number(request: Request, name: str, default: int | None, least: int, most: int) -> int | None:
    """Return a whole number of the query. Raises ValueError if it is none, or too small or large."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if _WHOLE.fullmatch(given) and least <= int(given) <= most:
        return int(given)
    raise ValueError(f"{name}={given[:40]!r} is not a whole number from {least} to {most}")


def _rate(request: Request, most: float) -> float:
    """Return how many updates a second a page wants, but not more than the most that the server gives."""
    given = request.query_params.get("rate")
    if given is None:
        return most
    with contextlib.suppress(ValueError):
        rate = float(given)
        if rate > 0 and math.isfinite(rate):
            return min(max(rate, _LEAST_RATE), most)
    raise ValueError(f"rate={given[:40]!r} is not a number of updates a second")


async def _body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object in the body of a request; empty without a body. Raises ValueError if it is none."""
    data = b""
    try:
        async for part in request.stream():
            data += part
            if len(data) > MOST_BODY:
                raise HTTPException(413)
    except ClientDisconnect:  # nobody reads the answer
        raise HTTPException(400) from None
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - as all that is wrong with a request
    return found


def _seconds(body: Mapping[str, Any]) -> float | None:
    """Return the age of tickets in the body of a request."""
    unknown = set(body) - {"tickets_older_than"}
    if unknown:
        raise ValueError(f"the body has unknown fields: {', '.join(map(repr, sorted(unknown)))[:100]}")
    given = body.get("tickets_older_than")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= sys.float_info.max:
        raise ValueError(f"tickets_older_than must be 0 or more seconds, or null, not {str(given)[:40]!r}")
    return float(given)


def _pools() -> dict[str, Any]:
    listed: dict[str, Any] = plain(ListedPools(time=time.time(), pools=tuple(blockpool.pools())))
    return listed


def _runs(inspector: blockpool.Inspector, most: int, order: Literal["age", "size"]) -> dict[str, Any]:
    survey = inspector.survey(most, order=order)
    listed = ListedRuns(
        name=inspector.name,
        pool_id=inspector.pool_id,
        block_size=inspector.block_size,
        order=order,
        total=survey.runs,
        runs=survey.top,
        processes=tuple(inspector.processes()),
        queues=tuple(inspector.queues()),
    )
    found: dict[str, Any] = plain(listed)
    return found


def _diagnosis(inspector: blockpool.Inspector, name: str) -> dict[str, Any]:
    findings = diagnose(inspector)
    diagnosed: dict[str, Any] = plain(Diagnosed(pool=name, healthy=healthy(findings), findings=tuple(findings)))
    return diagnosed


def _answer(kind: str, **data: object) -> JSONResponse:
    return JSONResponse({"schema": SCHEMA, "kind": kind, **data})


# --- the answers ---


class Events(Response):
    """The updates of a page, until it leaves or the pool vanishes."""

    media_type = "text/event-stream"

    def __init__(self, page: Page) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._page = page

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send events. Where the connection takes no more, this waits, and the page skips what comes meanwhile."""

        async def send_all(page: Page) -> None:
            await send({"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": True})
            async for event in page:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async def wait_until_it_leaves() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        with self._page as page:  # before anything is waited for: the server may be about to end all pages
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            tasks = [asyncio.create_task(send_all(page)), asyncio.create_task(wait_until_it_leaves())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


class _Answers:
    """The answers to requests, one method each. Those that are not coroutines run in threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept = Shortly(_KEPT_SECONDS)
        self.feeds = Feeds()

    def page(self, _: Request) -> Response:
        text = (self._settings.static / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(text.replace("{{token}}", html.escape(self._settings.token)))

    def pools(self, _: Request) -> Response:
        return _answer("pools", **self._kept.get("pools", _pools))

    def pool(self, request: Request) -> Response:
        with find(request.path_params["id"]) as inspector:
            return _answer("snapshot", **snapshot_data(snapshot(inspector)), map=None)

    def map(self, request: Request) -> Response:
        with find(request.path_params["id"]) as inspector:
            cells = _number(request, "cells", 4096, 1, _MOST_CELLS)
            first = _number(request, "first", 0, 0, inspector.blocks - 1)
            assert cells is not None  # noqa: S101 - they have defaults
            assert first is not None  # noqa: S101
            blocks = _number(request, "blocks", None, 1, inspector.blocks - first)
            return _answer("picture", **map_data(inspector.map(cells, first=first, blocks=blocks)))

    def runs(self, request: Request) -> Response:
        order = request.query_params.get("order", "age")
        if order not in {"age", "size"}:
            raise ValueError(f"order={order[:40]!r} is neither 'age' nor 'size'")
        most = _number(request, "most", 100, 0, _MOST_RUNS) or 0
        with find(request.path_params["id"]) as inspector:
            by: Literal["age", "size"] = "size" if order == "size" else "age"
            key = inspector.pool_id, inspector.name, by, most
            return _answer("runs", **self._kept.get(key, lambda: _runs(inspector, most, by)))

    async def history(self, request: Request) -> Response:
        inspector = await run_in_threadpool(find, request.path_params["id"])
        inspector.close()
        return _answer("history", points=plain(self.feeds.history(inspector.pool_id, inspector.name)))

    def doctor(self, request: Request) -> Response:
        with find(request.path_params["id"]) as inspector:
            name = inspector.name or inspector.pool_id
            key = inspector.pool_id, name, "doctor"
            return _answer("doctor", **self._kept.get(key, lambda: _diagnosis(inspector, name)))

    async def events(self, request: Request) -> Response:
        rate = _rate(request, self._settings.rate)
        inspector = await run_in_threadpool(find, request.path_params["id"])
        if self.feeds.closed or request.method == "HEAD":
            inspector.close()
            return refusal(503, "Ending", "the server ends") if self.feeds.closed else Response()
        return Events(self.feeds.page(inspector, rate))

    async def recover(self, request: Request) -> Response:
        seconds = _seconds(await _body(request))
        recovered = await run_in_threadpool(recover_pool, request.path_params["id"], seconds)
        self._kept.forget()
        return _answer("recovered", **plain(recovered))

    async def sweep(self, request: Request) -> Response:
        if await _body(request):
            raise ValueError("sweep takes no arguments")
        swept = await run_in_threadpool(sweep_pools)
        self._kept.forget()
        return _answer("swept", **plain(swept))

    def openapi(self, _: Request) -> Response:
        return JSONResponse(description())

    def metrics(self, request: Request) -> Response:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        from blockpool.metrics import Collector

        registry = CollectorRegistry()
        registry.register(Collector())
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": media_type})

    # --- what went wrong ---

    def failed(self, request: Request, error: Exception) -> Response:
        name, message = type(error).__name__, str(error)
        if isinstance(error, PoolNotFound):
            known = self.feeds.knew(request.path_params.get("id", ""))
            return refusal(410 if known else 404, name, message)
        for kind, status in ((PoolForbidden, 403), (PoolVersion, 409), (PoolCorrupt, 409)):
            if isinstance(error, kind):
                return refusal(status, name, message)
        if isinstance(error, ValueError) and not isinstance(error, BlockPoolError):
            return refusal(422, name, message)
        return refusal(503, name, message)  # busy, too many processes, no memory, no descriptors

    def refused(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
        return refusal(error.status_code, "HTTPException", error.detail)


def create_app(settings: Settings | None = None) -> Starlette:
    """Return the application.

    Parameters
    ----------
    settings : Settings or None
        How it is to be.

    Returns
    -------
    Starlette
        An ASGI application. ``state.feeds`` has what its pages see.
    """
    settings = settings or Settings()
    answers = _Answers(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        answers.feeds.close()

    pool = "/api/pools/{id}"
    app = Starlette(
        routes=[
            Route("/", answers.page),
            Mount("/static", StaticFiles(directory=settings.static, check_dir=False)),
            Route("/api/pools", answers.pools),
            Route(pool, answers.pool),
            Route(f"{pool}/map", answers.map),
            Route(f"{pool}/runs", answers.runs),
            Route(f"{pool}/history", answers.history),
            Route(f"{pool}/doctor", answers.doctor),
            Route(f"{pool}/events", answers.events),
            Route(f"{pool}/recover", answers.recover, methods=["POST"]),
            Route("/api/sweep", answers.sweep, methods=["POST"]),
            Route("/api/openapi.json", answers.openapi),
            Route("/metrics", answers.metrics),
        ],
        middleware=[
            Middleware(Guard, hosts=settings.hosts, any_address=settings.any_address, token=settings.token),
        ],
        exception_handlers={
            HTTPException: answers.refused,
            BlockPoolError: answers.failed,
            ValueError: answers.failed,
            OSError: answers.failed,
            MemoryError: answers.failed,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.feeds = answers.feeds
    return app


class _Server(uvicorn.Server):
    """A server that ends its pages first, so that Ctrl-C need not wait for them."""

    def __init__(self, app: Starlette, ready: Callable[[], object]) -> None:
        self._feeds: Feeds = app.state.feeds
        self._ready = ready
        self.failure: OSError | None = None
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_level="warning",
                ws="none",
                lifespan="on",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=2,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so. If that cannot be said, end in order, as after Ctrl-C."""
        await super().startup(sockets)
        try:
            self._ready()
        except OSError as error:
            self.failure = error
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End pages and connections."""
        self._feeds.close()
        await super().shutdown(sockets)


def serve(listening: socket.socket, settings: Settings, ready: Callable[[], object]) -> None:
    """Answer requests until the process is interrupted (Ctrl-C) or told to end.

    Parameters
    ----------
    listening : socket.socket
        Where they come in; it is closed at the end.
    settings : Settings
        How the server is to be.
    ready : callable
        Called when the server answers. If it raises OSError, the server ends with that.
    """
    server = _Server(create_app(settings), ready)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listening])
    if server.failure is not None:
        raise server.failure
