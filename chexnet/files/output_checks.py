"""What can be known before the work of whether its results can be written, and would cost nobody a file."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.writing import create, is_leftover

Name = str | os.PathLike[str]

WEIGHT_SUFFIXES = (".pdparams", ".safetensors")
"""Of weight files. The `.json` of the same name belongs to them."""


def check_writable(path: Name, suffix: str, protected: Iterable[Name], others: Collection[Name] = ()) -> None:
    """Find out before long work whether `path` can be written afterwards; writes nothing.

    Args:
        path: the file to be written.
        suffix: what its name must end in, with the dot.
        keep: files that must not be replaced by it.
        others: files that the same run writes, too.

    Raises:
        InputError: its name ends otherwise; it is a folder, a mount point, one of `keep` or of `others`, or the JSON of
            a weight file that is not one of `others`; or its folder cannot be written to.
    """
    target = Path(path)
    if target.suffix != suffix:
        raise InputError(f"{target}: expected a name that ends in {suffix}")
    try:
        if any(_same(target, one) for one in protected):
            raise InputError(f"{target}: is read by this run and would be lost; choose another name")
        if twin := next((one for one in others if _same(target, one) or _place(target) == _place(one)), None):
            raise InputError(f"{target}: this run writes {twin}, which is the same file; choose another name")
        if target.is_dir():
            raise InputError(f"{target}: is a folder, expected the name of a file to write")
        if target.exists() and not target.is_file():
            raise InputError(f"{target}: is a device or pipe, expected the name of a file to write")
        if target.exists() and _mount(target) != _mount(os.path.join(target.parent, "")):
            raise InputError(f"{target}: is mounted and cannot be replaced; mount the folder that it is in instead")
        if suffix == ".json":
            _check_not_beside_weights(target, others)
        _try(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error


def check_folder(folder: Name, names: Collection[str], protected: Iterable[Name], others: Iterable[Name] = ()) -> None:
    """Find out before long work whether `replacing_folder` can do it afterwards; writes nothing.

    Args:
        folder: new, empty, or made earlier, in which case it will be replaced.
        names: of all files that may be in one that was made earlier.
        keep: files that are read, and so must not be in it.
        others: files that the same run writes, and so must not be in it either.

    Raises:
        InputError: it is a file, has something else in it or one of `keep` or `others`, or cannot be written.
    """
    target = Path(folder)
    try:
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: is a file, expected the name of a folder")
        _try(target / "file" if target.is_dir() else target)
        foreign = sorted(set(os.listdir(target)) - set(names)) if target.is_dir() else []
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    if foreign := [name for name in foreign if not is_leftover(name)]:
        raise InputError(
            f"{target}: holds {foreign[0]!r}, which would be lost; expected a new folder, an empty one, or one that "
            "was made like this before, which is replaced"
        )
    for one in protected:
        if _inside(one, target):
            raise InputError(f"{one}: is read by this run and would be replaced with {target}; choose another folder")
    for one in others:
        if _inside(one, target):
            raise InputError(f"{one}: would be lost, as this run writes the whole folder {target}; choose another name")
    if target.resolve() == Path.cwd():
        raise InputError(f"{target}: is the folder that this runs in, expected another one")


def check_inputs(inputs: Iterable[Name], outputs: Iterable[Name]) -> None:
    """Find out whether a run that reads `inputs` would write over one of them, however it is named.

    Args:
        inputs: files that are read, of which some may be missing.
        outputs: files that will be written.

    Raises:
        InputError: an output is one of the inputs, under its own name or another one (a link).
    """
    identities = {identity: output for output in outputs if (identity := _identity(output))}
    if not identities:
        return
    for one in inputs:
        if output := identities.get(_identity(one) or (0, 0)):
            raise InputError(f"{output}: is read by this run, as {one}, and would be lost; choose another name")


def check_apart(folder: Name, images: Name) -> None:
    """Find out whether a run would write into the very folder that images are read from. Raises InputError."""
    if _place(folder) == _place(images):
        raise InputError(f"{folder}: is the folder of the images, expected another one to write to")


def _check_not_beside_weights(target: Path, others: Collection[Name]) -> None:
    written = {_place(one) for one in others}
    for suffix in WEIGHT_SUFFIXES:
        weights = target.with_suffix(suffix)
        if weights.exists() and _place(weights) not in written:
            raise InputError(f"{target}: would be taken for the JSON that describes {weights}; choose another name")


def _try(target: Path) -> None:
    """Creates and removes an empty file beside `target`, whose folder is made. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    create(target).unlink()


def _same(one: Name, other: Name) -> bool:
    """Whether two names are of one file: the same, or links to it, or the same to a file system without capitals."""
    return Path(one).resolve() == Path(other).resolve() or (_identity(one) or 0) == (_identity(other) or 1)


def _place(path: Name) -> str:
    """Where a file is, as file systems see it that know neither capitals nor how a letter is composed."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _inside(path: Name, folder: Path) -> bool:
    """Whether a file is the folder, or below it."""
    return f"{_place(path)}{os.sep}".startswith(f"{_place(folder)}{os.sep}")


def _mount(path: Name) -> str:
    """The number of the mount that a path is on, a link's own, where the system tells (Linux)."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except (AttributeError, OSError):
        return ""
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return next((line for line in facts.splitlines() if line.startswith("mnt_id:")), "")


def _identity(path: Name) -> tuple[int, int] | None:
    """Device and number of a file that is there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
