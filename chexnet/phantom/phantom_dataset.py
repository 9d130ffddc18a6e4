"""A data set of phantoms in the layout of ChestX-ray14: images, list files and boxes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.labels import BOX_FILE_SPELLINGS, CLASS_NAMES
from chexnet.phantom.output_folder import claim_folder, save_image
from chexnet.phantom.planting import Planting, sample_confounders
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
"""Fraction of the 112,120 images of ChestX-ray14 with each finding (Data_Entry_2017_v2020.csv)."""

BOXED_FINDINGS = CLASS_NAMES[:8]
"""Findings in NIH's box file, from Atelectasis to Pneumothorax."""

SPLITS = ("train", "val", "test")
MIN_IMAGES = 10
MAX_MIN_PREVALENCE = 0.2
"""Maximum of `min_prevalence`; above it, findings would hide each other."""

_BOX_SPACE = 1024
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
# Findings co-occur: all of them are distributed among this fraction of the images. With the real prevalences, 54 % of
# the images then show no finding, as in ChestX-ray14.
_ILL = 0.67


@dataclass(frozen=True)
class Summary:
    """Output files and counts of `make_dataset`.

    Attributes:
        images, patients: numbers of images and patients per split (train, val, test).
        positives: numbers of images with each finding per split, in the order of CLASS_NAMES.
        image_dir: folder of the PNG files.
        lists: list file of each split.
        box_file: box file in NIH's format.
        planted: confounder -> number of images with it per split.
    """

    images: dict[str, int]
    patients: dict[str, int]
    positives: dict[str, tuple[int, ...]]
    image_dir: Path
    lists: dict[str, Path]
    box_file: Path
    planted: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Exposure:
    split: str
    patient: int
    follow_up: int

    @property
    def name(self) -> str:
        return f"{self.patient:08d}_{self.follow_up:03d}.png"


def sample_findings(seed: int, patient: int, image: int, min_prevalence: float = 0.0) -> tuple[str, ...]:
    """Sample the findings of one image, in the order of CLASS_NAMES; about every second image has none.

    Over many images, the prevalence of each finding is PREVALENCE or `min_prevalence`, whichever is higher.

    Args:
        seed: random seed, non-negative like `patient` and `image`.
        patient: number of the patient.
        image: number of the exposure of this patient.
        min_prevalence: minimum prevalence, 0 to MAX_MIN_PREVALENCE.
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
    progress: ProgressFn | None = None,
    plantings: Sequence[Planting] = (),
) -> Summary:
    """Draw a data set and write it in the layout of ChestX-ray14.

    `out/images/<patient>_<follow-up>.png`: 8-bit gray, `size` x `size`.
    `out/labels/{train,val,test}_list.txt`: `name v1 ... v14` in the order of CLASS_NAMES, sorted by name. Patients are
    split 70/10/20, and each is in one list only.
    `out/BBox_List.csv`: boxes of BOXED_FINDINGS in NIH's columns and spellings, x y w h in 1024-pixel space.
    `out/confounders.csv`: `Image Index` and a column of 0 and 1 per planted confounder; only with `plantings`.
    `out/phantom.json`: arguments of this call.

    Lists and boxes are written last and atomically: a data set that has its lists is complete. To complete an
    interrupted run, repeat it with the same arguments. The same arguments give the same bytes; a larger data set with
    the same seed starts with the images of the smaller one.

    Args:
        out: new or empty folder, or the folder of an interrupted run with the same arguments.
        images: number of images, at least MIN_IMAGES.
        size: pixels per side, at least MIN_SIZE.
        seed: random seed, non-negative.
        min_prevalence: fraction of the images to which the prevalence of rarer findings is raised, 0 to
            MAX_MIN_PREVALENCE; 0 keeps the prevalences of ChestX-ray14.
        progress: called after each image with the number of images so far and `images`.
        plantings: confounders to plant, at most one entry each. They change no other pixel.

    Raises:
        InputError: an argument is out of range, or `out` contains other files or cannot be written.
    """
    root = Path(out)
    _check(images, size, seed, min_prevalence)
    arguments = {"images": images, "size": size, "seed": seed, "min_prevalence": min_prevalence}
    claim_folder(
        root,
        arguments | ({"plant": [str(planting) for planting in plantings]} if plantings else {}),
        [_list_file(root, split) for split in SPLITS],
    )
    plan = list(_exposures(images, seed))
    rows: dict[str, list[str]] = {split: [] for split in SPLITS}
    boxes: list[str] = []
    planted: dict[str, tuple[str, ...]] = {}
    for done, exposure in enumerate(plan, start=1):
        numbers = (seed, exposure.patient, exposure.follow_up)
        findings = sample_findings(*numbers, min_prevalence)
        planted[exposure.name] = confounders = sample_confounders(plantings, findings, *numbers)
        radiograph = draw(
            findings, size, seed=seed, patient=exposure.patient, image=exposure.follow_up, confounders=confounders
        )
        save_image(radiograph.image, root / "images" / exposure.name)
        values = " ".join(str(int(name in findings)) for name in CLASS_NAMES)
        rows[exposure.split].append(f"{exposure.name} {values}")
        boxes += [_box_row(exposure.name, box, size) for box in radiograph.boxes if box.finding in BOXED_FINDINGS]
        if progress is not None:
            progress(done, images)
    write_text(root / "BBox_List.csv", "\n".join([_BOX_HEADER, *boxes]) + "\n")
    names = [planting.confounder for planting in plantings]
    if names:
        lines = [",".join([image, *(str(int(name in there)) for name in names)]) for image, there in planted.items()]
        write_text(root / "confounders.csv", "\n".join([",".join(["Image Index", *names]), *lines]) + "\n")
    for split in SPLITS:
        write_text(_list_file(root, split), "\n".join(rows[split]) + "\n")
    counts = {
        name: {split: sum(name in planted[row.split()[0]] for row in rows[split]) for split in SPLITS} for name in names
    }
    return _summary(root, plan, rows, counts)


def _check(images: int, size: int, seed: int, min_prevalence: float) -> None:
    if images < MIN_IMAGES:
        raise InputError(f"images: {images}, expected at least {MIN_IMAGES}, so that each split has one")
    if size < MIN_SIZE:
        raise InputError(f"size: {size} pixels, expected at least {MIN_SIZE}")
    if seed < 0:
        raise InputError(f"seed: {seed}, expected 0 or more")
    if not 0.0 <= min_prevalence <= MAX_MIN_PREVALENCE:
        raise InputError(f"min_prevalence: {min_prevalence}, expected 0 to {MAX_MIN_PREVALENCE}")


def _list_file(root: Path, split: str) -> Path:
    return root / "labels" / f"{split}_list.txt"


def _exposures(images: int, seed: int) -> Iterator[_Exposure]:
    """Yield the exposures of all patients, one to six per patient; patients are split in blocks of ten.

    The first block begins with one patient per split, and its patients have at most three images, so that MIN_IMAGES
    images suffice for all three splits.
    """
    rng = np.random.default_rng((seed, 0, 0, 0))  # patients are numbered from 1
    remaining = images
    patient = 0
    while remaining > 0:
        if patient == 0:
            splits = [*SPLITS, "test", *("train",) * 6]
            max_images = 3
        else:
            block = [*("train",) * 7, "val", "test", "test"]
            splits = [block[i] for i in rng.permutation(10)]
            max_images = 6
        for split, count in zip(splits, rng.integers(1, max_images + 1, 10).tolist(), strict=True):
            patient += 1
            for follow_up in range(min(count, remaining)):
                yield _Exposure(split, patient, follow_up)
            remaining = max(remaining - count, 0)


def _box_row(name: str, box: Box, size: int) -> str:
    scale = _BOX_SPACE / size
    label = BOX_FILE_SPELLINGS.get(box.finding, box.finding)
    return ",".join([name, label, *(f"{value * scale:.12g}" for value in (box.x, box.y, box.w, box.h))])


def _summary(
    root: Path, plan: list[_Exposure], rows: dict[str, list[str]], planted: dict[str, dict[str, int]]
) -> Summary:
    counts = {}
    for split in SPLITS:
        labels = [[int(value) for value in row.split()[1:]] for row in rows[split]]
        counts[split] = tuple(sum(column) for column in zip(*labels, strict=True))
    return Summary(
        images={split: len(rows[split]) for split in SPLITS},
        patients={split: len({exposure.patient for exposure in plan if exposure.split == split}) for split in SPLITS},
        positives=counts,
        image_dir=root / "images",
        lists={split: _list_file(root, split) for split in SPLITS},
        box_file=root / "BBox_List.csv",
        planted=planted,
    )
