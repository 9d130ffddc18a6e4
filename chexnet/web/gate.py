"""Rules for every request: hosts, origins, the token, security headers, metrics and early refusals."""

import hmac
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chexnet._types import LogFn
from chexnet.web import problems
from chexnet.web.problems import Problem
from chexnet.web.server_config import ServerConfig
from chexnet.web.server_metrics import ServerMetrics

LINGER_SECONDS = 5.0
"""Time for which the rest of a refused upload is read and discarded, so that the client can read the response."""

SECURITY_HEADERS = {
    # The page loads files of this server only, and no other page can embed or query it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

CLIENT_CLOSED = 499
"""Status in the metrics of a request whose client closed the connection."""


class Gate:
    """An ASGI application around another one.

    Args:
        app: the other application.
        config: hosts and token.
        metrics: receives every request.
        open_routes: paths that need no token.
        api_routes: paths that need the token, if there is one.
        closing: returns True when the server ends.
        log: receives one line about each fault of this program, without what the request contained.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: ServerConfig,
        metrics: ServerMetrics,
        open_routes: Collection[str],
        api_routes: Collection[str],
        closing: Callable[[], bool],
        log: LogFn,
    ) -> None:
        self._app, self._config, self._metrics = app, config, metrics
        self._api_routes, self._routes = api_routes, {*open_routes, *api_routes}
        self._closing, self._log = closing, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        exchange = _Exchange(scope, receive, send, self._closing)
        try:
            await self._answer(scope, exchange)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._metrics.observe_request(
                scope["method"], route, exchange.status or CLIENT_CLOSED, time.monotonic() - started
            )

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            self._check(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass
        except HTTPException as error:
            allow = ", ".join(sorted({*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"} - {""}))
            if error.status_code == 404:
                await self._refuse(Problem(404, "not_found", "not found; see /openapi.json"), scope, exchange)
            elif scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"Allow": allow})(scope, exchange.receive, exchange.send)
            else:
                problem = Problem(405, "method_not_allowed", f"expected {allow}", {"Allow": allow})
                await self._refuse(problem, scope, exchange)
        except Problem as problem:
            await self._refuse(problem, scope, exchange)
        except Exception as error:
            self._log(f"warning: a fault of the server: {_place(error)}")
            if exchange.status:
                raise  # a part of the response is sent
            await self._refuse(problems.internal_error(), scope, exchange)

    async def _refuse(self, problem: Problem, scope: Scope, exchange: "_Exchange") -> None:
        self._metrics.refusals.labels(problem.code).inc()
        await problem.response()(scope, exchange.receive, exchange.send)

    def _check(self, scope: Scope) -> None:
        """Raise Problem for requests to another host, from another page, or without the token."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._config.accepts_host(host):
            detail = "the Host header does not name this server; --allowed_host adds names"
            raise Problem(403, "foreign_host", detail)
        origin = headers.get("origin")
        if origin is not None and _authority(origin) != host.lower():
            raise Problem(403, "cross_origin", "cross-origin requests are not allowed")
        # Browsers send no Origin with some requests of other pages. Following a link to the page is allowed.
        navigation = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not navigation:
            raise Problem(403, "cross_origin", "cross-origin requests are not allowed")
        if self._config.token and scope["path"] in self._api_routes:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            matches = hmac.compare_digest(token.strip().encode("latin-1"), self._config.token.encode())
            if scheme.lower() != "bearer" or not matches:
                raise problems.unauthorized()


class _Exchange:
    """The messages of one request and its response.

    Attributes:
        status: status of the response, 0 if it has not begun.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, closing: Callable[[], bool]) -> None:
        headers = Headers(scope=scope)
        self.status = 0
        self._receive, self._send, self._closing = receive, send, closing
        # Without these headers, a request has no body.
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._expects_continue = "expect" in headers

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response, with the security headers; close the connection of an unfinished upload."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self._unread:
                headers["Connection"] = "close"
            await self._send(message)
            return
        last = not message.get("more_body", False)
        if not last or not self._unread or self._expects_continue:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        with suppress(TimeoutError), anyio.fail_after(LINGER_SECONDS):
            while self._unread and not self._closing():
                await self.receive()


def _authority(origin: str) -> str | None:
    """Return host and port of an origin such as `http://localhost:8000`."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _place(error: BaseException) -> str:
    """Return the type of an exception and where it was raised. Its message may contain parts of the request."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else sys.executable
    return f"{type(error).__name__} at {place}"
