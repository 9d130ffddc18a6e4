"""Known lists of ChestX-ray14, recognized by fingerprints of their image names and labels.

`known_lists.json` contains hashes and counts, no names. A list is compared by the file names of its images, without
folders and suffixes, in any order.
"""

import base64
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

SHARED_SPLIT = "shared 70/10/20"
"""Split of arnoweng/CheXNet with 22,433 test images; not NIH's official one."""

OFFICIAL_SPLIT = "official"
"""NIH's split, with 25,596 test images."""

SKETCH_IMAGES = 500
"""Hashes in a sketch: the standard error of an estimated fraction of images is at most 1/(2 sqrt(500)) = 2.2 %."""

_HASH_BYTES = 6
_NIH_NUMBER = re.compile(r"\d{8}_\d{3}")


@dataclass(frozen=True)
class Labels:
    """Labels that a known list is distributed with.

    Attributes:
        release: origin of the labels.
        sha256: hash of image numbers and labels.
        positives: number of images with each of the 14 findings.
    """

    release: str
    sha256: str
    positives: tuple[int, ...]


@dataclass(frozen=True)
class KnownList:
    """A known list.

    Attributes:
        name: what the list is.
        split: its split; empty for a list that belongs to none.
        part: `train`, `val`, `test` or another part of the split.
        images: number of images.
        sha256: hash of the image numbers.
        sketch: the SKETCH_IMAGES lowest hashes of single image numbers.
        labels: labels that the list is distributed with, first those of its published results.
        overlaps: number of images in each other known list, by its name; without those that share none.
        note: a sentence that users of the list should read; may be empty.
    """

    name: str
    split: str
    part: str
    images: int
    sha256: str
    sketch: frozenset[bytes]
    labels: tuple[Labels, ...]
    overlaps: Mapping[str, int]
    note: str

    @cached_property
    def sketch_end(self) -> bytes:
        """The highest hash of the sketch."""
        return max(self.sketch)


@cache
def known_lists() -> tuple[KnownList, ...]:
    """Read `known_lists.json`."""
    text = Path(__file__).with_name("known_lists.json").read_text(encoding="utf-8")
    return tuple(_from_json(entry) for entry in json.loads(text))


def known_list(split: str, part: str) -> KnownList:
    """Return the known list of a part of a split."""
    return next(known for known in known_lists() if (known.split, known.part) == (split, part))


def recognize(names: Iterable[str]) -> KnownList | None:
    """Return the known list that has exactly these images, in any order and folder; None if there is none.

    >>> recognize(["00000001_000.png"]) is None
    True
    """
    numbers = image_numbers(names)
    if not any(known.images == len(numbers) for known in known_lists()):
        return None
    digest = names_sha256(numbers)
    return next((known for known in known_lists() if known.sha256 == digest), None)


def split_of(names: Iterable[str]) -> str | None:
    """Return the split whose test images have these names, in any order and folder; None if there is none.

    >>> split_of(["00000001_000.png"]) is None
    True
    """
    known = recognize(names)
    return known.split if known and known.split and known.part == "test" else None


def image_number(name: str) -> str:
    """Return the file name of an image without folder and suffix.

    >>> image_number("images_001/00000013_005.PNG")
    '00000013_005'
    """
    return name.replace("\\", "/").rpartition("/")[2].partition(".")[0]


def image_numbers(names: Iterable[str]) -> set[str]:
    """Return the numbers of the images that have a name of ChestX-ray14, such as `00000013_005`."""
    return {number for number in map(image_number, names) if _NIH_NUMBER.fullmatch(number)}


def names_sha256(numbers: Collection[str]) -> str:
    """Return the SHA-256 of sorted image numbers, one per line, in hexadecimal."""
    return hashlib.sha256("\n".join(sorted(numbers)).encode()).hexdigest()


def labels_sha256(names: Iterable[str], labels: Iterable[Sequence[int]]) -> str:
    """Return the SHA-256 of sorted lines of image number and labels (`00000013_005 0100...`), in hexadecimal."""
    rows = (f"{image_number(name)} {''.join(map(str, row))}" for name, row in zip(names, labels, strict=True))
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def image_hashes(numbers: Iterable[str]) -> set[bytes]:
    """Return a hash of each image number."""
    return {hashlib.sha256(number.encode()).digest()[:_HASH_BYTES] for number in numbers}


def sketch(numbers: Iterable[str]) -> str:
    """Return the SKETCH_IMAGES lowest hashes of image numbers, concatenated, in base64.

    They are a random sample of the images, so that the overlap with another list can be estimated from them
    (Cohen and Kaplan, Summarizing data using bottom-k sketches, PODC 2007).
    """
    return base64.b64encode(b"".join(sorted(image_hashes(numbers))[:SKETCH_IMAGES])).decode()


def _from_json(entry: dict[str, Any]) -> KnownList:
    packed = base64.b64decode(entry["sketch"])
    hashes = frozenset(packed[start : start + _HASH_BYTES] for start in range(0, len(packed), _HASH_BYTES))
    labels = tuple(Labels(known["release"], known["sha256"], tuple(known["positives"])) for known in entry["labels"])
    return KnownList(**{**entry, "sketch": hashes, "labels": labels})
