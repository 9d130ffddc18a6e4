"""Predicted probabilities of a list of images with their labels, in memory and as the CSV that eval.py writes."""

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
    """Predicted probabilities and labels of a list of images.

    Attributes:
        origin: path of the list or CSV file.
        names: N image names, each once.
        labels: uint8 [N, C], 0 or 1.
        probabilities: float64 [N, C] in 0..1. Other types are converted, because saturated probabilities become equal
            in float32.
        classes: names of the C classes.
        given_patients: patients of the images from a file; None to derive them from the image names.
    """

    origin: str
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
        """Patients of the images."""
        return self.given_patients or Patients(self.names)

    def to_csv(self) -> str:
        """Return the predictions as CSV: `image`, `prob_<class>`, `label_<class>` and `patient`, one line per image.

        `patient` is empty if it is unknown.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", *_columns("prob", self.classes), *_columns("label", self.classes), "patient"])
        rows = zip(self.names, self.probabilities.tolist(), self.labels.tolist(), self.patients.ids, strict=True)
        for name, probabilities, labels, patient in rows:
            writer.writerow([name, *map(repr, probabilities), *labels, patient or ""])
        return text.getvalue()

    def align_to(self, other: "Predictions") -> "Predictions":
        """Return these predictions in the image order of `other`.

        Raises:
            InputError: the two differ in images, classes, labels or patients.
        """
        if self.classes != other.classes:
            raise InputError(
                f"{self.origin}: has the classes {shorten_all(self.classes)}, expected those of {other.origin}, "
                f"{shorten_all(other.classes)}"
            )
        order = _alignment(self.origin, self.names, other.origin, other.names)
        labels = self.labels[order]
        differing = np.argwhere(labels != other.labels)
        if len(differing):
            row, column = differing[0]
            raise InputError(
                f"{self.origin}: {len(np.unique(differing[:, 0]))} images have other labels than in {other.origin}, "
                f"the first is {other.names[row]}: {self.classes[column]} is {labels[row, column]}, expected "
                f"{other.labels[row, column]}; --labels LIST uses the same labels for both"
            )
        patients = self.patients.select(order)
        for name, patient, expected in zip(other.names, patients.ids, other.patients.ids, strict=True):
            if None not in (patient, expected) and patient != expected:
                raise InputError(
                    f"{self.origin}: the patient of {shorten(name)} is {patient}, expected {expected} as in "
                    f"{other.origin}"
                )
        return Predictions(self.origin, other.names, labels, self.probabilities[order], self.classes, patients)


def read_predictions(
    path: str | os.PathLike[str], labels: ImageList | None = None, classes: tuple[str, ...] = CLASS_NAMES
) -> Predictions:
    """Read and check a CSV file of predictions.

    Columns may be in any order. Those not named `image`, `patient`, `prob_...` or `label_...` are ignored.

    Args:
        path: file with the columns `image`, `prob_<class>` and `label_<class>` of all classes. The column `patient` is
            optional, and empty for images of unknown patients.
        labels: list of exactly these images, whose labels replace those of the file; the file then needs none. If the
            list has a file of patients, these replace those of the file, too.
        classes: class names.

    Raises:
        InputError: the file cannot be read, lacks columns or has columns of unknown findings; a line has the wrong
            number of columns, a probability is not within 0..1, a label is neither 0 nor 1, or an image occurs twice;
            or the list has other images.
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
            raise InputError(f"{where}: {shorten(name)} is also in line {lines[name]}, expected each image once")
        if with_patients:
            patients.append(cells.pop() or None)
        rows.append(_numbers(cells[1:], columns[1:], where))
    if not rows:
        raise InputError(f"{path}: no line below the header, expected one per image")
    names = tuple(lines)
    given = None
    if with_patients:
        given = Patients(names, tuple(patients), str(path))
        check_agreement(names, given.ids, [table.where(line) for line in lines.values()])
    values = np.array(rows)  # float64 [N, C] or [N, 2 C]
    probabilities = values[:, : len(classes)]
    if labels is None:
        return Predictions(str(path), names, values[:, len(classes) :].astype(np.uint8), probabilities, classes, given)
    order = _alignment(str(labels.path), labels.names, str(path), names)
    if labels.patients.file_ids is not None or given is None:
        given = labels.patients.select(order)
    return Predictions(str(path), names, labels.labels[order], probabilities, classes, given)


def _columns(kind: str, classes: Sequence[str]) -> list[str]:
    return [f"{kind}_{name}" for name in classes]


def _check_header(table: CsvFile, columns: Sequence[str], classes: Sequence[str]) -> None:
    """Raise InputError if a header lacks a column, repeats one, or has one of an unknown finding."""
    expected = (
        f"expected image, prob_<class> and label_<class> of the {len(classes)} classes, as eval.py --output_csv "
        "writes them; --classes_file FILE sets other classes"
    )
    labels = set(_columns("label", classes))
    known = {"image", "patient", *_columns("prob", classes), *labels}
    counts = Counter(table.header)
    repeated = [name for name, count in counts.items() if count > 1 and name in known]
    unknown = [name for name in counts if name.startswith(("prob_", "label_")) and name not in known]
    missing = [name for name in columns if name not in counts]
    for names, fault in ((missing, "missing column"), (repeated, "repeated column"), (unknown, "unknown finding")):
        if names:
            hint = "; --labels LIST provides the labels" if labels.issuperset(names) else ""
            raise InputError(f"{table.where(1)}: {fault} {shorten_all(names, limit=3)}; {expected}{hint}")


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str) -> list[float]:
    """Parse and check the probabilities and labels of a line."""
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


def _alignment(path: str, names: Sequence[str], wanted_path: str, wanted: Sequence[str]) -> list[int]:
    """Return the index in `names` of each wanted name; `names` has the same images in any order."""
    indices = {name: index for index, name in enumerate(names)}
    missing = [name for name in wanted if name not in indices]
    extra = indices.keys() - set(wanted)
    if missing or extra:
        example = missing[0] if missing else min(extra)
        raise InputError(
            f"{path}: other images than {wanted_path}: {len(missing)} of {len(wanted)} are missing, {len(extra)} are "
            f"extra, such as {shorten(example)}; expected the same images, in any order"
        )
    return [indices[name] for name in wanted]
