"""A plain HTTP server for a folder, as `python -m http.server`, that records what is requested."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class StaticServer:
    """A running server.

    Attributes:
        origin: its address without a path.
        requests: paths of all requests so far.
        missing: paths that were requested and do not exist.
    """

    origin: str = ""
    requests: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@contextmanager
def serving(folder: Path) -> Iterator[StaticServer]:
    """Serve a folder on this machine."""
    served = StaticServer()

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: object = "-", size: object = "-") -> None:
            served.requests.append(self.path)
            if str(getattr(code, "value", code)) == "404":
                served.missing.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    served.origin = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
