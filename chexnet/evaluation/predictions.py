"""Probabilities of a list of images beside their labels, in memory and as the CSV that eval.py writes."""

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chexnet.data.lists import ImageList, Patients, check_agreement, clean_name, parse_label
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten, shorten_all
from chexnet.labels import CLASS_NAMES


@dataclass(frozen=True)
class Predictions:
    """What was predicted on a list of images, and what is true.

    Attributes:
        source: the list or the file that they are from.
        names: N images, each once.
        labels: uint8 [N, C], 0 or 1.
        probabilities: float64 [N, C] in 0..1. Whatever is given is kept as float64, because in float32 saturated
            probabilities become equal.
        classes: names of the C classes.
        given_patients: whose images they are, as a list or a file says; None for what their names say.
    """

    source: str
    names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...] = CLASS_NAMES
    given_patients: Patients | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float64))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def patients(self) -> Patients:
        """Whose images they are."""
        return self.given_patients or Patients(self.names)

    def to_csv(self) -> str:
        """The text of a CSV: `image`, `prob_<class>`, `label_<class>` and `patient`, one line per image.

        `patient` is empty where it is not known.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", *_columns("prob", self.classes), *_columns("label", self.classes), "patient"])
        rows = zip(self.names, self.probabilities.tolist(), self.labels.tolist(), self.patients.ids, strict=True)
        for name, probabilities, labels, patient in rows:
            writer.writerow([name, *map(repr, probabilities), *labels, patient or ""])
        return text.getvalue()

    def align_to(self, other: "Predictions") -> "Predictions":
        """The same, image for image beside another one.

        Raises:
            InputError: the images or the classes are others, or their labels or patients differ.
        """
        if self.classes != other.classes:
            raise InputError(
                f"{self.source}: has the classes {shorten_all(self.classes)}, expected those of {other.source}, "
                f"{shorten_all(other.classes)}"
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
        patients = self.patients.select(order)
        for name, one, expected in zip(other.names, patients.ids, other.patients.ids, strict=True):
            if None not in (one, expected) and one != expected:
                raise InputError(
                    f"{self.source}: {shorten(name)} is of patient {one}, in {other.source} of {expected}; expected "
                    "the same in both"
                )
        return Predictions(self.source, other.names, labels, self.probabilities[order], self.classes, patients)


def read_predictions(
    path: str | os.PathLike[str], labels: ImageList | None = None, classes: tuple[str, ...] = CLASS_NAMES
) -> Predictions:
    """Read and check a CSV of predictions; its columns are found by their names, in any order.

    Columns called otherwise than `image`, `patient`, `prob_...` and `label_...` are left alone.

    Args:
        path: the file; `prob_<class>` and `label_<class>` of all classes. `patient` may be absent, or empty for images
            of unknown patients.
        labels: takes the place of the file's labels, which then may be absent: a list of exactly its images. So do its
            patients, if it has a file of these.
        classes: their names.

    Raises:
        InputError: the file cannot be read or lacks columns, has columns of unknown findings; a line is ragged, a
            probability not within 0..1, a label neither 0 nor 1, an image there twice; the list has other images.
    """
    table = CsvFile(path, "CSV of predictions")
    columns = ["image", *_columns("prob", classes), *([] if labels else _columns("label", classes))]
    _check_header(table, columns, classes)
    with_patients = "patient" in table.header
    lines: dict[str, int] = {}
    rows, patients = [], []
    for number, cells in table.rows([table.find(name) for name in [*columns, *["patient"] * with_patients]]):
        where = table.where(number)
        name = clean_name(cells[0], where)
        if lines.setdefault(name, number) != number:
            raise InputError(f"{where}: {shorten(name)} stands in line {lines[name]} already, expected it once")
        if with_patients:
            patients.append(cells.pop() or None)
        rows.append(_numbers(cells[1:], columns[1:], where))
    if not rows:
        raise InputError(f"{path}: no line below the header, expected one per image")
    names = tuple(lines)
    whose = None
    if with_patients:
        whose = Patients(names, tuple(patients), str(path))
        check_agreement(names, whose.ids, [table.where(line) for line in lines.values()])
    values = np.array(rows)  # float64 [N, C] or [N, 2 C]
    probabilities = values[:, : len(classes)]
    if labels is None:
        return Predictions(str(path), names, values[:, len(classes) :].astype(np.uint8), probabilities, classes, whose)
    order = _matched(str(labels.path), labels.names, str(path), names)
    if labels.patients.file_ids is not None or whose is None:
        whose = labels.patients.select(order)
    return Predictions(str(path), names, labels.labels[order], probabilities, classes, whose)


def _columns(kind: str, classes: Sequence[str]) -> list[str]:
    return [f"{kind}_{name}" for name in classes]


def _check_header(table: CsvFile, columns: Sequence[str], classes: Sequence[str]) -> None:
    """Refuses a header that lacks columns, has one twice, or one of an unknown finding."""
    expected = (
        f"expected image, prob_<class> and label_<class> of the {len(classes)} classes, as eval.py --output_csv "
        "writes them; --classes_file FILE names others"
    )
    labels = set(_columns("label", classes))
    known = {"image", "patient", *_columns("prob", classes), *labels}
    times = Counter(table.header)
    twice = [name for name, count in times.items() if count > 1 and name in known]
    unknown = [name for name in times if name.startswith(("prob_", "label_")) and name not in known]
    missing = [name for name in columns if name not in times]
    for names, what in ((missing, "lacks the column"), (twice, "has twice"), (unknown, "has of an unknown finding")):
        if names:
            hint = "; --labels LIST gives the labels" if labels.issuperset(names) else ""
            raise InputError(f"{table.where(1)}: {what} {shorten_all(names, limit=3)}; {expected}{hint}")


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str) -> list[float]:
    """Probabilities and labels of a line, checked."""
    values = []
    for column, cell in zip(columns, cells, strict=True):
        is_label = column.startswith("label_")
        value = parse_label(cell) if is_label else _float(cell)
        if value is None or ((value not in (0, 1)) if is_label else not 0 <= value <= 1):
            expected = "0 or 1" if is_label else "a number from 0 to 1"
            raise InputError(f"{where}: {column} is {shorten(cell)}, expected {expected}")
        values.append(float(value))
    return values


def _float(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _matched(path: str, names: Sequence[str], wanted_path: str, wanted: Sequence[str]) -> list[int]:
    """For each wanted name its place among `names`, which are the same images in any order."""
    places = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted if name not in places]
    more = places.keys() - set(wanted)
    if missing or more:
        example = missing[0] if missing else min(more)
        raise InputError(
            f"{path}: other images than {wanted_path}: {len(missing)} of its {len(wanted)} are missing, {len(more)} "
            f"are there in addition, such as {shorten(example)}; expected the same images, in any order"
        )
    return [places[name] for name in wanted]
