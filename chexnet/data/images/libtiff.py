"""Raise libtiff's decoding errors, which it would otherwise print to standard error."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import PIL

from chexnet.errors import InputError

_thread = threading.local()


@contextmanager
def raise_errors() -> Iterator[None]:
    """Raise the errors that libtiff reports during the block, including those after which it continues decoding.

    Raises:
        InputError: libtiff reported an error. If the libtiff of Pillow is not found, it prints its errors instead.
    """
    _install_handler()
    _thread.errors = []
    try:
        yield
    finally:
        errors, _thread.errors = _thread.errors, None
        if errors:
            raise InputError(f"cannot be decoded as an image: {errors[0]}")


def _record_error(module: bytes | None, text: bytes | None, values: int | None) -> None:
    """Record the first error of this thread. libtiff calls it with a printf format and its values, which are unused."""
    if getattr(_thread, "errors", None) is None:  # an image that other code decodes
        return
    source = (module or b"libtiff").decode("ascii", "replace")
    message = (text or b"").decode("ascii", "replace").partition(" at ")[0].partition("%")[0].strip(" ,.:")
    _thread.errors = _thread.errors or [f"{source}: {message}" if message else source]


@cache
def _install_handler() -> Any:
    """Make libtiff call `_record_error`. The returned callback must stay alive, so it is cached."""
    handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_record_error)
    package = Path(PIL.__file__).parent
    for library in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        try:
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(handler)
        except (OSError, AttributeError):
            continue
    return handler
