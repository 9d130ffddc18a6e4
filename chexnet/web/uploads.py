"""Read the images of a request into memory, within limits."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from chexnet.web.problems import Problem, busy
from chexnet.web.server_config import ServerConfig

RAW_TYPES = ("application/octet-stream", "application/dicom", "image/*")
"""Content types of a body that is one image."""

MULTIPART = "multipart/form-data"
ACCEPTED = f"{MULTIPART}, {', '.join(RAW_TYPES)}"


@dataclass(frozen=True)
class Upload:
    """An uploaded image.

    Attributes:
        name: file name of the client without folders; `image` for a body without a name.
        content: bytes of the file.
    """

    name: str
    content: bytes


class UploadReader:
    """Reads request bodies.

    Args:
        config: limits.

    Attributes:
        waiting_bytes: size of all bodies in memory.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.waiting_bytes = 0
        self._config = config

    @contextmanager
    def counted(self) -> Iterator["_Reserved"]:
        """Count the bytes that are read in the block until it ends."""
        reserved = _Reserved()
        try:
            yield reserved
        finally:
            self.waiting_bytes -= reserved.size

    async def read(self, request: Request, reserved: "_Reserved") -> list[Upload]:
        """Return the images of a request.

        Raises:
            Problem: the body is too large, too slow, malformed or of another content type, or has no image.
        """
        media_type = _media_type(request)
        self._check_length(request)
        chunks = self._chunks(request, reserved)
        if media_type == MULTIPART:
            return await self._read_multipart(request, chunks)
        content = b"".join([chunk async for chunk in chunks])
        return [Upload("image", content)]

    def _check_length(self, request: Request) -> None:
        """Refuse a body that declares too many bytes before any of them is read."""
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self._config.max_bytes:
            raise _too_large(f"the request has {int(length):,} bytes", self._config.max_bytes)

    async def _chunks(self, request: Request, reserved: "_Reserved") -> AsyncGenerator[bytes, None]:
        config, total = self._config, 0
        end = time.monotonic() + config.upload_seconds
        stream: AsyncIterator[bytes] = request.stream()
        while True:
            try:
                with anyio.fail_after(max(0.0, min(config.silence_seconds, end - time.monotonic()))):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise Problem(408, "slow_upload", "the upload is too slow; send the request again") from None
            if chunk is None:
                return
            total += len(chunk)
            if total > config.max_bytes:
                raise _too_large("the request is larger", config.max_bytes)
            if self.waiting_bytes + len(chunk) > config.max_waiting_bytes:
                raise busy("the memory for uploads is full", 1)
            self.waiting_bytes += len(chunk)
            reserved.size += len(chunk)
            if chunk:
                yield chunk

    async def _read_multipart(self, request: Request, chunks: AsyncGenerator[bytes, None]) -> list[Upload]:
        parser = _MemoryParser(request.headers, chunks, max_files=self._config.max_images, max_fields=0)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            if "Too many files" in error.message:
                detail = f"more than {self._config.max_images} images in one request"
                raise Problem(413, "too_many_images", detail) from error
            if "Too many fields" in error.message:
                raise Problem(400, "bad_form", "a part of the form is not a file; options are in the query") from error
            raise Problem(400, "bad_form", f"the form cannot be read: {error.message}") from error
        except (FormParserError, UnicodeError) as error:
            raise Problem(400, "bad_form", "the form cannot be read") from error
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not parser.complete:
            raise Problem(400, "bad_form", "the form is incomplete: its closing boundary is missing")
        if not files:
            raise Problem(400, "no_image", "the form has no file")
        uploads = [Upload(_base_name(file.filename or "image"), await file.read()) for file in files]
        await form.close()
        return uploads


@dataclass
class _Reserved:
    size: int = 0


class _MemoryParser(MultiPartParser):
    """A parser that keeps files in memory whatever their size, and knows if the form was complete."""

    spool_max_size = 0  # of SpooledTemporaryFile: no limit
    complete = False

    def on_end(self) -> None:
        self.complete = True


def _media_type(request: Request) -> str:
    """Return the media type of a request.

    Raises:
        Problem: it is not one of RAW_TYPES or MULTIPART, or the content is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_type", "a compressed body; send the image as it is", {"Accept-Encoding": ""})
    header = request.headers.get("content-type", RAW_TYPES[0])
    media_type = parse_options_header(header)[0].decode("latin-1").strip().lower()
    if media_type not in (MULTIPART, *RAW_TYPES) and not media_type.startswith("image/"):
        detail = f"the content type is not one of {ACCEPTED}"
        raise Problem(415, "unsupported_type", detail, {"Accept-Post": ACCEPTED})
    return media_type


def _too_large(found: str, limit: int) -> Problem:
    return Problem(413, "too_large", f"{found}, expected at most {limit:,} bytes")


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1] or "image"
