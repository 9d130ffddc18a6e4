"""A whole data set of phantoms in the layout of ChestX-ray14: images, list files and boxes."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.labels import BOX_FILE_SPELLINGS, CLASS_NAMES
from chexnet.phantom.radiograph import MIN_SIZE, Box, draw

PREVALENCE = {
    "Atelectasis": 0.1031,
    "Cardiomegaly": 0.0248,
    "Effusion": 0.1188,
    "Infiltration": 0.1774,
    "Mass": 0.0516,
    "Nodule": 0.0565,
    "Pneumonia": 0.0128,
    "Pneumothorax": 0.0473,
    "Consolidation": 0.0416,
    "Edema": 0.0205,
    "Emphysema": 0.0224,
    "Fibrosis": 0.0150,
    "Pleural_Thickening": 0.0302,
    "Hernia": 0.0020,
}
"""Share of the 112,120 images of ChestX-ray14 that show each finding (Data_Entry_2017_v2020.csv)."""

BOXED = CLASS_NAMES[:8]
"""The findings that NIH's box file covers, from Atelectasis to Pneumothorax."""

PARTS = ("train", "val", "test")
MIN_IMAGES = 10
MAX_MIN_PREVALENCE = 0.2
"""Above this floor a chest with findings would hold so many that they hide each other."""

_BOX_SPACE = 1024
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
# Findings meet in the same chest: they are all drawn among this share of the images. With the real
# prevalences 54 % of the images then show none, as in ChestX-ray14.
_ILL = 0.67


@dataclass(frozen=True)
class Summary:
    """What `make_dataset` has written.

    Attributes:
        images, patients: how many in each part, by part name (train, val, test).
        positives: by part name, the number of images with each finding, in the order of CLASS_NAMES.
        image_dir: the folder of the PNG files.
        lists: the list file of each part.
        box_file: the boxes in NIH's format.
    """

    images: dict[str, int]
    patients: dict[str, int]
    positives: dict[str, tuple[int, ...]]
    image_dir: Path
    lists: dict[str, Path]
    box_file: Path


@dataclass(frozen=True)
class _Exposure:
    part: str
    patient: int
    follow_up: int

    @property
    def name(self) -> str:
        return f"{self.patient:08d}_{self.follow_up:03d}.png"


def sample_findings(seed: int, patient: int, image: int, min_prevalence: float = 0.0) -> tuple[str, ...]:
    """Which findings one image shows, in the order of CLASS_NAMES; about every second image shows none.

    Over many images each finding has its PREVALENCE, or `min_prevalence` where that is more.

    Args:
        seed: non-negative, like `patient` and `image`.
        patient: which person.
        image: which exposure of that person.
        min_prevalence: 0 to MAX_MIN_PREVALENCE.
    """
    chances = np.random.default_rng((seed, patient, image, 0)).random(1 + len(CLASS_NAMES))
    if chances[0] >= _ILL:
        return ()
    return tuple(
        name
        for name, chance in zip(CLASS_NAMES, chances[1:], strict=True)
        if chance < max(PREVALENCE[name], min_prevalence) / _ILL
    )


def make_dataset(
    out: str | os.PathLike[str],
    images: int,
    size: int,
    seed: int,
    min_prevalence: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Draws a data set and writes it in the layout of ChestX-ray14.

    `out/images/<patient>_<follow-up>.png`: 8-bit gray, `size` x `size`.
    `out/labels/{train,val,test}_list.txt`: `name v1 ... v14` in the order of CLASS_NAMES, sorted by
    name; 70/10/20 by patient, no patient in two parts.
    `out/BBox_List.csv`: the boxes of the eight findings of BOXED in NIH's columns and spellings, x y w h
    in 1024-pixel space.
    `out/phantom.json`: the arguments of this call.

    Images are written plainly, lists and boxes last and atomically: a set that has its lists is complete.
    A run that was interrupted is repeated with the same arguments. The same arguments give the same
    bytes; a larger set with the same seed starts with the images of the smaller one.

    Args:
        out: a new or empty folder, or what an interrupted run with the same arguments left.
        images: how many, at least MIN_IMAGES.
        size: pixels a side, at least MIN_SIZE.
        seed: non-negative.
        min_prevalence: raises rarer findings to this share of the images, 0 to MAX_MIN_PREVALENCE;
            with 0 the prevalences are those of ChestX-ray14.
        progress: called with 1 after each image.

    Raises:
        InputError: an argument out of range, or `out` holds something else or cannot be written.
    """
    root = Path(out)
    _check(images, size, seed, min_prevalence)
    _claim(root, {"images": images, "size": size, "seed": seed, "min_prevalence": min_prevalence})
    plan = list(_exposures(images, seed))
    rows: dict[str, list[str]] = {part: [] for part in PARTS}
    boxes: list[str] = []
    for exposure in plan:
        findings = sample_findings(seed, exposure.patient, exposure.follow_up, min_prevalence)
        drawn = draw(findings, size, seed=seed, patient=exposure.patient, image=exposure.follow_up)
        try:
            Image.fromarray(drawn.image).save(root / "images" / exposure.name)
        except OSError as error:
            raise InputError(f"{root / 'images' / exposure.name}: cannot be written: {error}") from error
        values = " ".join(str(int(name in findings)) for name in CLASS_NAMES)
        rows[exposure.part].append(f"{exposure.name} {values}")
        boxes += [_box_row(exposure.name, box, size) for box in drawn.boxes if box.finding in BOXED]
        if progress is not None:
            progress(1)
    write_text(root / "BBox_List.csv", "\n".join([_BOX_HEADER, *boxes]) + "\n")
    for part in PARTS:
        write_text(_list_file(root, part), "\n".join(rows[part]) + "\n")
    return _summary(root, plan, rows)


def _check(images: int, size: int, seed: int, min_prevalence: float) -> None:
    if images < MIN_IMAGES:
        raise InputError(f"images: {images} found, at least {MIN_IMAGES} expected, so that each part has one")
    if size < MIN_SIZE:
        raise InputError(f"size: {size} pixels found, at least {MIN_SIZE} expected")
    if seed < 0:
        raise InputError(f"seed: {seed} found, 0 or more expected")
    if not 0.0 <= min_prevalence <= MAX_MIN_PREVALENCE:
        raise InputError(f"min_prevalence: {min_prevalence} found, 0 to {MAX_MIN_PREVALENCE} expected")


def _claim(root: Path, arguments: dict[str, int | float]) -> None:
    """Makes the folders and notes the arguments; refuses a folder that holds anything else."""
    note = root / "phantom.json"
    text = json.dumps(arguments, indent=2) + "\n"
    try:
        if root.exists() and any(root.iterdir()):
            if not note.is_file() or note.read_text(encoding="utf-8") != text:
                raise InputError(f"{root}: holds other files; a new or empty folder expected")
            lists = [path.name for path in (_list_file(root, part) for part in PARTS) if path.exists()]
            if lists:
                raise InputError(f"{root}: holds this data set already ({', '.join(lists)} found)")
        (root / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: cannot be used as a folder: {error.strerror}") from error
    write_text(note, text)


def _list_file(root: Path, part: str) -> Path:
    return root / "labels" / f"{part}_list.txt"


def _exposures(images: int, seed: int) -> Iterator[_Exposure]:
    """Patients with one to six images each, dealt to the parts in blocks of ten.

    The first block opens with a patient for each part, and its patients have at most three images, so
    that MIN_IMAGES are enough for all three parts.
    """
    rng = np.random.default_rng((seed, 0, 0, 0))  # patients are numbered from 1
    rest = images
    patient = 0
    while rest > 0:
        if patient == 0:
            parts = [*PARTS, "test", *("train",) * 6]
            most = 3
        else:
            block = [*("train",) * 7, "val", "test", "test"]
            parts = [block[i] for i in rng.permutation(10)]
            most = 6
        for part, count in zip(parts, rng.integers(1, most + 1, 10).tolist(), strict=True):
            patient += 1
            for follow_up in range(min(count, rest)):
                yield _Exposure(part, patient, follow_up)
            rest = max(rest - count, 0)


def _box_row(name: str, box: Box, size: int) -> str:
    scale = _BOX_SPACE / size
    label = BOX_FILE_SPELLINGS.get(box.finding, box.finding)
    return ",".join([name, label, *(f"{value * scale:.12g}" for value in (box.x, box.y, box.w, box.h))])


def _summary(root: Path, plan: list[_Exposure], rows: dict[str, list[str]]) -> Summary:
    counts = {}
    for part in PARTS:
        labels = [[int(value) for value in row.split()[1:]] for row in rows[part]]
        counts[part] = tuple(sum(column) for column in zip(*labels, strict=True))
    return Summary(
        images={part: len(rows[part]) for part in PARTS},
        patients={part: len({e.patient for e in plan if e.part == part}) for part in PARTS},
        positives=counts,
        image_dir=root / "images",
        lists={part: _list_file(root, part) for part in PARTS},
        box_file=root / "BBox_List.csv",
    )
