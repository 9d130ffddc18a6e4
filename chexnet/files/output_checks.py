"""Checks before long work that its results can be written and replace no other file."""

import os
import sys
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.writing import create, is_leftover

Name = str | os.PathLike[str]

WEIGHT_SUFFIXES = (".pdparams", ".safetensors")
"""Suffixes of weight files. The `.json` of the same name belongs to them."""


def check_writable(path: Name, suffix: str, protected: Iterable[Name], others: Collection[Name] = ()) -> None:
    """Check before long work that `path` can be written afterwards; writes nothing.

    Args:
        path: file to be written.
        suffix: required end of its name, with the dot.
        protected: files that it must not replace.
        others: other files that the same run writes.

    Raises:
        InputError: the name has another suffix; the path is a folder, a mount point, one of `protected` or of `others`,
            or the JSON of a weight file that is not one of `others`; or its folder is not writable.
    """
    target = Path(path)
    if target.suffix != suffix:
        raise InputError(f"{target}: expected a name that ends in {suffix}")
    try:
        if any(_same(target, other) for other in protected):
            raise InputError(f"{target}: is read by this run and would be lost; choose another name")
        if clash := next((other for other in others if _same(target, other) or _key(target) == _key(other)), None):
            raise InputError(f"{target}: this run writes {clash}, which is the same file; choose another name")
        if target.is_dir():
            raise InputError(f"{target}: is a folder, expected the name of a file to write")
        if target.exists() and not target.is_file():
            raise InputError(f"{target}: is a device or pipe, expected the name of a file to write")
        if target.exists() and _mount_id(target) != _mount_id(os.path.join(target.parent, "")):
            raise InputError(f"{target}: is mounted and cannot be replaced; mount its folder instead")
        if suffix == ".json":
            _check_not_weights_json(target, others)
        _try_to_create(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error


def check_folder(folder: Name, names: Collection[str], protected: Iterable[Name], others: Iterable[Name] = ()) -> None:
    """Check before long work that `atomic_directory` can replace a folder afterwards; writes nothing.

    Args:
        folder: new or empty folder, or one from an earlier run, which will be replaced.
        names: names of all files that a folder from an earlier run may contain.
        protected: files that the run reads; the folder must not contain them.
        others: other files that the run writes; the folder must not contain them either.

    Raises:
        InputError: the path is a file, or the folder contains other files, one of `protected` or `others`, or is not
            writable.
    """
    target = Path(folder)
    try:
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: is a file, expected the name of a folder")
        _try_to_create(target / "file" if target.is_dir() else target)
        foreign = sorted(set(os.listdir(target)) - set(names)) if target.is_dir() else []
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    if foreign := [name for name in foreign if not is_leftover(name)]:
        raise InputError(
            f"{target}: holds {foreign[0]!r}, which would be lost; expected a new or empty folder, or one that an "
            "earlier run wrote"
        )
    for path in protected:
        if _inside(path, target):
            raise InputError(f"{path}: is read by this run and would be replaced with {target}; choose another folder")
    for path in others:
        if _inside(path, target):
            raise InputError(
                f"{path}: would be lost, as this run writes the whole folder {target}; choose another name"
            )
    if target.resolve() == Path.cwd():
        raise InputError(f"{target}: is the current folder, expected another one")


def check_inputs(inputs: Iterable[Name], outputs: Iterable[Name]) -> None:
    """Check that a run that reads `inputs` overwrites none of them under any name.

    Args:
        inputs: files that are read; some may be missing.
        outputs: files that will be written.

    Raises:
        InputError: an output is one of the inputs, directly or through a link.
    """
    by_id = {file_id: output for output in outputs if (file_id := _file_id(output))}
    if not by_id:
        return
    for path in inputs:
        if output := by_id.get(_file_id(path) or (0, 0)):
            raise InputError(f"{output}: is read by this run, as {path}, and would be lost; choose another name")


def check_apart(folder: Name, images: Name) -> None:
    """Raise InputError if a run would write into the folder that it reads images from."""
    if _key(folder) == _key(images):
        raise InputError(f"{folder}: is the folder of the images, expected another folder to write to")


def _check_not_weights_json(target: Path, others: Collection[Name]) -> None:
    written = {_key(path) for path in others}
    for suffix in WEIGHT_SUFFIXES:
        weights = target.with_suffix(suffix)
        if weights.exists() and _key(weights) not in written:
            raise InputError(f"{target}: would be taken for the JSON that describes {weights}; choose another name")


def _try_to_create(target: Path) -> None:
    """Create the folder of `target`, and an empty file in it that is removed again. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    create(target).unlink()


def _same(first: Name, second: Name) -> bool:
    """Return whether two paths name one file: equal paths, links, or equal names to a case-insensitive file system."""
    return Path(first).resolve() == Path(second).resolve() or (_file_id(first) or 0) == (_file_id(second) or 1)


def _key(path: Name) -> str:
    """Return a path in the form that file systems compare which ignore case and Unicode composition."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _inside(path: Name, folder: Path) -> bool:
    """Return whether a path is the folder or below it."""
    return f"{_key(path)}{os.sep}".startswith(f"{_key(folder)}{os.sep}")


def _mount_id(path: Name) -> str:
    """Return the mount ID of a path, on Linux only; a link is not followed. Other systems give an empty text."""
    if sys.platform != "linux":
        return ""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except (AttributeError, OSError):
        return ""
    try:
        info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="utf-8")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return next((line for line in info.splitlines() if line.startswith("mnt_id:")), "")


def _file_id(path: Name) -> tuple[int, int] | None:
    """Return device and inode of an existing file, None for a missing one."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
