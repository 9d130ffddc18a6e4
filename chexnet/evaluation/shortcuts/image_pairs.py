"""Files of pairs: two images of a patient that differ in one planted thing."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten

COLUMNS = ("patient", "planted", "without", "with")
MIN_PATIENTS = 2


@dataclass(frozen=True)
class Pair:
    """Two images of a patient that differ in one thing.

    Attributes:
        patient: identifier of the patient.
        planted: name of the thing; that of a class of the network if it is a finding.
        without, with_it: image files.
    """

    patient: str
    planted: str
    without: Path
    with_it: Path


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read a CSV file with the columns `patient`, `planted`, `without` and `with`, in any order among others.

    The last two are image files; relative paths start at the folder of the CSV file.

    Raises:
        InputError: the file cannot be read, lacks a column or has no line; a cell is empty; an image does not exist;
            both images of a pair are the same file; a pair occurs twice; or something is planted in fewer than
            MIN_PATIENTS patients, so that it has no interval.
    """
    table = CsvFile(path, "CSV of pairs")
    folder = Path(path).parent
    lines: dict[Pair, int] = {}
    for number, cells in table.rows([table.find(name) for name in COLUMNS]):
        where = table.where(number)
        for name, cell in zip(COLUMNS, cells, strict=True):
            if not cell or not cell.isprintable():
                raise InputError(f"{where}: {name} is {shorten(cell)}, expected text of one line")
        patient, planted, *names = cells
        without, with_it = (folder / name for name in names)
        for image in (without, with_it):
            if not image.is_file():
                raise InputError(f"{where}: {image}: no such image file")
        if without == with_it:
            raise InputError(f"{where}: {shorten(names[0])} with and without {planted}, expected two images")
        pair = Pair(patient, planted, without, with_it)
        if lines.setdefault(pair, number) != number:
            raise InputError(f"{where}: the pair is also in line {lines[pair]}, expected each pair once")
    if not lines:
        raise InputError(f"{path}: no line below the header, expected one per pair of images")
    patients = Counter(planted for planted, _ in {(pair.planted, pair.patient) for pair in lines})
    for planted, count in patients.items():
        if count < MIN_PATIENTS:
            raise InputError(f"{path}: {planted} is planted in {count} patient, expected at least {MIN_PATIENTS}")
    return list(lines)
