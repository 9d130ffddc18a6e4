"""uvicorn's HTTP protocol with a limit on slow headers, and problem details for requests that are no HTTP."""

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from chexnet.web.gate import SECURITY_HEADERS
from chexnet.web.problems import Problem


def http_protocol(silence_seconds: float) -> type[H11Protocol]:
    """Return a protocol that closes connections whose request has not begun after `silence_seconds`."""

    class Protocol(_Protocol):
        seconds = silence_seconds

    return Protocol


class _Protocol(H11Protocol):
    """One connection.

    Attributes:
        seconds: maximum time from the first byte to the end of the headers of a request.
    """

    seconds: float
    _deadline: Any = None  # timer, while no request is open

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._restart()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel()
        elif self._deadline is None:
            self._restart()

    def eof_received(self) -> None:
        """Answer an incomplete request. A client that ends its side of the connection does not wait for a result."""
        if self.conn.their_state is h11.SEND_BODY:
            self.send_400_response("incomplete")

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request, or an incomplete one, and close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = Problem(400, "bad_request", "not a complete HTTP request").response()
            security = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            headers = [*response.raw_headers, *security, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(bytes(self.conn.send(event) or b""))
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def _restart(self) -> None:
        self._deadline = self.loop.call_later(self.seconds, self._close)

    def _close(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
