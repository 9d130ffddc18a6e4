"""Probabilities of a list of images beside their labels, in memory and as the CSV that eval.py writes."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.lists import ImageList, patient_of


@dataclass(frozen=True)
class Predictions:
    """What was predicted on a list of images, and what is true.

    Attributes:
        source: the list or the file that they are from.
        names: N images, each once.
        labels: uint8 [N, C], 0 or 1.
        probabilities: float32 [N, C] in 0..1.
        classes: names of the C classes.
    """

    source: str
    names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...] = CLASS_NAMES

    def __len__(self) -> int:
        return len(self.names)

    @property
    def patients(self) -> np.ndarray:
        """Whose images they are, str [N]."""
        return np.array([patient_of(name) for name in self.names])

    def to_csv(self) -> str:
        """The text of a CSV: `image`, `prob_<class>` and `label_<class>`, one line an image."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", *_columns("prob", self.classes), *_columns("label", self.classes)])
        for name, row, labels in zip(self.names, self.probabilities, self.labels.tolist(), strict=True):
            writer.writerow([name, *(str(value) for value in row), *labels])
        return text.getvalue()

    def in_order_of(self, other: "Predictions") -> "Predictions":
        """The same, image for image beside another one.

        Raises:
            InputError: the images or the classes are others, or their labels differ.
        """
        if self.classes != other.classes:
            raise InputError(
                f"{self.source}: has the classes {', '.join(self.classes)}, expected those of {other.source}, "
                f"{', '.join(other.classes)}"
            )
        order = _matched(self.source, self.names, other.source, other.names)
        labels = self.labels[order]
        differing = np.argwhere(labels != other.labels)
        if len(differing):
            row, column = differing[0]
            raise InputError(
                f"{self.source}: {len(np.unique(differing[:, 0]))} images have other labels than in {other.source}, "
                f"the first {other.names[row]}: {self.classes[column]} is {labels[row, column]}, expected "
                f"{other.labels[row, column]}; take the labels of both from one list with --labels"
            )
        return Predictions(self.source, other.names, labels, self.probabilities[order], self.classes)


def read_predictions(
    path: str | os.PathLike[str], labels: ImageList | None = None, classes: tuple[str, ...] = CLASS_NAMES
) -> Predictions:
    """Reads and checks a CSV of predictions; its columns are found by their names, in any order.

    Columns called otherwise than `image`, `prob_...` and `label_...` are left alone.

    Args:
        path: the file; `prob_<class>` and `label_<class>` of all classes.
        labels: takes the place of the file's labels, which then may be absent: a list of exactly its images.
        classes: their names.

    Raises:
        InputError: the file cannot be read or lacks columns, has columns of unknown findings; a line is ragged, a
            probability not within 0..1, a label neither 0 nor 1, an image there twice; the list has other images.
    """
    columns = ["image", *_columns("prob", classes), *([] if labels else _columns("label", classes))]
    names: dict[str, int] = {}
    rows = []
    for number, cells in _read(path, columns, classes):
        where = f"{path}:{number}"
        name = cells[0]
        if names.setdefault(name, number) != number:
            raise InputError(f"{where}: {name} stands in line {names[name]} already, expected it once")
        rows.append(_numbers(cells[1:], columns[1:], where))
    values = np.array(rows)  # float64 [N, C] or [N, 2 C]
    probabilities = values[:, : len(classes)].astype(np.float32)
    if labels is None:
        return Predictions(str(path), tuple(names), values[:, len(classes) :].astype(np.uint8), probabilities, classes)
    order = _matched(str(labels.path), labels.names, str(path), tuple(names))
    return Predictions(str(path), tuple(names), labels.labels[order], probabilities, classes)


def _columns(kind: str, classes: Sequence[str]) -> list[str]:
    return [f"{kind}_{name}" for name in classes]


def _read(
    path: str | os.PathLike[str], columns: Sequence[str], classes: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """The number of each line below the header and its cells in the order of `columns`."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            places = _places(header, columns, classes, str(path))
            empty = True
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise InputError(
                        f"{path}:{reader.line_num}: {len(cells)} columns, expected {len(header)} as in the header"
                    )
                empty = False
                yield reader.line_num, [cells[place] for place in places]
            if empty:
                raise InputError(f"{path}: no line below the header, expected one an image")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from error


def _places(header: list[str], columns: Sequence[str], classes: Sequence[str], path: str) -> list[int]:
    """Where the columns stand."""
    expected = (
        f"expected image, prob_<class> and label_<class> of the {len(classes)} classes, as eval.py --predictions "
        "writes them; --classes FILE names others"
    )
    labels = _columns("label", classes)
    known = {"image", *_columns("prob", classes), *labels}
    twice = sorted({name for name in header if header.count(name) > 1 and name in known})
    unknown = [name for name in header if name.startswith(("prob_", "label_")) and name not in known]
    missing = [name for name in columns if name not in header]
    for names, what in ((missing, "lacks the column"), (twice, "has twice"), (unknown, "has of an unknown finding")):
        if names:
            hint = "; --labels LIST gives the labels" if all(name in labels for name in names) else ""
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise InputError(f"{path}:1: {what} {shown}; {expected}{hint}")
    return [header.index(name) for name in columns]


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str) -> list[float]:
    """Probabilities and labels of a line, checked."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    for index, cell in enumerate(cells):
        is_label = columns[index].startswith("label_")
        value = values[index] if values else _float(cell)
        if (value not in (0, 1)) if is_label else not 0 <= value <= 1:
            expected = "0 or 1" if is_label else "a number from 0 to 1"
            raise InputError(f"{where}: {columns[index]} is {cell!r}, expected {expected}")
    return values


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _matched(path: str, names: Sequence[str], wanted_path: str, wanted: Sequence[str]) -> list[int]:
    """For each wanted name its place among `names`, which are the same images in any order."""
    places = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted if name not in places]
    more = places.keys() - set(wanted)
    if missing or more:
        example = missing[0] if missing else min(more)
        raise InputError(
            f"{path}: other images than {wanted_path}: {len(missing)} of its {len(wanted)} are missing, {len(more)} "
            f"are there in addition, such as {example}; expected the same images, in any order"
        )
    return [places[name] for name in wanted]


def source_name(predictions: Predictions) -> str:
    """The last part of where they are from."""
    return Path(predictions.source).name
