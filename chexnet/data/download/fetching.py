"""Fetch a file over HTTP, and resume it where it was cut off."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from chexnet.data.download.sources import Source
from chexnet.errors import InputError
from chexnet.files import sha256, write_text
from chexnet.files.json_files import read_json

ATTEMPTS = 5
"""Attempts in a row without new bytes before fetching gives up."""

PAUSE = 5.0
"""Seconds between attempts."""

_TIMEOUT = 60.0
_BLOCK = 1 << 20
_WORTH_REPEATING = {408, 425, 429}
"""Status codes that ask for patience, in addition to those of at least 500."""

Progress = Callable[[int, int], object]
"""Called with the bytes that are there and the total (the same number if the server does not state it)."""


class _Broken(Exception):
    """The connection failed; another attempt may do better."""


def fetch(source: Source, folder: str | os.PathLike[str], progress: Progress, report: Callable[[str], object]) -> Path:
    """Fetch an archive into a folder, unless it is there.

    Until it is complete its name ends in `.part`, and a `.part.json` next to it records its source. The next call
    resumes there if the server can and still has the same file (`Range`, `If-Range`), and starts again otherwise.

    Args:
        source: the archive.
        folder: target folder, made if missing; no other process may fetch into it, see `files.locked`.
        progress: called after every block.
        report: called with the reason before another attempt.

    Returns:
        The path of the file, whose checksum is verified if one is known.

    Raises:
        InputError: the server refuses, has something else, or cannot be reached; or the file cannot be written. The
            bytes received so far are kept, unless the checksum is wrong.
    """
    target = Path(folder) / source.name
    if target.exists():
        _verify(target, source, "remove it and run this again")
        return target
    part = target.with_name(f"{target.name}.part")
    failed = most = 0
    while True:
        try:
            _continue(source, part, progress)
            break
        except _Broken as error:
            failed = 0 if _size(part) > most else failed + 1
            most = max(most, _size(part))
            what = f"{source.name}: {error}, {_size(part):,} bytes are there"
            if failed == ATTEMPTS:
                raise InputError(f"{what}; {ATTEMPTS} attempts brought nothing more; run this again later") from error
            report(f"{what}; trying again in {PAUSE:g} s")
            time.sleep(PAUSE)
    try:
        _verify(part, source, "it was removed; run this again")
    except InputError:
        _forget(part)
        raise
    os.replace(part, target)
    _note(part).unlink(missing_ok=True)
    return target


def _continue(source: Source, part: Path, progress: Progress) -> None:
    """Fetch all that is missing, in one attempt. Raise InputError if another one cannot succeed, else _Broken."""
    note = _read_note(part, source)
    have = _size(part) if note else 0
    headers = {"User-Agent": "Paddle-CheXNet", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if note["validator"]:
            headers["If-Range"] = note["validator"]
    try:
        answer = urlopen(Request(source.url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416:  # the part reaches to the end of the file, or beyond
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            _forget(part)
            raise _Broken("the file has another size now") from error
        told = f"the server answers {error.code} {error.reason}"
        if error.code < 500 and error.code not in _WORTH_REPEATING:
            raise InputError(f"{source.url}: {told}, expected the file") from error
        raise _Broken(told) from error
    except (HTTPException, OSError, ValueError) as error:  # ValueError: redirected to an invalid URL
        raise _Broken(str(getattr(error, "reason", error)) or type(error).__name__) from error
    with answer:
        _receive(answer, source, part, have, progress)


def _receive(answer: HTTPResponse, source: Source, part: Path, have: int, progress: Progress) -> None:
    """Append what the server sends to the part, or start it again."""
    if answer.headers.get_content_type() == "text/html":
        raise InputError(f"{source.url}: is a web page, expected an archive; open it in a browser to see what it says")
    if answer.status != 206:
        have = 0  # the server does not support Range, or has another file now
        _begin(source, part, answer)
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        _forget(part)
        raise _Broken(f"the server sends another part than from byte {have:,} on")
    length = answer.headers.get("Content-Length", "")
    # Up to 15 digits, a petabyte; anything else counts as no length.
    total = have + int(length) if re.fullmatch("[0-9]{1,15}", length) else None
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise InputError(f"{source.url}: {total - have:,} bytes to come, {part.parent} has {free:,} free; make room")
    with _writing(part), open(part, "ab") as file:
        while block := _read(answer):
            file.write(block)
            have += len(block)
            progress(have, total or have)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and have < total:
        raise _Broken(f"the connection was cut at {have:,} of {total:,} bytes")


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(_BLOCK)
    except (HTTPException, OSError, ValueError) as error:
        raise _Broken(f"the connection was cut ({error or type(error).__name__})") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; make room and run this again") from error


def _verify(path: Path, source: Source, then: str) -> None:
    if source.sha256 and (found := sha256(path)) != source.sha256:
        raise InputError(f"{path}: its SHA-256 is {found}, expected {source.sha256}; {then}")


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _begin(source: Source, part: Path, answer: HTTPResponse) -> None:
    """Remove any part, and record the source of the new one, with the validator that the server gives."""
    etag = answer.headers.get("ETag", "W/")
    validator = answer.headers.get("Last-Modified") if etag.startswith("W/") else etag  # a weak ETag: not for ranges
    with _writing(part):
        part.unlink(missing_ok=True)
    write_text(_note(part), json.dumps({"url": source.url, "validator": validator}) + "\n")


def _read_note(part: Path, source: Source) -> dict[str, str]:
    """Read the `url` and `validator` of the part; empty if they are unknown or of another source."""
    try:
        note = read_json(_note(part))
    except InputError:
        return {}
    if not isinstance(note, dict) or note.get("url") != source.url:
        return {}
    validator = note.get("validator")
    can_be_sent = isinstance(validator, str) and validator.isascii() and validator.isprintable()
    return {"url": source.url, "validator": str(validator) if can_be_sent else ""}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
