"""Whose images the names of a list are: by their names, or by a file that travels with the list."""

import csv
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import clean_name, patient_id
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten

BY_NAME = "the images' names"

_COLUMNS = ("image", "patient")


@dataclass(frozen=True)
class Patients:
    """The patients of some images, as far as they are known.

    Attributes:
        names: N images.
        given: N patients as a file gives them, None for one that it does not give; None altogether without a file.
        source: what says so, for people.
    """

    names: tuple[str, ...]
    given: tuple[str | None, ...] | None = None
    source: str = BY_NAME

    @cached_property
    def by_name(self) -> tuple[str | None, ...]:
        """What the N names say, see `patient_of`."""
        return tuple(map(patient_id, self.names))

    @cached_property
    def ids(self) -> tuple[str | None, ...]:
        """The N patients, None where unknown: a file's, else those of the names."""
        if self.given is None:
            return self.by_name
        return tuple(given or name for given, name in zip(self.given, self.by_name, strict=True))

    @property
    def unknown(self) -> int:
        """How many images have no known patient."""
        return self.ids.count(None)

    @cached_property
    def known(self) -> frozenset[str]:
        """The known patients."""
        return frozenset(one for one in self.ids if one is not None)

    @property
    def clusters(self) -> np.ndarray:
        """Numbers of the patients, int64 [N]; an image of an unknown one is a cluster of its own."""
        numbers: dict[tuple[bool, str], int] = {}
        keys = ((one is None, name if one is None else one) for one, name in zip(self.ids, self.names, strict=True))
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)

    @cached_property
    def evidence(self) -> frozenset[str]:
        """All that the patients are known by, in a file and in names."""
        return frozenset(one for ids in (self.ids, self.by_name) for one in ids if one is not None)

    def met(self, evidence: Collection[str]) -> tuple[frozenset[str], int]:
        """Which of the patients another list has, by that list's `evidence`, and how many of these images are theirs.

        A list with a file and one without it meet by what the names say.
        """
        met = frozenset(
            one
            for one, name in zip(self.ids, self.by_name, strict=True)
            if one is not None and (one in evidence or name in evidence)
        )
        return met, sum(one in met for one in self.ids)

    def of(self, rows: Sequence[int]) -> "Patients":
        """The patients of some of the images."""
        given = self.given and tuple(self.given[row] for row in rows)
        return Patients(tuple(self.names[row] for row in rows), given, self.source)


def check_agreement(names: Sequence[str], patients: Sequence[str | None], wheres: Sequence[str]) -> None:
    """Check that patients that a file gives do not divide those of the images' names.

    A file may call a patient otherwise than the names do. What it must not do is to give two patients where the names
    say that it is one, as a column of studies would.

    Args:
        names: N images.
        patients: N patients.
        wheres: for the beginnings of N messages.

    Raises:
        InputError: it does.
    """
    first: dict[str, tuple[str | None, str]] = {}
    for name, patient, where in zip(names, patients, wheres, strict=True):
        by_name = patient_id(name)
        if by_name is None:
            continue
        expected, example = first.setdefault(by_name, (patient, name))
        if patient != expected:
            raise InputError(
                f"{where}: {shorten(name)} is said to be of patient {shorten(str(patient))}, and {shorten(example)} of "
                f"{shorten(str(expected))}; by their names both are of {by_name}"
            )


def patients_path(list_file: str | os.PathLike[str]) -> Path:
    """The file that has the patients of a list, beside it: `train_list.txt[.gz]` -> `train_list.patients.csv`."""
    path = Path(list_file)
    stem = path.name.removesuffix(".gz").removesuffix(".txt")
    return path.with_name(f"{stem}.patients.csv")


def read_patients(list_file: str | os.PathLike[str], names: Sequence[str]) -> Patients:
    """Read whose images those of a list are: from the file beside it, else from their names.

    Args:
        list_file: the list.
        names: its N images.

    Raises:
        InputError: the file beside it has other images than the list, as after the list was changed, has one twice, or
            divides patients of the names.
    """
    path = patients_path(list_file)
    if not path.exists():
        return Patients(tuple(names))
    table = CsvFile(path, "file of patients")
    found: dict[str, tuple[str, str]] = {}
    for line, (image, patient) in table.rows([table.find(column) for column in _COLUMNS]):
        name, where = clean_name(image, table.where(line)), table.where(line)
        if not patient or not patient.isprintable():
            raise InputError(f"{where}: the patient is {shorten(patient)}, expected one for each image")
        if found.setdefault(name, (patient, where))[1] != where:
            raise InputError(f"{where}: {shorten(name)} is there a second time, expected each image once")
    missing = [name for name in names if name not in found]
    more = found.keys() - set(names)
    if missing or more:
        raise InputError(
            f"{path}: has not the images of {list_file}: {len(missing)} of its {len(names)} are missing, {len(more)} "
            f"are in addition, such as {shorten(missing[0] if missing else min(more))}; make both again "
            f"(tools/prepare_lists.py), or remove {path.name}: then the images' names say whose they are, if they do"
        )
    check_agreement(names, [found[name][0] for name in names], [found[name][1] for name in names])
    return Patients(tuple(names), tuple(found[name][0] for name in names), str(path))


def format_patients(names: Sequence[str], patients: Sequence[str]) -> str:
    """The text of such a file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *zip(names, patients, strict=True)])
    return text.getvalue()
