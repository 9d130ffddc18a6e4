"""What libtiff has to say of damaged data: an error in our own words instead of lines on standard error."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import PIL

from chexnet.errors import InputError

_said = threading.local()


@contextmanager
def errors_raised() -> Iterator[None]:
    """Raise what libtiff reports while the block decodes, even where it goes on with other pixels.

    Raises:
        InputError: it reported an error. Where Pillow's own libtiff is not found, it prints it instead.
    """
    _listen()
    _said.errors = []
    try:
        yield
    finally:
        said, _said.errors = _said.errors, None
        if said:
            raise InputError(f"cannot be decoded as an image: {said[0]}")


def _hear(module: bytes | None, text: bytes | None, values: int | None) -> None:
    """Called by libtiff with printf's format, whose values are not looked at."""
    if getattr(_said, "errors", None) is None:  # somebody else's image
        return
    where = (module or b"libtiff").decode("ascii", "replace")
    what = (text or b"").decode("ascii", "replace").partition(" at ")[0].partition("%")[0].strip(" ,.:")
    _said.errors = _said.errors or [f"{where}: {what}" if what else where]


@cache
def _listen() -> Any:
    """Have libtiff call `_hear`; what is returned has to be kept."""
    heard = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_hear)
    package = Path(PIL.__file__).parent
    for library in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        try:
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(heard)
        except (OSError, AttributeError):
            continue
    return heard
