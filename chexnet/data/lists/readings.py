"""Readings of images, merged to one label per image and finding."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists.label_tables import LabelTable
from chexnet.data.lists.label_values import UNCERTAIN
from chexnet.data.lists.patients import check_agreement
from chexnet.errors import InputError
from chexnet.files.text_files import shorten

BLANK = 2
"""Label that a file leaves out."""


@dataclass(frozen=True)
class Reading:
    """The labels of an image by one reader.

    Attributes:
        name: image name.
        where: file and line, for messages.
        patient: the patient, None if unknown.
        part: part of the data set; empty for none.
        reader: the reader; empty if unknown.
        labels: 0, 1, UNCERTAIN or BLANK per class.
    """

    name: str
    where: str
    patient: str | None
    part: str
    reader: str
    labels: list[int]


def merge(
    readings: Iterable[Reading],
    path: Path,
    classes: Sequence[str],
    rule: str = "",
    uncertain: str | None = None,
    notes: Sequence[str] = (),
) -> LabelTable:
    """Merge the readings of each image.

    An image with several readings is uncertain about a finding if its uncertain readings decide. Blank labels count as
    absent, but the merged label is blank if all of them are.

    Args:
        readings: all readings.
        path: label file, for messages.
        classes: C class names.
        rule: one of `layouts.READER_RULES`; empty to refuse several readings of an image.
        uncertain: see `csv_tables.read_csv`.
        notes: sentences on the file.

    Raises:
        InputError: there are no images, an image has two readings without `rule`, two patients or two parts, images of
            one patient by their names have two patients, or a label is uncertain without `uncertain`.
    """
    images = _by_image(readings, path, rule)
    first = [found[0] for found in images.values()]
    raw = np.array([_merge_labels([one.labels for one in found], rule) for found in images.values()], np.int8)
    if uncertain is None and (raw == UNCERTAIN).any():
        row, column = np.argwhere(raw == UNCERTAIN)[0].tolist()
        raise InputError(
            f"{first[row].where}: {classes[column]} is uncertain (-1); choose --uncertain zeros, ones or drop"
        )
    names = [one.name for one in first]
    check_agreement(names, [one.patient for one in first], [one.where for one in first])
    kept = (raw != UNCERTAIN).all(axis=1) if uncertain == "drop" else np.ones(len(raw), bool)
    if not kept.any():
        raise InputError(f"{path}: every image has an uncertain label, so --uncertain drop leaves no images")
    rows = np.flatnonzero(kept).tolist()
    return LabelTable(
        path=path,
        names=tuple(names[row] for row in rows),
        labels=np.where(raw == UNCERTAIN, uncertain == "ones", raw == 1).astype(np.uint8)[kept],
        patients=tuple(first[row].patient for row in rows),
        classes=tuple(classes),
        uncertain=tuple((raw == UNCERTAIN).sum(axis=0).tolist()),
        blank=tuple((raw == BLANK).sum(axis=0).tolist()),
        dropped=len(raw) - len(rows),
        parts=tuple(first[row].part for row in rows),
        notes=(*notes, *_notes(images, classes, rule)),
    )


def _by_image(readings: Iterable[Reading], path: Path, rule: str) -> dict[str, list[Reading]]:
    images: dict[str, list[Reading]] = {}
    for reading in readings:
        others = images.setdefault(reading.name, [])
        others.append(reading)
        if len(others) == 1:
            continue
        first = others[0]
        if not rule:
            raise InputError(
                f"{reading.where}: {shorten(reading.name)} is already in {_place(first.where, reading.where)}, "
                "expected each image once; --readers any, majority or all merges the rows of an image"
            )
        for kind, found, expected in (
            ("patient", reading.patient, first.patient),
            ("part", reading.part, first.part),
        ):
            if found != expected:
                raise InputError(
                    f"{reading.where}: the {kind} of {shorten(reading.name)} is {shorten(str(found))}, expected "
                    f"{shorten(str(expected))} as in {_place(first.where, reading.where)}"
                )
    if not images:
        raise InputError(f"{path}: no images, expected one per line below the header")
    return images


def _place(where: str, seen_from: str) -> str:
    """Return a position as `line N`, or with its file if that is another one."""
    path, _, line = where.rpartition(":")
    return f"line {line}" if path == seen_from.rpartition(":")[0] else where


def _merge_labels(votes: list[list[int]], rule: str) -> list[int]:
    if len(votes) == 1:
        return votes[0]
    merged = []
    for column in zip(*votes, strict=True):
        present, unsure, count = column.count(1), column.count(UNCERTAIN), len(column)
        # The number of present votes that the rule needs.
        needed = {"any": 1, "majority": count // 2 + 1, "all": count}[rule]
        if present >= needed:
            merged.append(1)
        elif present + unsure >= needed:
            merged.append(UNCERTAIN)
        else:
            merged.append(BLANK if column.count(BLANK) == count else 0)
    return merged


def _notes(images: dict[str, list[Reading]], classes: Sequence[str], rule: str) -> list[str]:
    several = [found for found in images.values() if len(found) > 1]
    if not several:
        return []
    counts = Counter(map(len, images.values()))
    per_image = ", ".join(f"{number:,} with {count}" for count, number in sorted(counts.items()))
    notes = [f"readings per image: {per_image}; merged by --readers {rule}"]
    differ = np.zeros(len(classes), int)
    for found in several:
        votes = np.array([reading.labels for reading in found])
        votes[votes == BLANK] = 0
        differ += (votes != votes[0]).any(axis=0)
    pairs = zip(classes, differ.tolist(), strict=True)
    disagreements = ", ".join(f"{name} {count:,}" for name, count in pairs if count)
    notes.append(f"images that readers disagree on: {disagreements or 'none'}")
    repeated = sum(len(found) - len({reading.reader for reading in found}) for found in several if found[0].reader)
    if repeated:
        notes.append(f"{repeated:,} readings repeat an image and its reader; each of them counts")
    return notes
