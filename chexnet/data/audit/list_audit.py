"""Compare lists with each other, and with NIH's lists, the images, a label file and a checkpoint."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from chexnet.data.audit.fingerprint import TrainingOverlap, format_training_overlap, training_overlap
from chexnet.data.audit.list_passport import Passport, numbers_of_known, passport
from chexnet.data.lists import ImageList, LabelTable, check_classes, find_missing, image_id
from chexnet.errors import InputError
from chexnet.files.text_files import shorten_all
from chexnet.labels import CLASS_NAMES

MIN_IMAGES = 50
"""Minimum number of images with a finding, and without it, below which its AUROC is too uncertain."""


@dataclass(frozen=True)
class LabelChanges:
    """The differences between a list and a label file.

    Attributes:
        path: label file.
        absent: images of the list that are not in the label file.
        images: images of the list with other labels in the label file.
        positives: positives in the list and in the label file, for each finding with differences.
    """

    path: str
    absent: int
    images: int
    positives: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ListSummary:
    """The audit of one list.

    Attributes:
        path: list file.
        images: number of images.
        patients: number of known patients.
        positives: number of images with each finding, by its name.
        unknown_patients: number of images without a known patient; these patients are not counted.
        patients_by: origin of the patients, the patient file of the list or the image names.
        repeated: images that are listed again, in another folder or format.
        missing: images that are not in the image folder; None if this was not checked.
        changes: differences from a label file; None without one.
        seen: overlap with the training images of a checkpoint; None without a checkpoint, or if its metadata has no
            fingerprint.
    """

    path: str
    images: int
    patients: int
    positives: dict[str, int]
    unknown_patients: int
    patients_by: str
    repeated: tuple[str, ...]
    missing: tuple[str, ...] | None
    changes: LabelChanges | None
    seen: TrainingOverlap | None


@dataclass(frozen=True)
class Overlap:
    """The overlap of two lists.

    Attributes:
        first, second: list files.
        images: images in both lists.
        patients: known patients with images in both lists, whether the same images or not.
    """

    first: str
    second: str
    images: int
    patients: int


@dataclass(frozen=True)
class Audit:
    """The audit of several lists.

    Attributes:
        lists: audit of each list.
        shared: overlap of each pair of lists.
        official: overlap of each list with each of NIH's.
        passports: what the lists and those of NIH are.
    """

    lists: tuple[ListSummary, ...]
    shared: tuple[Overlap, ...]
    official: tuple[Overlap, ...]
    passports: tuple[Passport, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Problems of the lists, one line each."""
        shared = [
            f"{overlap.first} and {overlap.second} share {overlap.patients:,} patients and {overlap.images:,} images"
            for overlap in self.shared
            if overlap.patients or overlap.images
        ]
        return (*shared, *(f"{summary.path}: {text}" for summary in self.lists for text in _warnings(summary)))

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON-serializable values."""
        return {**asdict(self), "warnings": list(self.warnings)}


def audit(
    lists: Sequence[ImageList],
    classes: Sequence[str] = CLASS_NAMES,
    table: LabelTable | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    official: Sequence[ImageList] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Audit:
    """Audit the lists of a data set.

    Args:
        lists: lists with labels of `classes`.
        classes: names of the label columns.
        table: label file to compare the labels with.
        data_dir: image folder, to check that no image is missing.
        official: lists to compare the images with, such as NIH's `test_list.txt`, with labels of any classes or none.
        metadata: metadata of a checkpoint, to compare the images with those that it was trained on.

    Raises:
        InputError: the folder is missing, the label file or the `classes.txt` of a list has other classes, or the
            metadata is damaged.
    """
    if table is not None and table.classes != tuple(classes):
        raise InputError(
            f"{table.path}: its classes are {shorten_all(table.classes)}, but those of the lists are "
            f"{shorten_all(tuple(classes))}"
        )
    for image_list in lists:
        check_classes(image_list.path, classes)
    summaries = tuple(
        ListSummary(
            path=str(listed.path),
            images=len(listed),
            patients=len(listed.patients.known),
            positives=dict(zip(classes, listed.labels.sum(axis=0).tolist(), strict=True)),
            unknown_patients=listed.patients.unknown,
            patients_by=listed.patients.source,
            repeated=tuple(name for name, count in Counter(map(image_id, listed.names)).items() if count > 1),
            missing=None if data_dir is None else tuple(listed.names[row] for row in find_missing(listed, data_dir)),
            changes=None if table is None else _label_changes(listed, table),
            seen=None if metadata is None else training_overlap(metadata, listed.names, listed.patients),
        )
        for listed in lists
    )
    shared = tuple(_overlap(first, second) for first, second in combinations(lists, 2))
    with_official = tuple(_overlap(listed, other) for other in official for listed in lists)
    everything = (*lists, *official)
    numbers = numbers_of_known(everything)
    passports = tuple(passport(listed, classes, numbers) for listed in everything)
    return Audit(summaries, shared, with_official, passports)


def _overlap(first: ImageList, second: ImageList) -> Overlap:
    images = set(map(image_id, first.names)) & set(map(image_id, second.names))
    patients, _ = first.patients.matching(second.patients.identifiers)
    return Overlap(str(first.path), str(second.path), len(images), len(patients))


def _label_changes(image_list: ImageList, table: LabelTable) -> LabelChanges:
    rows = table.find(image_list.names)
    known = rows >= 0
    in_list, in_table = image_list.labels[known], table.labels[rows[known]]
    differ = in_list != in_table
    positives = {
        name: (int(in_list[:, c].sum()), int(in_table[:, c].sum()))
        for c, name in enumerate(table.classes)
        if differ[:, c].any()
    }
    return LabelChanges(str(table.path), int((~known).sum()), int(differ.any(axis=1).sum()), positives)


def _warnings(summary: ListSummary) -> Iterable[str]:
    undefined = [name for name, count in summary.positives.items() if count in (0, summary.images)]
    few = {name: count for name, count in summary.positives.items() if name not in undefined}
    few = {name: count for name, count in few.items() if min(count, summary.images - count) < MIN_IMAGES}
    if undefined:
        yield f"no AUROC, because there are only positives or only negatives: {', '.join(undefined)}"
    if few:
        counts = ", ".join(f"{name} {count}" for name, count in few.items())
        yield f"AUROC uncertain, because there are fewer than {MIN_IMAGES} positives or negatives: {counts}"
    if summary.unknown_patients:
        yield (
            f"the patients of {summary.unknown_patients:,} of {summary.images:,} images are unknown, because neither "
            "the image names nor a patient file identifies them; shared patients cannot be found"
        )
    if summary.repeated:
        yield f"{len(summary.repeated):,} images are repeated in another folder or format: {_first(summary.repeated)}"
    if summary.missing:
        yield f"{len(summary.missing):,} images are missing: {_first(summary.missing)}"
    if summary.changes and summary.changes.absent:
        yield f"{summary.changes.absent:,} images are not in {summary.changes.path}"
    if summary.changes and summary.changes.images:
        yield f"{summary.changes.images:,} images have other labels in {summary.changes.path}"
    if summary.seen and summary.seen.has_overlap:
        yield format_training_overlap(summary.seen)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
