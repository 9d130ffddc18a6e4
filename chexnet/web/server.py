"""Serve the page to one user on this computer, with the standard library's `http.server`."""

import json
import os
import socket
import sys
import threading
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
"""Maximum size of an uploaded image file."""

LOOPBACK = ("127.0.0.1", "localhost")

_HERE = Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    # The page loads files of this server only, and no other page can embed or query it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def serve(service: InferenceService, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until a KeyboardInterrupt; the current image is predicted first.

    Args:
        service: predicts the images.
        host: address to listen on; 127.0.0.1 accepts connections from this computer only.
        port: port to listen on; 0 picks a free one.
        ready: called with the page's address when the page can be opened.

    Raises:
        InputError: the address or the port cannot be used.
    """
    try:
        server = _Server((host, port), service)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: cannot listen there: {reason}; try --port 0") from error
    with server:
        try:
            ready(f"http://{host}:{server.server_address[1]}/")
            server.serve_forever()
        except KeyboardInterrupt:
            pass  # the normal way to stop
        finally:
            service.close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = os.name != "nt"  # on Windows, it would allow two servers on one port
    block_on_close = False  # `server_close` waits for the threads itself

    def __init__(self, address: tuple[str, int], service: InferenceService) -> None:
        self.service = service
        self._connections: set[socket.socket] = set()
        self._threads_of_requests: list[threading.Thread] = []
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Record the connection, and start a thread for its requests."""
        self._connections.add(request)
        self._threads_of_requests = [thread for thread in self._threads_of_requests if thread.is_alive()]
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address))
        self._threads_of_requests.append(thread)
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Remove the connection from the record."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the client or this server has already closed.

        Any other error is a bug and keeps its traceback.
        """
        if not isinstance(sys.exc_info()[1], ConnectionError) and request.fileno() != -1:
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Stop reading from all connections, and wait for their threads to send the last responses."""
        for connection in list(self._connections):
            with suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RD)
        super().server_close()
        for thread in self._threads_of_requests:
            if thread.ident is not None:  # a signal may have come before the start of the last one
                thread.join()


class _HTTPError(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "CheXNet", ""
    server: _Server
    timeout = 60  # seconds without a byte, then the connection is closed

    def do_GET(self) -> None:
        """Send a file of the page, the description of the network, or a picture."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Predict an uploaded image."""
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def _get(self) -> tuple[str, bytes]:
        address = urlsplit(self.path)
        if address.path in _FILES:
            name, content_type = _FILES[address.path]
            return content_type, (_HERE / name).read_bytes()
        if address.path == "/about":
            return _json({**self.server.service.info(), "max_bytes": MAX_BYTES})
        if address.path != "/picture":
            raise _HTTPError(404, f"{address.path}: not found")
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        finding = query.get("finding")
        try:
            return "image/png", self.server.service.render(query["image"], None if finding is None else int(finding))
        except (KeyError, ValueError):
            raise _HTTPError(404, "the picture is no longer available; choose the image again") from None

    def _post(self) -> tuple[str, bytes]:
        if self.path != "/predict":
            raise _HTTPError(404, f"{self.path}: not found")
        length = self.headers["Content-Length"] or ""
        if not (length.isascii() and length.isdigit()):
            raise _HTTPError(411, "Content-Length is missing")
        if int(length) > MAX_BYTES:
            raise _HTTPError(413, f"the image has {int(length):,} bytes, expected at most {MAX_BYTES:,}")
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise _HTTPError(400, "the upload is incomplete")
        try:
            return _json(self.server.service.predict(content))
        except InputError as error:
            raise _HTTPError(422, str(error)) from error

    def _answer(self, respond: Callable[[], tuple[str, bytes]]) -> None:
        status = 200
        try:
            self._check_origin()
            content_type, body = respond()
        except _HTTPError as error:
            status, (content_type, body) = error.status, _json({"error": str(error)})
            self.close_connection = status != 422  # otherwise, the request body may be unread
        try:
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client has disconnected

    def _check_origin(self) -> None:
        """Reject requests from other pages in the browser, including those whose host name resolves to 127.0.0.1."""
        host = self.headers["Host"] or ""
        if self.server.server_address[0] in LOOPBACK and host.partition(":")[0] not in LOOPBACK:
            raise _HTTPError(403, f"the host is {host!r}, expected {' or '.join(LOOPBACK)}")
        if self.headers["Origin"] not in (None, f"http://{host}"):
            raise _HTTPError(403, "cross-origin requests are not allowed")


def _json(content: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()
