"""A local file server that can reproduce the faults of web servers."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class WebServer:
    """Serve files and record the Range header of every request.

    Attributes:
        files: path -> content.
        cut_after: sizes in bytes at which the next responses are cut, one per response.
        ranges: False ignores the Range header.
        etag: ETag of every file; None sends no ETag.
        status: path -> error status.
        moved: path -> path that it is redirected to.
        content_type: Content-Type of every response.
        lies_of_range: True sends a wrong part of the file.
        asked: Range header of each request, None if absent.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    status: dict[str, int] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/gzip"
    lies_of_range: bool = False
    asked: list[str | None] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        status = self.status.get(request.path, 200 if request.path in self.files else 404)
        if status != 200:
            request.send_error(status)
            return
        content = self.files[request.path]
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if not self.ranges or request.headers["If-Range"] not in (None, self.etag):
            begin = 0
        if begin and begin >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        begin -= begin and self.lies_of_range
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if self.etag:
            request.send_header("ETag", self.etag)
        request.send_header("Content-Type", self.content_type)
        request.send_header("Content-Length", str(len(content) - begin))
        request.end_headers()
        length = self.cut_after.pop(0) if self.cut_after else len(content)
        request.wfile.write(content[begin : begin + length])


@pytest.fixture
def web() -> Iterator[WebServer]:
    served = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
