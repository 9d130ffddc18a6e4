"""Errors of the API as problem details for HTTP APIs (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is answered with an error status.

    Args:
        status: HTTP status.
        code: the reason in one word, also a label of the metrics.
        detail: sentence for the user, without paths and other internals.
        headers: further headers of the response.
        members: further members of the problem object.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.members = dict(headers or {}), members

    def response(self) -> Response:
        """Return the response."""
        title = HTTPStatus(self.status).phrase
        content = {"type": "about:blank", "title": title, "status": self.status, "code": self.code}
        body = json.dumps({**content, "detail": self.detail, **self.members}, ensure_ascii=False)
        return Response(body, self.status, self.headers, MEDIA_TYPE)


def busy(detail: str, seconds: int) -> Problem:
    """Return the problem of a full queue, with the time after which the client may try again."""
    return Problem(429, "queue_full", f"{detail}; try again later", {"Retry-After": str(max(1, min(seconds, 60)))})


def closing() -> Problem:
    """Return the problem of a server that ends."""
    return Problem(503, "closing", "the server is shutting down", {"Retry-After": "5"})


def unauthorized() -> Problem:
    """Return the problem of a request without the token."""
    detail = "the token is missing or wrong, expected the header 'Authorization: Bearer TOKEN'"
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="chexnet"'})


def internal_error() -> Problem:
    """Return the problem of a fault in this program."""
    return Problem(500, "internal_error", "the server failed; this is not a fault of the request")
