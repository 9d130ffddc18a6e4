"""The passport of a list: what it is, by fingerprints, and which published results it can be compared with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chexnet.data.lists import ImageList
from chexnet.known_lists import (
    KnownList,
    Labels,
    image_hashes,
    image_numbers,
    known_lists,
    labels_sha256,
    recognize,
)
from chexnet.labels import CLASS_NAMES
from chexnet.published import OWN_SPLIT, PUBLISHED, format_published

MIN_SAMPLE = 30
"""Minimum number of images of a list among which its overlap with a known list is estimated."""


@dataclass(frozen=True)
class Relation:
    """The overlap of a list with a known list.

    Attributes:
        known: name of the known list.
        of: number of images of the known list.
        images: common images, exact if `sampled` is 0 and otherwise estimated.
        sampled: number of images of the list that the estimate is based on; 0 for an exact count.
        subset: True if all (sampled) images of the list are in the known list.
        superset: True if all (sampled) images of the known list are in the list.
    """

    known: str
    of: int
    images: int
    sampled: int
    subset: bool
    superset: bool


@dataclass(frozen=True)
class Passport:
    """The identity of a list.

    Attributes:
        path: list file.
        images: number of images.
        known: name of the known list with exactly these images; empty if there is none.
        note: a sentence on the known list; may be empty.
        labels: release that the labels come from; empty if they are those of no release.
        changed: (in the known list, in this list) positives of each finding with another number; empty for known
            labels.
        other_labels: True if the list has the images of a known list with labels of no known release.
        relations: overlaps with other known lists, if there are any.
        counts_of: name of a known list with the same numbers of images and positives but other image names; empty if
            there is none.
        published: published results on exactly these test images.
        not_comparable: reason why no or other published results cannot be compared.
    """

    path: str
    images: int
    known: str
    note: str
    labels: str
    changed: dict[str, tuple[int, int]]
    other_labels: bool
    relations: tuple[Relation, ...]
    counts_of: str
    published: tuple[str, ...]
    not_comparable: str


def numbers_of_known(lists: Iterable[ImageList]) -> dict[str, set[str]]:
    """Return the image numbers of those lists that are known ones, by the name of the known list."""
    return {known.name: image_numbers(one.names) for one in lists if (known := recognize(one.names))}


def passport(
    listed: ImageList, classes: Sequence[str] = CLASS_NAMES, numbers: Mapping[str, set[str]] | None = None
) -> Passport:
    """Return the passport of a list.

    Args:
        listed: the list, with labels of `classes` or names only.
        classes: names of its label columns.
        numbers: image numbers of known lists (see `numbers_of_known`), with which overlaps are counted instead of
            estimated. The overlaps of known lists with each other are known.
    """
    known = recognize(listed.names)
    has_labels = listed.labels.shape[1] == len(CLASS_NAMES) and tuple(classes) == CLASS_NAMES
    positives = tuple(listed.labels.sum(axis=0).tolist()) if has_labels else ()
    release, changed = _labels(known, listed, positives) if known and positives else ("", {})
    relations = _known_relations(known) if known else _relations(listed, numbers or {})
    published = tuple(
        format_published(result)
        for result in PUBLISHED
        if known and known.part == "test" and result.split == known.split
    )
    return Passport(
        path=str(listed.path),
        images=len(listed),
        known=known.name if known else "",
        note=known.note if known else "",
        labels=release,
        changed=changed,
        other_labels=bool(known and positives and not release),
        relations=relations,
        counts_of="" if known or not positives else _counts_of(len(listed), positives),
        published=published,
        not_comparable=_not_comparable(known),
    )


def format_passport(found: Passport, title: str) -> list[str]:
    """Format a passport as lines of text."""
    lines = [f"{title}: {found.known or 'no known list'}, {found.images:,} images"]
    if found.note:
        lines.append(f"  {found.note}")
    if found.labels:
        lines.append(f"  labels: {found.labels}")
    if found.other_labels:
        changes = ", ".join(f"{name} {before:,} -> {after:,}" for name, (before, after) in found.changed.items())
        lines.append(f"  same images, other labels than NIH's: {changes or 'the same number of positives per finding'}")
    if found.counts_of:
        lines.append(f"  same numbers of images and positives as {found.counts_of}, but other image names")
    lines += [f"  {_format_relation(relation, found.images)}" for relation in found.relations]
    lines += [f"  comparable: {result}" for result in found.published]
    if found.not_comparable:
        lines.append(f"  {found.not_comparable}")
    return lines


def _labels(known: KnownList, listed: ImageList, positives: tuple[int, ...]) -> tuple[str, dict[str, tuple[int, int]]]:
    """Return the release of the labels, or the differences from the first release in the numbers of positives."""
    digest = labels_sha256(listed.names, listed.labels.tolist())
    for labels in known.labels:
        if labels.sha256 == digest:
            return labels.release, {}
    nearest = min(known.labels, key=lambda labels: _difference(labels, positives))
    pairs = zip(CLASS_NAMES, nearest.positives, positives, strict=True)
    return "", {name: (before, after) for name, before, after in pairs if before != after}


def _difference(labels: Labels, positives: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(labels.positives, positives, strict=True))


def _known_relations(known: KnownList) -> tuple[Relation, ...]:
    return tuple(
        _counted(other, known.overlaps[other.name], known.images)
        for other in known_lists()
        if other.name in known.overlaps
    )


def _relations(listed: ImageList, exact: Mapping[str, set[str]]) -> tuple[Relation, ...]:
    """Return the overlaps of a list, counted with the known lists in `exact`, estimated with all others."""
    numbers = image_numbers(listed.names)
    hashes = image_hashes(numbers)
    relations = []
    for known in known_lists():
        if known.name in exact:
            common = len(exact[known.name] & numbers)
            relations += [_counted(known, common, len(listed))] if common else []
        elif relation := _estimated(known, hashes, len(listed)):
            relations.append(relation)
    return tuple(relations)


def _counted(known: KnownList, common: int, images: int) -> Relation:
    return Relation(known.name, known.images, common, 0, common == images, common == known.images)


def _estimated(known: KnownList, hashes: set[bytes], images: int) -> Relation | None:
    """Estimate an overlap from the sketch of the known list; None if there is none or the sample is too small."""
    common = len(known.sketch & hashes)
    sampled = sum(value <= known.sketch_end for value in hashes)
    if not common or sampled < MIN_SAMPLE:
        return None
    estimate = round(len(hashes) * common / sampled)
    subset = common == sampled and len(hashes) == images
    return Relation(known.name, known.images, estimate, sampled, subset, common == len(known.sketch))


def _format_relation(relation: Relation, images: int) -> str:
    estimated = f", by a sample of {relation.sampled:,}; --official FILE counts them" if relation.sampled else ""
    if relation.subset:
        return f"subset of {relation.known}: {images:,} of {relation.of:,} images{estimated}"
    if relation.superset:
        return f"superset of {relation.known}: {relation.of:,} images{estimated}"
    if relation.sampled:
        percent = 100 * relation.images / images
        return f"about {percent:.0f} % of its images are in {relation.known} ({relation.of:,} images{estimated})"
    rest = images - relation.images
    return (
        f"{relation.images:,} of its {images:,} images are in {relation.known} ({relation.of:,} images), {rest:,} are "
        "not"
    )


def _counts_of(images: int, positives: tuple[int, ...]) -> str:
    for known in known_lists():
        if known.images == images and any(labels.positives == positives for labels in known.labels):
            return known.name
    return ""


def _not_comparable(known: KnownList | None) -> str:
    splits = ", ".join(dict.fromkeys(result.split for result in PUBLISHED if result.split != OWN_SPLIT))
    if known and any(result.split == known.split for result in PUBLISHED) and known.part == "test":
        return "not comparable: results on other test images"
    if known and known.part != "test":
        return "not comparable: published AUROCs are those of test lists"
    return (
        f"not comparable: no AUROC has been published for these images, only for the test lists of the splits {splits}"
    )
