"""Files of ground-truth boxes and polygons: NIH's, RSNA's, VinDr-CXR's and ChestX-Det's."""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chexnet.data.lists import parse_label, read_annotations
from chexnet.data.lists.csv_cells import plain
from chexnet.errors import InputError
from chexnet.evaluation.localization.boxes import BOX_SPACE, Box, GroundTruthBox
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import read_text, shorten, shorten_all
from chexnet.labels import BOX_FILE_SPELLINGS, CLASS_NAMES

_NIH_HEADER = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
_SYNONYMS = {"pleural effusion": "Effusion", "pulmonary fibrosis": "Fibrosis"}
"""Findings of VinDr-CXR in lower case -> class of ChestX-ray14."""


@dataclass(frozen=True)
class _BoxTable:
    """The columns of a CSV file with a box per row.

    Attributes:
        image: column of the image, without the suffix of its file.
        edges: left, top, and then width and height or, if `corners`, right and bottom.
        corners: whether the last two of `edges` are right and bottom.
        finding: column of the finding; empty if `present` contains 1 for the finding `name`.
        name: finding of all boxes; empty if `finding` names it.
        present: column with 0 for images without a box; empty if rows without a box have blank `edges`.
        space: coordinate system, see `GroundTruthBox.space`.
    """

    image: str
    edges: tuple[str, str, str, str]
    corners: bool
    finding: str = ""
    name: str = ""
    present: str = ""
    space: tuple[float, float] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns."""
        return (self.image, *self.edges, self.finding or self.present)


_TABLES = (
    # RSNA Pneumonia Detection Challenge, stage_2_train_labels.csv: images of 1024 x 1024 pixels.
    _BoxTable(
        "patientId",
        ("x", "y", "width", "height"),
        corners=False,
        name="Pneumonia",
        present="Target",
        space=(BOX_SPACE, BOX_SPACE),
    ),
    # VinDr-CXR, annotations_train.csv and annotations_test.csv, and train.csv of its Kaggle competition.
    _BoxTable("image_id", ("x_min", "y_min", "x_max", "y_max"), corners=True, finding="class_name"),
)


def read_boxes(path: str | os.PathLike[str], classes: Sequence[str] = CLASS_NAMES) -> tuple[GroundTruthBox, ...]:
    """Read a file of boxes, in file order: NIH's, RSNA's or VinDr-CXR's CSV, or ChestX-Det's JSON.

    Findings are compared with `classes` without regard to case and underscores. A finding of no class keeps its name.

    Args:
        path: the file; CSV files may be compressed (.csv.gz).
        classes: classes of the network.

    Raises:
        InputError: the file is missing, of another format or without boxes, or a line has the wrong number of columns,
            a path instead of a file name, or a box that is not four numbers. Boxes outside the image are not an error,
            see `GroundTruthBox.fault`.
    """
    path = Path(path)
    named = _class_by_spelling(classes)
    if path.suffix == ".json":
        boxes = tuple(_annotated(path, named))
    else:
        table = _table_of(path)
        boxes = tuple(_read_nih(path, named) if table is None else _read_table(path, table, named))
    if not boxes:
        raise InputError(f"{path}: no boxes, expected one per line")
    return boxes


def _class_by_spelling(classes: Sequence[str]) -> dict[str, str]:
    named = {plain(nih): name for name, nih in BOX_FILE_SPELLINGS.items()} | _SYNONYMS
    named = {spelling: name for spelling, name in named.items() if name in classes}
    return named | {plain(name): name for name in classes}


def _table_of(path: Path) -> _BoxTable | None:
    """Return the format of a CSV file; None for NIH's, whose header has columns without a name."""
    text = read_text(path, "box file")
    first = text.partition("\n")[0]
    if [column.strip() for column in first.split(",")][: len(_NIH_HEADER)] == _NIH_HEADER:
        return None
    header = [column.strip().strip('"') for column in first.replace(";", ",").split(",")]
    found = next((table for table in _TABLES if set(table.columns) <= set(header)), None)
    if found is None:
        formats = "; ".join(",".join(columns) for columns in (_NIH_HEADER, *(table.columns for table in _TABLES)))
        raise InputError(f"{path}:1: the header is {first[:60]!r}, expected one with the columns of {formats}")
    return found


def _annotated(path: Path, named: Mapping[str, str]) -> Iterator[GroundTruthBox]:
    for image in read_annotations(path):
        for finding, (left, top, right, bottom), polygon in zip(
            image.findings, image.boxes, image.polygons, strict=True
        ):
            yield GroundTruthBox(
                image.name,
                named.get(plain(finding), finding),
                (left, top, right - left, bottom - top),
                image.where,
                polygon=polygon,
            )


def _read_table(path: Path, table: _BoxTable, named: Mapping[str, str]) -> Iterator[GroundTruthBox]:
    file = CsvFile(path, "box file")
    for line, (image, *edges, value) in file.rows([file.find(column) for column in table.columns]):
        where = file.where(line)
        _check_image(image, where)
        finding = table.name or value
        present = parse_label(value) if table.present else None
        if table.present and present not in (0, 1):
            raise InputError(f"{where}: {table.present} is {shorten(value)}, expected 0 or 1")
        if not any(edges) and present != 1:  # an image without a box
            continue
        yield GroundTruthBox(
            image, named.get(plain(finding), finding), _box(edges, table, where), where, space=table.space
        )


def _box(edges: Sequence[str], table: _BoxTable, where: str) -> Box:
    x, y, third, fourth = _numbers(edges, ", ".join(table.edges), where)
    return (x, y, third - x, fourth - y) if table.corners else (x, y, third, fourth)


def _read_nih(path: Path, named: Mapping[str, str]) -> Iterator[GroundTruthBox]:
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, "box file"))))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file ({error}), expected a box file like BBox_List_2017.csv") from error
    for number, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        where = f"{path}:{number}"
        if len(row) < 6 or any(row[6:]):
            raise InputError(f"{where}: {len(row)} columns, expected an image, a finding, x, y, w and h")
        image, finding = row[0].strip(), row[1].strip()
        _check_image(image, where)
        if not finding:
            raise InputError(f"{where}: the finding is empty, expected its name")
        box = _numbers(row[2:6], "x, y, w and h", where)
        yield GroundTruthBox(image, named.get(plain(finding), finding), box, where)


def _check_image(image: str, where: str) -> None:
    if not image or image in (".", "..") or "/" in image or "\\" in image:
        raise InputError(f"{where}: {shorten(image)} is not the name of a file in the image folder")


def _numbers(cells: Sequence[str], names: str, where: str) -> Box:
    try:
        x, y, third, fourth = map(float, cells)
    except ValueError:
        x = y = third = fourth = math.nan
    if not all(map(math.isfinite, (x, y, third, fourth))):
        raise InputError(f"{where}: the box is {shorten(','.join(cells))}, expected four numbers: {names}")
    return x, y, third, fourth


def describe_unknown(boxes: Sequence[GroundTruthBox], classes: Sequence[str]) -> str:
    """Return the numbers of boxes of findings that are no class, as text; empty if there are none."""
    counts: dict[str, int] = {}
    for box in boxes:
        if box.finding not in classes:
            counts[box.finding] = counts.get(box.finding, 0) + 1
    if not counts:
        return ""
    listed = shorten_all([f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])])
    return f"{sum(counts.values()):,} boxes of findings that the checkpoint has no class for: {listed}"
