"""Fetch a file over HTTP, and resume after an interruption."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from chexnet._types import LogFn, ProgressFn
from chexnet.data.download.sources import Source
from chexnet.errors import InputError
from chexnet.files import sha256, write_text
from chexnet.files.json_files import read_json

MAX_ATTEMPTS = 5
"""Consecutive attempts without new bytes before fetching gives up."""

RETRY_DELAY = 5.0
"""Seconds between attempts."""

_TIMEOUT = 60.0
_BLOCK = 1 << 20
_RETRY_STATUSES = {408, 425, 429}
"""Status codes after which to try again, in addition to those of 500 or more."""


class _ConnectionFailed(Exception):
    """The connection failed, but another attempt may succeed."""


def fetch(source: Source, folder: str | os.PathLike[str], progress: ProgressFn, log: LogFn) -> Path:
    """Fetch an archive into a folder, unless it is already there.

    An incomplete file is named `*.part`, and a `.part.json` next to it records its source. The next call resumes if the
    server supports this and still has the same file (`Range`, `If-Range`). Otherwise it starts again.

    Args:
        source: the archive.
        folder: target folder, created if missing; no other process may fetch into it, see `files.exclusive_lock`.
        progress: callback after every block, for the bytes received and the total. The total equals the bytes received
            if the server does not state it.
        log: callback for the reason of another attempt.

    Returns:
        The path of the file. Its checksum is verified if one is known.

    Raises:
        InputError: the server refuses, cannot be reached or sends another file, or the file cannot be written. The
            bytes received so far are kept, unless the checksum is wrong.
    """
    target = Path(folder) / source.name
    if target.exists():
        _verify(target, source, "remove it and run this again")
        return target
    part = target.with_name(f"{target.name}.part")
    failed = largest = 0
    while True:
        try:
            _attempt(source, part, progress)
            break
        except _ConnectionFailed as error:
            failed = 0 if _size(part) > largest else failed + 1
            largest = max(largest, _size(part))
            status = f"{source.name}: {error}, {_size(part):,} bytes received"
            if failed == MAX_ATTEMPTS:
                raise InputError(f"{status}; no new bytes in {MAX_ATTEMPTS} attempts; run this again later") from error
            log(f"{status}; trying again in {RETRY_DELAY:g} s")
            time.sleep(RETRY_DELAY)
    try:
        _verify(part, source, "it was removed; run this again")
    except InputError:
        _discard(part)
        raise
    os.replace(part, target)
    _info_path(part).unlink(missing_ok=True)
    return target


def _attempt(source: Source, part: Path, progress: ProgressFn) -> None:
    """Fetch the missing bytes in one attempt.

    Raises:
        InputError: another attempt would fail too.
        _ConnectionFailed: another attempt may succeed.
    """
    info = _read_info(part, source)
    have = _size(part) if info else 0
    headers = {"User-Agent": "Paddle-CheXNet", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if info["validator"]:
            headers["If-Range"] = info["validator"]
    try:
        response = urlopen(Request(source.url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the part is complete, or longer than the file
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            _discard(part)
            raise _ConnectionFailed("the size of the file has changed") from error
        message = f"the server responds {error.code} {error.reason}"
        if error.code < 500 and error.code not in _RETRY_STATUSES:
            raise InputError(f"{source.url}: {message}, expected the file") from error
        raise _ConnectionFailed(message) from error
    except (HTTPException, OSError, ValueError) as error:  # ValueError: redirected to an invalid URL
        raise _ConnectionFailed(str(getattr(error, "reason", error)) or type(error).__name__) from error
    with response:
        _receive(response, source, part, have, progress)


def _receive(response: HTTPResponse, source: Source, part: Path, have: int, progress: ProgressFn) -> None:
    """Append the body of the response to the part, or start the part again."""
    if response.headers.get_content_type() == "text/html":
        raise InputError(f"{source.url}: is a web page, expected an archive; open it in a browser to read it")
    if response.status != 206:
        have = 0  # the server does not support Range, or has another file now
        _start_part(source, part, response)
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        _discard(part)
        raise _ConnectionFailed(f"the server sends another range than from byte {have:,} to the end")
    length = response.headers.get("Content-Length", "")
    # Up to 15 digits, a petabyte; any other value is ignored.
    total = have + int(length) if re.fullmatch("[0-9]{1,15}", length) else None
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise InputError(
            f"{source.url}: {total - have:,} bytes are missing, but {part.parent} has {free:,} free; free disk space"
        )
    with _write_errors(part), open(part, "ab") as file:
        while block := _read(response):
            file.write(block)
            have += len(block)
            progress(have, total or have)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _ConnectionFailed(f"the connection was cut at {have:,} of {total:,} bytes")


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (HTTPException, OSError, ValueError) as error:
        raise _ConnectionFailed(f"the connection was cut ({error or type(error).__name__})") from error


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; free disk space and run this again") from error


def _verify(path: Path, source: Source, advice: str) -> None:
    if source.sha256 and (found := sha256(path)) != source.sha256:
        raise InputError(f"{path}: its SHA-256 is {found}, expected {source.sha256}; {advice}")


def _info_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _start_part(source: Source, part: Path, response: HTTPResponse) -> None:
    """Remove any old part, and record the source of the new one with the validator from the server."""
    etag = response.headers.get("ETag", "W/")
    # A weak ETag is not valid for ranges.
    validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
    with _write_errors(part):
        part.unlink(missing_ok=True)
    write_text(_info_path(part), json.dumps({"url": source.url, "validator": validator}) + "\n")


def _read_info(part: Path, source: Source) -> dict[str, str]:
    """Read the `url` and `validator` of a part; empty if they are unknown or belong to another source."""
    try:
        info = read_json(_info_path(part))
    except InputError:
        return {}
    if not isinstance(info, dict) or info.get("url") != source.url:
        return {}
    validator = info.get("validator")
    can_be_sent = isinstance(validator, str) and validator.isascii() and validator.isprintable()
    return {"url": source.url, "validator": str(validator) if can_be_sent else ""}


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _info_path(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
