"""Annotations in the JSON format of ChestX-Det: findings with boxes and polygons.

The file is a list with an object per image: `file_name`, `syms` (names of findings), `boxes` ([left, top, right,
bottom] per finding) and `polygons` ([[x, y], ...] per finding), in pixels of the image. Lian et al., A Structure-Aware
Relation Network for Thoracic Diseases Detection and Segmentation, IEEE TMI 2021;
github.com/Deepwise-AILab/ChestX-Det-Dataset.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet.data.lists.image_names import checked_name, patient_id
from chexnet.data.lists.label_tables import LabelTable
from chexnet.data.lists.readings import Reading, merge
from chexnet.errors import InputError
from chexnet.files.json_files import read_json
from chexnet.files.text_files import shorten, shorten_all

MAX_VALUES = 10_000_000
"""Limit on the values of a file; ChestX-Det's training annotations have 501,996."""

_KEYS = ("file_name", "syms", "boxes", "polygons")

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ImageAnnotations:
    """The annotations of an image.

    Attributes:
        name: image name.
        where: `file: entry N`, for messages, where N is the position in the list from 1.
        findings: names of the K findings.
        boxes: left, top, right and bottom of each, in pixels.
        polygons: outline of each, x and y in pixels.
    """

    name: str
    where: str
    findings: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    polygons: tuple[Polygon, ...]


def read_annotations(path: str | os.PathLike[str]) -> tuple[ImageAnnotations, ...]:
    """Read a file of annotations.

    Raises:
        InputError: the file is not JSON of this form, an image is repeated, or an entry has another number of boxes or
            polygons than of findings, a box that is not four numbers or a polygon of fewer than three points.
    """
    content = read_json(path, MAX_VALUES)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: {_kind(content)}, expected a list with an object per image")
    found = tuple(_parse(entry, f"{path}: entry {number}") for number, entry in enumerate(content, start=1))
    first: dict[str, str] = {}
    for one in found:
        if first.setdefault(one.name, one.where) != one.where:
            raise InputError(f"{one.where}: {shorten(one.name)} is already in {first[one.name]}, expected it once")
    return found


def read_json_labels(path: str | os.PathLike[str], classes: Sequence[str]) -> LabelTable:
    """Return the labels of the images in a file of annotations: a finding is present if it is annotated.

    Raises:
        InputError: see `read_annotations`, or no entry names a class.
    """
    images = read_annotations(path)
    named = {finding for image in images for finding in image.findings}
    if missing := [name for name in classes if name not in named]:
        raise InputError(
            f"{path}: no entry names {shorten(missing[0])}, expected every class; there are "
            f"{shorten_all(sorted(named))}"
        )
    others = sorted(named - set(classes))
    notes = [f"findings of no class, not used: {shorten_all(others)}"] if others else []
    readings = (
        Reading(
            image.name, image.where, patient_id(image.name), "", "", [int(name in image.findings) for name in classes]
        )
        for image in images
    )
    return merge(readings, Path(path), classes, notes=notes)


def _parse(entry: Any, where: str) -> ImageAnnotations:
    if not isinstance(entry, dict) or not set(_KEYS) <= entry.keys():
        found = ", ".join(map(str, entry)) if isinstance(entry, dict) else _kind(entry)
        raise InputError(f"{where}: {found[:200]}, expected an object with {', '.join(_KEYS)}")
    name, findings, boxes, polygons = (entry[key] for key in _KEYS)
    if not isinstance(name, str):
        raise InputError(f"{where}: file_name is {_kind(name)}, expected a string")
    name = checked_name(name, where)
    for key, value in zip(_KEYS[1:], (findings, boxes, polygons), strict=True):
        if not isinstance(value, list) or len(value) != len(findings):
            raise InputError(f"{where}: {key} is {_kind(value)}, expected a list of one per finding")
    if not all(isinstance(finding, str) and finding for finding in findings):
        raise InputError(f"{where}: syms has {shorten(str(findings))}, expected names of findings")
    return ImageAnnotations(
        name=name,
        where=where,
        findings=tuple(findings),
        boxes=tuple(_box(box, where) for box in boxes),
        polygons=tuple(_polygon(points, where) for points in polygons),
    )


def _box(box: Any, where: str) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise InputError(f"{where}: a box is {shorten(str(box))}, expected four numbers: left, top, right, bottom")
    left, top, right, bottom = map(float, box)
    return left, top, right, bottom


def _polygon(points: Any, where: str) -> Polygon:
    if not isinstance(points, list) or len(points) < 3:
        raise InputError(f"{where}: a polygon is {shorten(str(points))}, expected at least three points")
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not all(map(_is_number, point)):
            raise InputError(f"{where}: a point of a polygon is {shorten(str(point))}, expected two numbers: x, y")
    return tuple((float(x), float(y)) for x, y in points)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"a JSON {type(value).__name__} of {len(value):,}"
    return f"a JSON {type(value).__name__}"
