"""A folder of files that is there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files import write_text

FILES = ("metrics.json", "predictions.csv", "report.html", "thresholds.json")
"""What may stand in the folder of a report."""


def check_folder(folder: str | os.PathLike[str], keep: Iterable[str | os.PathLike[str]]) -> None:
    """Finds out before long work whether a report can be written to a folder afterwards; writes nothing.

    Args:
        folder: new, empty, or that of an earlier report, which will be replaced.
        keep: files that are read, and so must not be in it.

    Raises:
        InputError: it is a file, has something else in it or one of `keep`, or cannot be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file, expected the name of a folder for the report")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
        others = sorted(set(os.listdir(target)) - set(FILES)) if target.exists() else []
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    if others:
        raise InputError(
            f"{target}: holds {others[0]!r}, which is not of a report; expected a new folder, an empty one or that of "
            "an earlier report, which is replaced"
        )
    for one in keep:
        if Path(one).resolve().parent == target.resolve():
            raise InputError(f"{one}: is read by this run and would be replaced with {target}; choose another folder")
    if target.resolve() == Path.cwd():
        raise InputError(f"{target}: is the folder that this runs in, expected one of the report's own")


def write_folder(folder: str | os.PathLike[str], texts: Mapping[str, str]) -> None:
    """Writes files into a folder of their own, which takes the place of the earlier one when all are on the disk.

    Args:
        folder: as `check_folder` wants it.
        texts: by file name.

    Raises:
        InputError: it cannot be written; then the earlier one is as it was.
    """
    check_folder(folder, keep=())
    target = Path(folder)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
    try:
        new, old = made / "new", made / "old"
        for name, text in texts.items():
            write_text(new / name, text)
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
