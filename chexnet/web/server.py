"""The server of the page: for one person at this machine, on the standard library's `http.server`."""

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chexnet.errors import InputError
from chexnet.web.service import InferenceService

MAX_BYTES = 200 * 2**20
"""Of an image file."""

LOOPBACK = ("127.0.0.1", "localhost")

_HERE = Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    # Nothing but this server's own files; nobody else's page shows or asks this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def serve(looks: InferenceService, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted; the image that is looked at then is finished first.

    Args:
        looks: what it asks.
        host: address to listen on; 127.0.0.1 is heard on this machine only.
        port: to listen on, 0 for any that is free.
        ready: is told the page's address when it can be opened.

    Raises:
        InputError: it cannot listen there.
    """
    try:
        server = _Server((host, port), looks)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: cannot be listened on: {reason}; try --port 0") from error
    with server:
        try:
            ready(f"http://{host}:{server.server_address[1]}/")
            server.serve_forever()
        except KeyboardInterrupt:
            pass  # how it is meant to end
        finally:
            looks.close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = os.name != "nt"  # Windows would let two servers have one port

    def __init__(self, address: tuple[str, int], looks: InferenceService) -> None:
        self.looks = looks
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remembers the connection."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forgets the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keeps silent about a visitor who has gone and a connection that the ending server has closed already.

        Anything else is a bug and keeps its traceback.
        """
        if not isinstance(sys.exc_info()[1], ConnectionError) and request.fileno() != -1:
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Lets every connection get its answer, hears no more from any, and waits for their threads."""
        for one in list(self._connections):
            with suppress(OSError):  # it is closed already
                one.shutdown(socket.SHUT_RD)
        super().server_close()


class _Refusal(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "CheXNet", ""
    server: _Server
    timeout = 60  # seconds without a byte, then the connection is closed

    def do_GET(self) -> None:
        """The page's files, what it says of the network, and pictures."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """An image to look at."""
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        """The library never prints."""

    def _get(self) -> tuple[str, bytes]:
        address = urlsplit(self.path)
        if address.path in _FILES:
            name, kind = _FILES[address.path]
            return kind, (_HERE / name).read_bytes()
        if address.path == "/about":
            return _json({**self.server.looks.info(), "max_bytes": MAX_BYTES})
        if address.path != "/picture":
            raise _Refusal(404, f"{address.path}: there is no such thing here")
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        finding = asked.get("finding")
        try:
            return "image/png", self.server.looks.render(asked["image"], None if finding is None else int(finding))
        except (KeyError, ValueError):
            raise _Refusal(404, "there is no such picture any more; choose the image again") from None

    def _post(self) -> tuple[str, bytes]:
        if self.path != "/predict":
            raise _Refusal(404, f"{self.path}: there is no such thing here")
        length = self.headers["Content-Length"] or ""
        if not (length.isascii() and length.isdigit()):
            raise _Refusal(411, "the length of the image is not said")
        if int(length) > MAX_BYTES:
            raise _Refusal(413, f"the image has {int(length):,} bytes, expected at most {MAX_BYTES:,}")
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise _Refusal(400, "the image did not come whole")
        try:
            return _json(self.server.looks.predict(content))
        except InputError as error:
            raise _Refusal(422, str(error)) from error

    def _answer(self, find: Callable[[], tuple[str, bytes]]) -> None:
        status = 200
        try:
            self._check_origin()
            kind, body = find()
        except _Refusal as refusal:
            status, (kind, body) = refusal.status, _json({"error": str(refusal)})
            self.close_connection = status != 422  # of an image that was not read the bytes still come
        try:
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # whoever asked has gone

    def _check_origin(self) -> None:
        """Keeps other pages in the same browser out, also those that have their name stand for this machine."""
        host = self.headers["Host"] or ""
        if self.server.server_address[0] in LOOPBACK and host.partition(":")[0] not in LOOPBACK:
            raise _Refusal(403, f"asked for as {host!r}, expected {' or '.join(LOOPBACK)}")
        if self.headers["Origin"] not in (None, f"http://{host}"):
            raise _Refusal(403, "asked by another page")


def _json(facts: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(facts).encode()
