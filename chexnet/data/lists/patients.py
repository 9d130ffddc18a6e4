"""The patients of the images in a list, from a patient file next to the list or from the image names."""

import csv
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import clean_name, patient_id
from chexnet.data.lists.packed_names import PackedNames
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten

BY_NAME = "the images' names"

_COLUMNS = ("image", "patient")


@dataclass(frozen=True)
class Patients:
    """The patients of N images, as far as they are known.

    Attributes:
        names: N image names.
        file_ids: N patients from a file, None for unknown ones; None if there is no file.
        source: origin of the patients, for messages.
    """

    names: Sequence[str]
    file_ids: tuple[str | None, ...] | None = None
    source: str = BY_NAME

    @cached_property
    def name_ids(self) -> tuple[str | None, ...]:
        """N patients from the image names, see `patient_id`."""
        return tuple(map(patient_id, self.names))

    @cached_property
    def ids(self) -> tuple[str | None, ...]:
        """N patients from the file or, if it has none, from the image names; None for unknown ones."""
        if self.file_ids is None:
            return self.name_ids
        return tuple(file_id or name_id for file_id, name_id in zip(self.file_ids, self.name_ids, strict=True))

    @property
    def unknown(self) -> int:
        """Number of images without a known patient."""
        return self.ids.count(None)

    @cached_property
    def known(self) -> frozenset[str]:
        """Known patients."""
        return frozenset(patient for patient in self.ids if patient is not None)

    @property
    def clusters(self) -> np.ndarray:
        """Cluster numbers of the images, int64 [N]: one per known patient, and one per image of an unknown patient."""
        numbers: dict[tuple[bool, str], int] = {}
        keys = (
            (patient is None, name if patient is None else patient)
            for patient, name in zip(self.ids, self.names, strict=True)
        )
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """All identifiers of the known patients, from the file and from the image names."""
        return self.known | {patient for patient in self.name_ids if patient is not None}

    def matching(self, identifiers: Collection[str]) -> tuple[frozenset[str], int]:
        """Return the patients that match the `identifiers` of another list, and the number of their images.

        A patient matches by its identifier in the file or in the image name. So a list with a patient file can be
        compared with a list without one.
        """
        matches = frozenset(
            patient
            for patient, name_id in zip(self.ids, self.name_ids, strict=True)
            if patient is not None and (patient in identifiers or name_id in identifiers)
        )
        return matches, sum(patient in matches for patient in self.ids)

    def select(self, rows: Sequence[int]) -> "Patients":
        """Return the patients of the images in the given rows."""
        file_ids = self.file_ids and tuple(self.file_ids[row] for row in rows)
        return Patients(PackedNames(self.names[row] for row in rows), file_ids, self.source)


def check_agreement(names: Sequence[str], patients: Sequence[str | None], wheres: Sequence[str]) -> None:
    """Check that the patients in a file agree with the image names.

    A file may use other identifiers than the image names. But images of the same patient by their names must have the
    same patient in the file. This detects, for example, a column of study numbers.

    Args:
        names: N image names.
        patients: N patients in the file.
        wheres: N positions in the file, for messages.

    Raises:
        InputError: the file gives two patients to images with names of the same patient.
    """
    first: dict[str, tuple[str | None, str]] = {}
    for name, patient, where in zip(names, patients, wheres, strict=True):
        name_id = patient_id(name)
        if name_id is None:
            continue
        expected, example = first.setdefault(name_id, (patient, name))
        if patient != expected:
            raise InputError(
                f"{where}: {shorten(name)} has patient {shorten(str(patient))}, but {shorten(example)} has "
                f"{shorten(str(expected))}; both image names belong to patient {name_id}"
            )


def patients_path(list_file: str | os.PathLike[str]) -> Path:
    """Return the path of the patient file of a list: `train_list.txt[.gz]` -> `train_list.patients.csv`."""
    path = Path(list_file)
    stem = path.name.removesuffix(".gz").removesuffix(".txt")
    return path.with_name(f"{stem}.patients.csv")


def read_patients(list_file: str | os.PathLike[str], names: Sequence[str]) -> Patients:
    """Read the patients of a list from the patient file next to it or, without one, from the image names.

    Args:
        list_file: path of the list.
        names: N image names in the list.

    Raises:
        InputError: the patient file does not have the same images as the list, has an image twice, or contradicts the
            image names.
    """
    path = patients_path(list_file)
    if not path.exists():
        return Patients(names)
    table = CsvFile(path, "patient file")
    found: dict[str, tuple[str, str]] = {}
    for line, (image, patient) in table.rows([table.find(column) for column in _COLUMNS]):
        name, where = clean_name(image, table.where(line)), table.where(line)
        if not patient or not patient.isprintable():
            raise InputError(f"{where}: the patient is {shorten(patient)}, expected one per image")
        if found.setdefault(name, (patient, where))[1] != where:
            raise InputError(f"{where}: {shorten(name)} is repeated, expected each image once")
    missing = [name for name in names if name not in found]
    extra = found.keys() - set(names)
    if missing or extra:
        raise InputError(
            f"{path}: its images differ from those of {list_file}: {len(missing)} of {len(names)} are missing and "
            f"{len(extra)} are extra, for example {shorten(missing[0] if missing else min(extra))}; make both files "
            f"again with tools/prepare_lists.py, or remove {path.name} to take the patients from the image names"
        )
    check_agreement(names, [found[name][0] for name in names], [found[name][1] for name in names])
    return Patients(names, tuple(found[name][0] for name in names), str(path))


def format_patients(names: Sequence[str], patients: Sequence[str]) -> str:
    """Format a patient file, a CSV with one image and its patient per line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *zip(names, patients, strict=True)])
    return text.getvalue()
