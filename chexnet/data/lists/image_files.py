"""Where the images of a list are: below the image folder, in whatever folders."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from chexnet.data.lists.image_names import image_id
from chexnet.data.lists.list_files import ImageList
from chexnet.errors import InputError
from chexnet.files.text_files import shorten


def find_images(
    names: Sequence[str], data_dir: str | os.PathLike[str], source: str | os.PathLike[str]
) -> list[Path | None]:
    """Find the files of images below a folder; each folder is listed once.

    The file that a name says is taken where there is one. Otherwise the file of this name is looked for in all folders
    below `data_dir`. It may lie in more folders than the name has (`00000001_000.png` is found as
    `images_001/images/00000001_000.png`) or in fewer (`train/patient00001/view1.jpg` as `patient00001/view1.jpg`), but
    not in others, as `view1.jpg` is also another patient's. NIH's names tell the image, and are found in any folder.

    Args:
        names: N names, each once.
        data_dir: the folder.
        source: the file that the names are from, for messages.

    Returns:
        N paths, None for an image that is not there.

    Raises:
        InputError: the folder is missing, two files have the name of an image, or two images have one file.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"{root}: no such image folder (--data_dir), which {source} refers to")
    folders: dict[str, set[str]] = {}
    found: list[Path | None] = []
    elsewhere: list[int] = []
    for row, name in enumerate(names):
        folder, _, base = name.rpartition("/")
        if folder not in folders:
            inside = root / folder
            folders[folder] = set(os.listdir(inside)) if inside.is_dir() else set()
        there = base in folders[folder]
        found.append(root / name if there else None)
        if not there:
            elsewhere.append(row)
    if elsewhere:
        _find_elsewhere(names, root, source, found, elsewhere)
    return found


def check_images(image_list: ImageList, data_dir: str | os.PathLike[str]) -> list[Path]:
    """Find the files of all images of a list, see `find_images`.

    Raises:
        InputError: as `find_images`, or images are missing: how many, the first ten with their lines, what is there.
    """
    found = find_images(image_list.names, data_dir, image_list.path)
    missing = [row for row, path in enumerate(found) if path is None]
    if missing:
        shown = [f"{image_list.names[row]} (line {image_list.lines[row]})" for row in missing]
        raise missing_images(image_list.path, data_dir, len(image_list), shown)
    return [path for path in found if path is not None]


def find_missing(image_list: ImageList, data_dir: str | os.PathLike[str]) -> list[int]:
    """The rows of a list, from 0, whose images are not below `data_dir`; raises InputError as `find_images`."""
    return [row for row, path in enumerate(find_images(image_list.names, data_dir, image_list.path)) if path is None]


def missing_images(
    source: str | os.PathLike[str], data_dir: str | os.PathLike[str], total: int, missing: Sequence[str]
) -> InputError:
    """The error that images are missing: which, and what is in the folder instead."""
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    files = [f"{folder}{name}" for folder, name in _files(Path(data_dir))]
    stems = {_stem(name.partition(" (line ")[0]) for name in missing}
    alike = next((file for file in files if _stem(file) in stems), None)
    there = "there is no file in it or in its folders"
    if files:
        there = f"there are {len(files):,} files, such as {shorten(alike or files[0])}"
    if alike:
        there += ", whose name has another suffix or other folders"
    return InputError(
        f"{source}: {len(missing)} of {total} images are missing in {data_dir} and its folders: {shown}; {there}"
    )


def _stem(name: str) -> str:
    """A file's name without folders and suffix."""
    return name.rpartition("/")[2].rpartition(".")[0] or name.rpartition("/")[2]


def _find_elsewhere(
    names: Sequence[str], root: Path, source: str | os.PathLike[str], found: list[Path | None], rows: Sequence[int]
) -> None:
    """Fills in the images that are in other folders than their names say."""
    wanted: dict[str, list[int]] = {}
    for row in rows:
        wanted.setdefault(names[row].rpartition("/")[2], []).append(row)
    places: dict[int, str] = {}
    taken = {name: name for name, path in zip(names, found, strict=True) if path is not None}
    for folder, base in _files(root):
        for row in wanted.get(base, ()):
            path = f"{folder}{base}"
            if not _is_place_of(path, names[row]):
                continue
            if (other := places.setdefault(row, path)) != path:
                raise InputError(
                    f"{source}: {shorten(names[row])} is {shorten(other)} or {shorten(path)} in {root}; expected one "
                    "file of this name: give the folder of the right ones as --data_dir, or name them in the list with "
                    "their folders"
                )
            found[row] = root / path
    for row, path in places.items():
        if (other := taken.setdefault(path, names[row])) != names[row]:
            raise InputError(
                f"{source}: {shorten(other)} and {shorten(names[row])} are two images, but in {root} there is only "
                f"{shorten(path)} for both"
            )


def _is_place_of(path: str, name: str) -> bool:
    """Whether a file can be an image: one's folders are the end of the other's, or the name itself tells the image."""
    if f"/{path}".endswith(f"/{name}") or f"/{name}".endswith(f"/{path}"):
        return True
    return image_id(name) != name


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """All files below a folder, in order: their folder below it, `a/b/` or nothing, and their name.

    Links to folders are followed, each folder once.
    """
    seen = set()
    for folder, below, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below.sort()
        inside = Path(folder).relative_to(root).as_posix()
        yield from (("" if inside == "." else f"{inside}/", name) for name in sorted(names))
