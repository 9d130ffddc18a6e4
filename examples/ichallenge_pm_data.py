"""Reader of iChallenge-PM's images and labels."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from labeled_images import Images
from PIL import Image

from chexnet.config import DEFAULT_WORKERS
from chexnet.data.images import open_image
from chexnet.errors import InputError
from chexnet.files.text_files import read_text
from chexnet.prefetch import prefetch_map

CLASSES = ("normal or high myopia", "pathologic myopia")
SIDE = 224
TRAINING = "PALM-Training400"
VALIDATION = "PALM-Validation400"
NAME_COLUMN, LABEL_COLUMN = "imgName", "Label"

_LABELS = {"P": 1, "H": 0, "N": 0}
"""First letter of a training image's name -> label: pathologic myopia, high (but not pathologic) myopia, normal."""


def read_folder(
    data: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    progress: Callable[[int, int], object],
    workers: int = DEFAULT_WORKERS,
) -> tuple[Images, Images]:
    """Read the training and the validation images, in color, resized to SIDE x SIDE pixels like in the tutorial.

    Args:
        data: folder with TRAINING and VALIDATION, unpacked.
        labels: CSV or XLSX with the columns NAME_COLUMN and LABEL_COLUMN, one row per image of VALIDATION.
        progress: receives the number of decoded images and of all images.
        workers: decoding threads.

    Returns:
        Images of uint8 [N, 3, SIDE, SIDE], red, green and blue, and labels, 1 for pathologic myopia.

    Raises:
        InputError: a folder is missing or not unpacked, the name of a training image does not give its label, an
            image has no label or a label no image, or an image cannot be decoded.
    """
    parts = find(data, labels)
    paths = [path for part in parts for path in part]
    pixels = np.empty((len(paths), 3, SIDE, SIDE), np.uint8)
    for index, image in enumerate(prefetch_map(_read_color, paths, workers, buffer_size=2 * workers)):
        pixels[index] = image
        progress(index + 1, len(paths))
    n_train = len(parts[0])
    train, val = (np.array(list(part.values()), np.int64) for part in parts)
    return Images(pixels[:n_train], train), Images(pixels[n_train:], val)


def find(data: str | os.PathLike[str], labels: str | os.PathLike[str]) -> tuple[dict[Path, int], dict[Path, int]]:
    """Return the training and the validation images with their labels, sorted by name. Raises as `read_folder`."""
    return (
        _label_by_name(_images(Path(data), TRAINING)),
        _label_by_table(_images(Path(data), VALIDATION), Path(labels)),
    )


def pair(images: Mapping[Path, int]) -> list[tuple[str, Image.Image]]:
    """Return title and photograph of a normal and of a pathologic eye: N0012 and P0095, or else the first ones.

    Raises:
        InputError: a photograph cannot be decoded.
    """
    chosen = []
    for letter, name, diagnosis in (("N", "N0012.jpg", "normal"), ("P", "P0095.jpg", "pathologic myopia")):
        candidates = [path for path in images if path.name[0] == letter]
        if candidates:
            path = next((path for path in candidates if path.name == name), candidates[0])
            chosen.append((f"{path.name}: {diagnosis}", open_image(path).convert("RGB")))
    return chosen


def _read_color(path: Path) -> np.ndarray:
    resized = open_image(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1)


def read_labels(path: Path) -> dict[str, int]:
    """Read image -> label, 0 or 1, from the columns NAME_COLUMN and LABEL_COLUMN of a CSV or XLSX file.

    Raises:
        InputError: the file cannot be read, a column is missing, or a row has no name, a repeated name or no
            label.
    """
    rows = _xlsx_rows(path) if path.suffix.lower() == ".xlsx" else _csv_rows(path)
    header = next(rows, (1, []))[1]
    columns = []
    for column in (NAME_COLUMN, LABEL_COLUMN):
        if header.count(column) != 1:
            raise InputError(f"{path}:1: {header.count(column)} columns {column!r}, expected one; there are {header}")
        columns.append(header.index(column))
    labels: dict[str, int] = {}
    for number, row in rows:
        if not any(row):
            continue
        name, label = (row[column] if column < len(row) else "" for column in columns)
        if not name or name in labels:
            raise InputError(f"{path}:{number}: {NAME_COLUMN} is {name!r}, expected the name of an image, each once")
        if label not in ("0", "1"):
            raise InputError(f"{path}:{number}: {LABEL_COLUMN} of {name} is {label!r}, expected 0 or 1")
        labels[name] = int(label)
    return labels


def _images(data: Path, name: str) -> list[Path]:
    """List the files of a folder; unpacking the published archive may nest it in a folder of the same name."""
    folder = data / name
    if (folder / name).is_dir():
        folder /= name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected the images of {name}.zip, unpacked there")
    files = sorted(folder.iterdir())
    if packed := [file.name for file in files if file.suffix.lower() == ".zip"]:
        raise InputError(f"{folder}: contains {packed[0]}, expected images; unpack it there, and move the archive away")
    if not files:
        raise InputError(f"{folder}: is empty, expected images")
    return files


def _label_by_name(images: list[Path]) -> dict[Path, int]:
    for image in images:
        if not re.fullmatch(r"[PHN]\S*\.jpg", image.name):
            raise InputError(
                f"{image}: the name does not start with a label, expected a name like P0001.jpg (pathologic myopia), "
                "H0001.jpg (high myopia) or N0001.jpg (normal); move other files away"
            )
    return {image: _LABELS[image.name[0]] for image in images}


def _label_by_table(images: list[Path], table: Path) -> dict[Path, int]:
    labels = read_labels(table)
    names = [image.name for image in images]
    for wanted, given, problem in (
        (names, labels, "images without a label"),
        (labels, names, "labels without an image"),
    ):
        if absent := sorted(set(wanted) - set(given)):
            shown = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
            raise InputError(f"{table}: {len(absent)} {problem} in {images[0].parent}, expected none: {shown}")
    return {image: labels[image.name] for image in images}


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row."""
    reader = csv.reader(io.StringIO(read_text(path, "label file")), strict=True)
    try:
        for row in reader:
            yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a CSV file: {error}") from error


def _xlsx_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each row of the first sheet."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise InputError(
            f"{path}: XLSX is read by openpyxl, which is not installed: pip install openpyxl, or save the file as CSV"
        ) from error
    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
        rows = list(workbook.worksheets[0].iter_rows(values_only=True))
    except Exception as error:  # openpyxl, zipfile and the XML parser raise various types
        raise InputError(f"{path}: not readable as XLSX: {str(error) or type(error).__name__}") from error
    for number, row in enumerate(rows, start=1):
        yield number, ["" if cell is None else str(cell).strip() for cell in row]
