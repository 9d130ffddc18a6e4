"""Lists beside each other, beside NIH's, the images and the label file."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from chexnet.data.audit.fingerprint import TrainingOverlap, format_training_overlap, training_overlap
from chexnet.data.lists import ImageList, LabelTable, check_classes, find_missing, image_id
from chexnet.errors import InputError
from chexnet.files.text_files import shorten_all
from chexnet.labels import CLASS_NAMES

FEW = 50
"""Below so many images with a finding, or without it, an AUROC says little."""


@dataclass(frozen=True)
class LabelChanges:
    """Where a list and a label file differ.

    Attributes:
        path: the label file.
        absent: images of the list that are not in it.
        images: images of the list that have other labels in it.
        positives: of each finding with differences, the images that have it in the list, and in the label file.
    """

    path: str
    absent: int
    images: int
    positives: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ListFacts:
    """What is known of one list.

    Attributes:
        path: the list file.
        images: how many it names.
        patients: how many are known that these are of.
        positives: images with each finding, by its name.
        unknown_patients: images of which it is not known whose they are; these patients are not counted.
        patients_by: what says whose images they are: the file with the patients beside the list, or their names.
        repeated: images that it names again, in another folder or format.
        missing: images that are not in the image folder; None if nobody has looked.
        changes: against a label file; None without one.
        seen: what a checkpoint was trained on of it; None without a checkpoint, or if its JSON does not say.
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
    """What two lists share.

    Attributes:
        first, second: the list files.
        images: in both.
        patients: known ones with images in both, be they the same or not.
    """

    first: str
    second: str
    images: int
    patients: int


@dataclass(frozen=True)
class Audit:
    """What is known of some lists.

    Attributes:
        lists: each by itself.
        shared: every two of them.
        official: each of them with each of NIH's.
    """

    lists: tuple[ListFacts, ...]
    shared: tuple[Overlap, ...]
    official: tuple[Overlap, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against using the lists as they are, a sentence each."""
        told = [
            f"{one.first} and {one.second} share {one.patients:,} patients and {one.images:,} images"
            for one in self.shared
            if one.patients or one.images
        ]
        return (*told, *(f"{one.path}: {warning}" for one in self.lists for warning in _warnings(one)))

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {**asdict(self), "warnings": list(self.warnings)}


def audit(
    lists: Sequence[ImageList],
    classes: Sequence[str] = CLASS_NAMES,
    table: LabelTable | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    official: Sequence[ImageList] = (),
    trained: Mapping[str, Any] | None = None,
) -> Audit:
    """Looks at lists from all sides.

    Args:
        lists: of one data set, with labels of `classes`.
        classes: names of the labels' columns.
        table: a label file, to compare labels with.
        data_dir: the image folder, to look for the images.
        official: lists of names, as NIH's `test_list.txt`, to compare with.
        trained: what stands in the JSON beside a checkpoint.

    Raises:
        InputError: the folder is missing, the label file or `classes.txt` beside a list has other classes, or the JSON
            is damaged.
    """
    if table is not None and table.classes != tuple(classes):
        raise InputError(
            f"{table.path}: its classes are {shorten_all(table.classes)}, the lists' {shorten_all(tuple(classes))}"
        )
    for one in lists:
        check_classes(one.path, classes)
    facts = tuple(
        ListFacts(
            path=str(one.path),
            images=len(one),
            patients=len(one.patients.known),
            positives=dict(zip(classes, one.labels.sum(axis=0).tolist(), strict=True)),
            unknown_patients=one.patients.unknown,
            patients_by=one.patients.source,
            repeated=tuple(name for name, times in Counter(map(image_id, one.names)).items() if times > 1),
            missing=None if data_dir is None else tuple(one.names[row] for row in find_missing(one, data_dir)),
            changes=None if table is None else _changes(one, table),
            seen=None if trained is None else training_overlap(trained, one.names, one.patients),
        )
        for one in lists
    )
    shared = tuple(_overlap(one, other) for one, other in combinations(lists, 2))
    beside = tuple(_overlap(one, other) for other in official for one in lists)
    return Audit(facts, shared, beside)


def _overlap(one: ImageList, other: ImageList) -> Overlap:
    images = set(map(image_id, one.names)) & set(map(image_id, other.names))
    patients, _ = one.patients.met(other.patients.evidence)
    return Overlap(str(one.path), str(other.path), len(images), len(patients))


def _changes(image_list: ImageList, table: LabelTable) -> LabelChanges:
    """The differences between the labels of a list and those of a table."""
    rows = table.find(image_list.names)
    known = rows >= 0
    ours, theirs = image_list.labels[known], table.labels[rows[known]]
    differ = ours != theirs
    positives = {
        name: (int(ours[:, c].sum()), int(theirs[:, c].sum()))
        for c, name in enumerate(table.classes)
        if differ[:, c].any()
    }
    return LabelChanges(str(table.path), int((~known).sum()), int(differ.any(axis=1).sum()), positives)


def _warnings(one: ListFacts) -> Iterable[str]:
    """What speaks against one list."""
    undefined = [name for name, count in one.positives.items() if count in (0, one.images)]
    few = {name: count for name, count in one.positives.items() if name not in undefined}
    few = {name: count for name, count in few.items() if min(count, one.images - count) < FEW}
    if undefined:
        yield f"no AUROC for {', '.join(undefined)}: one kind of label only"
    if few:
        told = ", ".join(f"{name} {count}" for name, count in few.items())
        yield f"fewer than {FEW} images with a finding, or without it, so that its AUROC is uncertain: {told}"
    if one.unknown_patients:
        yield (
            f"the patients of {one.unknown_patients:,} of {one.images:,} images are unknown: the names do not tell "
            "them and there is no file of patients beside the list; shared patients cannot be found"
        )
    if one.repeated:
        yield f"names {len(one.repeated):,} images again, in another folder or format: {_first(one.repeated)}"
    if one.missing:
        yield f"{len(one.missing):,} images are missing: {_first(one.missing)}"
    if one.changes and one.changes.absent:
        yield f"{one.changes.absent:,} images are not in {one.changes.path}"
    if one.changes and one.changes.images:
        yield f"{one.changes.images:,} images have other labels in {one.changes.path}"
    if one.seen and one.seen.anything:
        yield format_training_overlap(one.seen)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
