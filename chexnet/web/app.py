"""The routes of the server as an ASGI application: the page, the JSON API, health and metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from chexnet._types import LogFn
from chexnet.errors import InputError
from chexnet.inference import Prediction
from chexnet.web import problems
from chexnet.web.gate import Gate
from chexnet.web.inference_service import InferenceService
from chexnet.web.openapi import describe_api
from chexnet.web.problems import Problem, busy
from chexnet.web.result_entries import describe_model, describe_prediction
from chexnet.web.server_config import ServerConfig
from chexnet.web.server_metrics import ServerMetrics
from chexnet.web.uploads import Upload, UploadReader

PAGE = Path(__file__).parent / "page"
_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Suffixes of the page's files that are served."""

Endpoint = Callable[[Request], Awaitable[Response]]
Outcome = Prediction | BaseException


def create_app(service: InferenceService, config: ServerConfig, log: LogFn) -> "Application":
    """Return the ASGI application.

    Args:
        service: predicts the images.
        config: hosts, token and limits.
        log: receives one line about each fault of this program.
    """
    return Application(service, config, log)


class Application:
    """An ASGI application that predicts images.

    Attributes:
        closing: True after `close`.
    """

    def __init__(self, service: InferenceService, config: ServerConfig, log: LogFn) -> None:
        self.closing = False
        self._service, self._config, self._log = service, config, log
        self._metrics = ServerMetrics()
        self._metrics.waiting.set_function(lambda: service.waiting)
        service.observe_batch = self._metrics.observe_batch
        self._reader = UploadReader(config)
        self._metrics.waiting_bytes.set_function(lambda: self._reader.waiting_bytes)
        self._uploads: set[anyio.CancelScope] = set()
        self._model = describe_model(service, config)
        api: dict[str, tuple[str, Endpoint]] = {
            "/v1/predict": ("POST", self._predict),
            "/v1/model": ("GET", self._get_model),
            "/metrics": ("GET", self._get_metrics),
        }
        public: dict[str, tuple[str, Endpoint]] = {
            "/healthz": ("GET", self._get_health),
            "/healthz/ready": ("GET", self._get_readiness),
            "/openapi.json": ("GET", _constant(JSONResponse, describe_api(config, service.predictor.classes))),
            **_page_routes(),
        }
        routes = [Route(path, endpoint, methods=[method]) for path, (method, endpoint) in {**api, **public}.items()]
        router = Router(routes, redirect_slashes=False)
        self._gate = Gate(router, config, self._metrics, public, api, lambda: self.closing, log)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, see the ASGI specification."""
        await self._gate({**scope, "app": self}, receive, send)

    def close(self) -> None:
        """Refuse new images and unfinished uploads; those that are complete are still predicted."""
        self.closing = True
        for upload in self._uploads:
            upload.cancel()

    async def _get_model(self, request: Request) -> Response:
        return JSONResponse(self._model)

    async def _get_metrics(self, request: Request) -> Response:
        content, media_type = self._metrics.render(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    async def _get_health(self, request: Request) -> Response:
        if not self._service.alive:
            raise problems.internal_error()
        return JSONResponse({"status": "alive"})

    async def _get_readiness(self, request: Request) -> Response:
        if not self._service.alive:
            raise problems.internal_error()
        self._check_capacity(1)
        return JSONResponse({"status": "ready"})

    async def _predict(self, request: Request) -> Response:
        maps, gray = self._options(request)
        self._check_capacity(1)  # before the upload
        with self._reader.counted() as reserved:
            with anyio.CancelScope() as scope:
                self._uploads.add(scope)
                try:
                    uploads = await self._reader.read(request, reserved)
                finally:
                    self._uploads.discard(scope)
            if scope.cancelled_caught:
                raise problems.closing()
            self._check_capacity(len(uploads))
            outcomes = await self._outcomes(request, [self._service.submit(upload.content) for upload in uploads])
        return await anyio.to_thread.run_sync(self._response, uploads, outcomes, maps, gray)

    def _options(self, request: Request) -> tuple[list[str], bool]:
        """Return the findings whose maps are wanted, and whether the gray image is."""
        classes = self._service.predictor.classes
        query = request.query_params
        if unknown := sorted(set(query) - {"maps", "gray"}):
            raise Problem(400, "bad_query", f"unknown query parameter {unknown[0][:40]!r}, expected maps or gray")
        maps: list[str] = []
        for value in query.getlist("maps"):
            maps += list(classes) if value == "all" else [value] if value in classes else value.split(",")
        if unknown := [name for name in maps if name not in classes]:
            detail = f"maps: {unknown[0][:40]!r} is not a finding, expected all or names of /v1/model, with commas"
            raise Problem(400, "bad_query", detail)
        gray = query.getlist("gray")
        if gray not in ([], ["true"], ["false"]):
            raise Problem(400, "bad_query", "gray: expected true or false")
        return list(dict.fromkeys(maps)), gray == ["true"]

    def _check_capacity(self, images: int) -> None:
        """Raise Problem if the server ends, or has no room for more images."""
        if self.closing:
            raise problems.closing()
        if self._service.waiting + images > self._config.max_waiting:
            raise busy(f"{self._service.waiting} images are waiting", self._service.expected_seconds)

    async def _outcomes(self, request: Request, futures: "Sequence[Future[Prediction]]") -> list[Outcome]:
        """Wait for predictions; cancel them if the client closes the connection or the time is over."""
        predictions: asyncio.Future[list[Outcome]] = asyncio.gather(
            *map(asyncio.wrap_future, futures), return_exceptions=True
        )
        disconnected: asyncio.Future[None] = asyncio.ensure_future(_wait_for_disconnect(request))
        try:
            ends: set[asyncio.Future[Any]] = {predictions, disconnected}
            await asyncio.wait(
                ends,
                timeout=self._config.predict_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if predictions.done():
                return predictions.result()
            if disconnected.done():
                raise ClientDisconnect
            seconds = f"{self._config.predict_seconds:g}"
            raise Problem(503, "timeout", f"no result within {seconds} s; try again later", {"Retry-After": "30"})
        finally:
            disconnected.cancel()
            for future in futures:
                future.cancel()

    def _response(self, uploads: list[Upload], outcomes: list[Outcome], maps: list[str], gray: bool) -> Response:
        """Return results and errors in the order of the images, or a problem if there are no results."""
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for index, (upload, outcome) in enumerate(zip(uploads, outcomes, strict=True)):
            source = {"index": index, "name": upload.name}
            if isinstance(outcome, Prediction):
                results.append({**source, **describe_prediction(outcome, self._service.thresholds, maps, gray)})
                self._metrics.images.labels("predicted").inc()
            else:
                errors.append({**source, "detail": self._fault(outcome)})
        if not results:
            if not any(isinstance(outcome, InputError) for outcome in outcomes):
                raise problems.internal_error()
            detail = errors[0]["detail"] if len(errors) == 1 else f"none of the {len(errors)} images can be read"
            raise Problem(422, "unreadable", detail, errors=errors)
        predictor = self._service.predictor
        common = {"ckpt_sha256": predictor.ckpt_sha256, "notice": predictor.disclaimer}
        return JSONResponse({**common, "results": results, "errors": errors})

    def _fault(self, error: BaseException) -> str:
        """Return the sentence about an image without a result, and count it."""
        unreadable = isinstance(error, InputError)
        self._metrics.images.labels("unreadable" if unreadable else "failed").inc()
        if unreadable:
            return str(error).removeprefix("the image: ")
        self._log(f"warning: a fault of the network: {type(error).__name__}")
        return "the server failed; this is not a fault of the image"


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _constant(response: Callable[..., Response], content: Any, **options: Any) -> Endpoint:
    async def answer(request: Request) -> Response:
        return response(content, **options)

    return answer


def _page_routes() -> dict[str, tuple[str, Endpoint]]:
    """Return the routes of the page's files, which are read once."""
    routes: dict[str, tuple[str, Endpoint]] = {}
    for path in sorted(PAGE.rglob("*")):
        if media_type := _MEDIA_TYPES.get(path.suffix):
            name = path.relative_to(PAGE).as_posix()
            file = ("GET", _constant(Response, path.read_bytes(), media_type=media_type))
            routes["/" if name == "index.html" else f"/{name}"] = file
    return routes
