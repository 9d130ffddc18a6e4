"""Find the image files of a list in the image folder and its subfolders."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast, overload

import numpy as np

from chexnet.data.lists.image_names import image_id
from chexnet.data.lists.list_files import ImageList
from chexnet.errors import InputError
from chexnet.files.text_files import shorten


class FoundImages(Sequence[Path | None]):
    """The files of N images in a folder and its subfolders; None for a missing image.

    A file has the name of its image, except for folders. So only the number of its folder is stored per image, and
    paths are made on demand.

    Args:
        names: N image names.
        root: image folder.
    """

    def __init__(self, names: Sequence[str], root: Path) -> None:
        self._names = names
        self._root = root
        self._folders: list[str] = []
        self._number_by_folder: dict[str, int] = {}
        self._numbers = np.full(len(names), -1, np.int32)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, row: int) -> Path | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[Path | None]: ...
    def __getitem__(self, row: int | slice) -> Path | list[Path | None] | None:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        return self._root / path if (path := self.relative(row)) else None

    def relative(self, row: int) -> str:
        """Return the path of a file relative to the image folder; empty for a missing image."""
        number = self._numbers[row]
        return "" if number < 0 else self._folders[number] + self._names[row].rpartition("/")[2]

    def missing(self) -> list[int]:
        """Return the rows of the missing images."""
        return np.flatnonzero(self._numbers < 0).tolist()

    def add(self, row: int, folder: str) -> None:
        """Store the folder of a file relative to the image folder, `a/b/` or empty."""
        number = self._number_by_folder.setdefault(folder, len(self._folders))
        if number == len(self._folders):
            self._folders.append(folder)
        self._numbers[row] = number


def find_images(names: Sequence[str], data_dir: str | os.PathLike[str], source: str | os.PathLike[str]) -> FoundImages:
    """Find the files of images in a folder and its subfolders. Each folder is listed once.

    The path `data_dir/name` has priority. Otherwise, all subfolders are searched for the file name. The file may be in
    more folders than the name has (`00000001_000.png` is found as `images_001/images/00000001_000.png`) or in fewer
    (`train/patient00001/view1.jpg` is found as `patient00001/view1.jpg`). It may not be in different folders, because
    `view1.jpg` exists for other patients too. Names of NIH identify the image, and are found in any folder.

    Args:
        names: N names, each once.
        data_dir: image folder.
        source: file that contains the names, for messages.

    Returns:
        N paths.

    Raises:
        InputError: the folder is missing, an image matches two files, or two images match the same file.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"{root}: no such image folder (--data_dir) for {source}")
    folders: dict[str, set[str]] = {}
    found = FoundImages(names, root)
    for row, name in enumerate(names):
        folder, separator, base = name.rpartition("/")
        if folder not in folders:
            path = root / folder
            folders[folder] = set(os.listdir(path)) if path.is_dir() else set()
        if base in folders[folder]:
            found.add(row, folder + separator)
    if elsewhere := found.missing():
        _find_elsewhere(names, root, source, found, elsewhere)
    return found


def check_images(image_list: ImageList, data_dir: str | os.PathLike[str]) -> Sequence[Path]:
    """Find the files of all images of a list, see `find_images`.

    Raises:
        InputError: as `find_images`, or images are missing. The message lists the first ten with their lines, and an
            example of the files in the folder.
    """
    found = find_images(image_list.names, data_dir, image_list.path)
    if missing := found.missing():
        shown = [f"{image_list.names[row]} (line {image_list.lines[row]})" for row in missing]
        raise missing_images_error(image_list.path, data_dir, len(image_list), shown)
    return cast(Sequence[Path], found)


def find_missing(image_list: ImageList, data_dir: str | os.PathLike[str]) -> list[int]:
    """Return the rows of a list, from 0, whose images are missing. Raises InputError as `find_images`."""
    return find_images(image_list.names, data_dir, image_list.path).missing()


def missing_images_error(
    source: str | os.PathLike[str], data_dir: str | os.PathLike[str], total: int, missing: Sequence[str]
) -> InputError:
    """Build the error for missing images, with an example of the files in the folder."""
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    files = [f"{folder}{name}" for folder, name in _files(Path(data_dir))]
    stems = {_stem(name.partition(" (line ")[0]) for name in missing}
    similar = next((file for file in files if _stem(file) in stems), None)
    content = "there are no files"
    if files:
        content = f"there are {len(files):,} files, for example {shorten(similar or files[0])}"
    if similar:
        content += ", which has another suffix or other folders"
    return InputError(
        f"{source}: {len(missing)} of {total} images are missing in {data_dir} and its subfolders: {shown}; {content}"
    )


def _stem(name: str) -> str:
    """Return the name of a file without folders and suffix."""
    return name.rpartition("/")[2].rpartition(".")[0] or name.rpartition("/")[2]


def _find_elsewhere(
    names: Sequence[str], root: Path, source: str | os.PathLike[str], found: FoundImages, rows: Sequence[int]
) -> None:
    """Search the subfolders for the images in `rows`, and store their paths in `found`."""
    wanted: dict[str, list[int]] = {}
    for row in rows:
        wanted.setdefault(names[row].rpartition("/")[2], []).append(row)
    path_by_row: dict[int, str] = {}
    image_by_path = {path: name for row, name in enumerate(names) if (path := found.relative(row))}
    for folder, base in _files(root):
        for row in wanted.get(base, ()):
            path = f"{folder}{base}"
            if not _can_be_image(path, names[row]):
                continue
            if (other := path_by_row.setdefault(row, path)) != path:
                raise InputError(
                    f"{source}: {shorten(names[row])} matches both {shorten(other)} and {shorten(path)} in {root}; "
                    "expected one file: set --data_dir to the folder with the right files, or write the names in the "
                    "list with their folders"
                )
            found.add(row, folder)
    for row, path in path_by_row.items():
        if (other := image_by_path.setdefault(path, names[row])) != names[row]:
            raise InputError(
                f"{source}: {shorten(other)} and {shorten(names[row])} are two images, but both match the same file "
                f"{shorten(path)} in {root}"
            )


def _can_be_image(path: str, name: str) -> bool:
    """Return whether a file can be an image: one path ends in the other, or the name itself identifies the image."""
    if f"/{path}".endswith(f"/{name}") or f"/{name}".endswith(f"/{path}"):
        return True
    return image_id(name) != name


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the relative folder (`a/b/` or empty) and the name of each file, in sorted order.

    Links to folders are followed, each folder once.
    """
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders.sort()
        relative = Path(folder).relative_to(root).as_posix()
        yield from (("" if relative == "." else f"{relative}/", name) for name in sorted(names))
