"""Predicted probabilities of a list of images with their labels, in memory and as the CSV that eval.py writes."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chexnet.data.lists import ImageList, Patients
from chexnet.errors import InputError
from chexnet.evaluation.class_mapping import ClassMapping
from chexnet.evaluation.image_matching import match_images
from chexnet.evaluation.prediction_table import read_table
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


@dataclass(frozen=True)
class ImageSelection:
    """The images of a list that an evaluation is limited to.

    Attributes:
        origin: path of the list.
        names: image names.
        skip_missing: whether images without predictions are left out; otherwise they are an error.
    """

    origin: str
    names: Sequence[str]
    skip_missing: bool = False

    def rows(self, names: Sequence[str], origin: str) -> list[int]:
        """Return the rows of these images in a file of predictions, in its order.

        Raises:
            InputError: an image is missing and `skip_missing` is not set, no image is left, or a name matches several
                images.
        """
        match = match_images(names, origin, self.names, self.origin)
        if match.missing and not self.skip_missing:
            raise InputError(
                f"{origin}: {len(match.missing):,} of the {len(self.names):,} images in {self.origin} are missing, "
                f"such as {shorten(match.missing[0])}; --on_missing_image skip leaves them out"
            )
        if len(match.missing) == len(self.names):
            raise InputError(f"{origin}: has none of the {len(self.names):,} images in {self.origin}")
        return sorted(match.rows[match.rows >= 0].tolist())


def read_predictions(
    path: str | os.PathLike[str],
    labels: ImageList | None = None,
    classes: tuple[str, ...] = CLASS_NAMES,
    mapping: ClassMapping | None = None,
    selection: ImageSelection | None = None,
) -> Predictions:
    """Read and check a CSV file of predictions.

    Columns may be in any order; `chexnet.evaluation.prediction_table` lists their names. Others are ignored.

    Args:
        path: file with a column of image names, and for each class a column with the probability and one with the
            label. A column of patients is optional, and empty for images of unknown patients.
        labels: list of exactly these images, whose labels replace those of the file; the file then needs none. If the
            list has a file of patients, these replace those of the file, too. With `selection`, the list may have more
            images. With `mapping`, its classes are `mapping.findings`.
        classes: names of the classes with probabilities.
        mapping: findings to evaluate instead of `classes`. Without `labels`, the labels of the file are combined, too.
        selection: images to evaluate; None for all.

    Raises:
        InputError: the file cannot be read, lacks columns or has columns of unknown findings; a line has the wrong
            number of columns, a probability is not within 0..1, a label is neither 0 nor 1, or an image occurs twice;
            all columns with the names of the classes have only 0 and 1; or the list or the selection has other images.
    """
    table = read_table(path, classes, with_labels=labels is None)
    if selection:
        table = table.select(selection.rows(table.names, table.origin))
    probabilities = mapping.probabilities(table.probabilities) if mapping else table.probabilities
    given = table.given_patients
    if table.labels is not None:
        found = mapping.output_labels(table.labels) if mapping else table.labels
    else:
        assert labels is not None
        order = _alignment(str(labels.path), labels.names, table.origin, table.names, extra_allowed=bool(selection))
        if labels.patients.file_ids is not None or given is None:
            patients = labels.patients.select(order)
            given = Patients(table.names, patients.ids, patients.source)
        found = mapping.list_labels(labels.labels[order]) if mapping else labels.labels[order]
    return Predictions(table.origin, table.names, found, probabilities, mapping.classes if mapping else classes, given)


def _columns(kind: str, classes: Sequence[str]) -> list[str]:
    return [f"{kind}_{name}" for name in classes]


def _alignment(
    path: str, names: Sequence[str], wanted_path: str, wanted: Sequence[str], extra_allowed: bool = False
) -> list[int]:
    """Return the index in `names` of each wanted name; unless `extra_allowed`, both have the same images."""
    match = match_images(names, path, wanted, wanted_path)
    rows = match.rows.tolist()
    extra = set() if extra_allowed else set(range(len(names))) - set(rows)
    if match.missing or extra:
        example = match.missing[0] if match.missing else min(names[row] for row in extra)
        raise InputError(
            f"{path}: other images than {wanted_path}: {len(match.missing)} of {len(wanted)} are missing, {len(extra)} "
            f"are extra, such as {shorten(example)}; expected the same images, in any order"
        )
    return rows
