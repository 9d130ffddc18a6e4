"""CSV files of predictions, with the column names of this and other programs."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.data.lists import Patients, check_agreement, clean_name, parse_label
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten, shorten_all

IMAGE_COLUMNS = (
    "image",
    "Image Index",
    "filename",
    "file name",
    "file",
    "path",
    "image path",
    "image name",
    "image id",
)
"""Names of the column with the image names. Case is ignored, and underscores are the same as spaces."""

PATIENT_COLUMNS = ("patient", "Patient ID")

PROBABILITY_FORMS = ("prob_{}", "{}_prob", "{}")
"""Names of the column with the probability of a class, in order of preference."""

LABEL_FORMS = ("label_{}", "{}_label", "{}")
"""Names of the column with the label of a class. `{}` is the probability in a file without the other forms."""

_BEGINNING = re.compile(r"(?:[A-Za-z]:)?/+|(?:\.\.?/+)+")
"""Beginning of a path that is absolute or leads out of the folder."""


@dataclass(frozen=True)
class PredictionTable:
    """Content of a CSV file of predictions.

    Attributes:
        origin: path of the file.
        names: N image names, each once.
        probabilities: float64 [N, C] in 0..1.
        labels: uint8 [N, C], 0 or 1; None if they were not read.
        given_patients: patients from a column; None without one.
    """

    origin: str
    names: tuple[str, ...]
    probabilities: np.ndarray
    labels: np.ndarray | None
    given_patients: Patients | None

    def select(self, rows: Sequence[int]) -> "PredictionTable":
        """Return the table of the images in the given rows."""
        return PredictionTable(
            self.origin,
            tuple(self.names[row] for row in rows),
            self.probabilities[rows],
            None if self.labels is None else self.labels[rows],
            self.given_patients and self.given_patients.select(rows),
        )


def plain(name: str) -> str:
    """Return a column or class name in lower case, with single spaces instead of underscores.

    >>> plain("Pleural_Thickening"), plain(" Image  Index")
    ('pleural thickening', 'image index')
    """
    return " ".join(name.replace("_", " ").split()).casefold()


def image_name(text: str, where: str) -> str:
    """Return an image name in a table as a relative path, see `clean_name`; the beginning of other paths is left out.

    >>> image_name("/data/images/00000001_000.png", "p.csv:2"), image_name("../a.png", "p.csv:2")
    ('data/images/00000001_000.png', 'a.png')

    Raises:
        InputError: the name is empty or has unprintable characters.
    """
    path = text.replace("\\", "/")
    beginning = _BEGINNING.match(path)
    return clean_name(path[beginning.end() :] if beginning else path, where)


def find_image_column(table: CsvFile) -> int:
    """Return the index of the column with the image names.

    Raises:
        InputError: there is none, or there are several and none is `image`.
    """
    wanted = [plain(name) for name in IMAGE_COLUMNS]
    found = [index for index, name in enumerate(table.header) if plain(name) in wanted]
    exact = [index for index in found if table.header[index] == IMAGE_COLUMNS[0]]
    if len(exact or found) != 1:
        names = shorten_all([table.header[index] for index in exact or found]) or "none"
        raise InputError(
            f"{table.where(1)}: the columns with image names are {names}, expected one of {', '.join(IMAGE_COLUMNS)}; "
            f"there are {shorten_all(table.header, limit=6)}"
        )
    return (exact or found)[0]


def read_table(path: str | os.PathLike[str], classes: Sequence[str], with_labels: bool) -> PredictionTable:
    """Read and check a CSV file of predictions. Columns may be in any order, and others are ignored.

    Args:
        path: CSV file, plain or compressed (.csv.gz).
        classes: class names.
        with_labels: whether the file must have labels.

    Raises:
        InputError: see `chexnet.evaluation.predictions.read_predictions`.
    """
    table = CsvFile(path, "CSV of predictions")
    columns = _Columns(table, classes, with_labels)
    lines: dict[str, int] = {}
    rows, patients = [], []
    for number, cells in table.rows(columns.indices):
        where = table.where(number)
        name = image_name(cells[0], where)
        if lines.setdefault(name, number) != number:
            raise InputError(f"{where}: {shorten(name)} is also in line {lines[name]}, expected each image once")
        if columns.with_patients:
            patients.append(cells.pop() or None)
        rows.append(_numbers(cells[1:], columns.names, len(classes), where))
    if not rows:
        raise InputError(f"{path}: no line below the header, expected one per image")
    names = tuple(lines)
    given = None
    if columns.with_patients:
        given = Patients(names, tuple(patients), str(path))
        check_agreement(names, given.ids, [table.where(line) for line in lines.values()])
    values = np.array(rows)  # float64 [N, C] or [N, 2 C]
    probabilities = values[:, : len(classes)]
    if columns.bare and np.isin(probabilities, (0, 1)).all():
        raise InputError(
            f"{table.where(1)}: the columns {shorten_all(columns.names, limit=3)} have only 0 and 1, expected "
            "probabilities; labels without probabilities cannot be evaluated"
        )
    labels = values[:, len(classes) :].astype(np.uint8) if with_labels else None
    return PredictionTable(str(path), names, probabilities, labels, given)


class _Columns:
    """The columns to read from a table.

    Attributes:
        indices: index of the image column, of the columns of all classes, and of the patient column if there is one.
        names: names of the columns of all classes: probabilities, then labels.
        bare: whether the probabilities have the names of the classes.
        with_patients: whether there is a patient column.
    """

    def __init__(self, table: CsvFile, classes: Sequence[str], with_labels: bool) -> None:
        self._table = table
        self._by_name = defaultdict(list)
        for index, column in enumerate(table.header):
            self._by_name[plain(column)].append(index)
        form = self._best_form(PROBABILITY_FORMS, classes)
        self.bare = form == "{}"
        label_form = self._best_form(LABEL_FORMS[:2] if self.bare else LABEL_FORMS, classes)
        self.names = [form.format(name) for name in classes]
        labels = [label_form.format(name) for name in classes]
        images = [name for name in IMAGE_COLUMNS if plain(name) in self._by_name]
        self._check(["image"] * (not images) + self.names, labels, with_labels, classes, (form, label_form))
        self.names += labels if with_labels else []
        patients = [name for name in PATIENT_COLUMNS if len(self._by_name.get(plain(name), ())) == 1]
        self.with_patients = bool(patients)
        self.indices = [find_image_column(table), *(self._index(name) for name in [*self.names, *patients[:1]])]

    def _best_form(self, forms: Sequence[str], classes: Sequence[str]) -> str:
        """Return the form that most classes have; the first of equally good ones."""
        return max(forms, key=lambda form: sum(plain(form.format(name)) in self._by_name for name in classes))

    def _index(self, name: str) -> int:
        """Return the index of a column, an exact match before one that differs in case or underscores."""
        matches = self._by_name[plain(name)]
        return next((index for index in matches if self._table.header[index] == name), matches[0])

    def _check(
        self, names: list[str], labels: list[str], with_labels: bool, classes: Sequence[str], forms: tuple[str, str]
    ) -> None:
        """Raise InputError if a header lacks a column, repeats one, or has one of an unknown finding."""
        wanted = [*names, *(labels if with_labels else [])]
        known = {plain(name) for name in [*names, *labels]}
        affixes = {form.replace("{}", "") for form in (*forms, PROBABILITY_FORMS[0], LABEL_FORMS[0])} - {""}
        prefixes = tuple(affix for affix in affixes if affix.endswith("_"))
        suffixes = tuple(affix for affix in affixes if affix.startswith("_"))
        counts = Counter(self._table.header)
        unknown = [
            name
            for name in counts
            if (name.startswith(prefixes) or (suffixes and name.endswith(suffixes))) and plain(name) not in known
        ]
        repeated = [name for name in [*names, *labels] if len(self._by_name.get(plain(name), ())) > 1]
        missing = [name for name in wanted if plain(name) not in self._by_name]
        expected = (
            f"expected image (or Image Index, filename, path), prob_<class> and label_<class> of the {len(classes)} "
            "classes, as eval.py --output_csv writes them; --classes_file FILE sets other classes"
        )
        faults = ((missing, "missing column"), (repeated, "repeated column"), (unknown, "unknown finding"))
        for found, fault in faults:
            if found:
                hint = "; --labels LIST provides the labels" if set(labels).issuperset(found) else ""
                message = f"{fault} {shorten_all(found, limit=3)}; {expected}{hint}"
                raise InputError(f"{self._table.where(1)}: {message}")


def _numbers(cells: Sequence[str], columns: Sequence[str], n_classes: int, where: str) -> list[float]:
    """Parse and check the probabilities and, after `n_classes` of them, the labels of a line."""
    values = []
    for index, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        is_label = index >= n_classes
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
