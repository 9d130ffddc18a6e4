"""Labels of MedMNIST's .npz files: ChestMNIST, whose images have no names.

The file has `train_images` [N, side, side] and `train_labels` [N, 14], and the same for `val` and `test` (Yang et al.,
MedMNIST v2, Scientific Data 2023; zenodo.org/records/10519652). Its labels are in the order of CLASS_NAMES.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists.list_files import ImageList
from chexnet.data.lists.splits import Split
from chexnet.errors import InputError
from chexnet.files.npz_files import NpzArray, read_npz
from chexnet.labels import CLASS_NAMES

PARTS = ("train", "val", "test")

MAX_IMAGES = 1_000_000
MIN_SIDE = 16


@dataclass(frozen=True)
class NpzData:
    """The images and labels of a .npz file.

    Attributes:
        path: the file.
        splits: names, labels and patients of each part.
        images: pixels of each part, uint8 [N, side, side].
        notes: sentences on the comparison with other lists.
    """

    path: Path
    splits: Mapping[str, Split]
    images: Mapping[str, NpzArray]
    notes: tuple[str, ...]

    def named_images(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and pixels, uint8 [side, side], of all images.

        Raises:
            InputError: see `NpzArray.blocks`.
        """
        for part, split in self.splits.items():
            pixels = (image for block in self.images[part].blocks() for image in block)
            yield from zip(split.names, pixels, strict=True)


def read_npz_labels(path: str | os.PathLike[str], reference: Mapping[str, ImageList] | None = None) -> NpzData:
    """Read the labels of a .npz file, and check them against lists of the same data set.

    If the labels of a part equal those of its list in every row, its images have the names and patients of the list.
    Otherwise they are named `train/000000.png` by their position, and their patients are unknown.

    Args:
        path: .npz file of MedMNIST with 14 labels.
        reference: lists of the parts.

    Raises:
        InputError: the file is not such a .npz file, or a label is not 0 or 1.
    """
    path = Path(path)
    arrays = read_npz(path)
    splits, images, notes = {}, {}, []
    for part in PARTS:
        images[part], labels = _part(arrays, path, part)
        names = tuple(f"{part}/{row:06d}.png" for row in range(len(labels)))
        patients: tuple[str | None, ...] = (None,) * len(names)
        if reference:
            listed = reference[part]
            notes.append(_compare(labels, listed, part))
            if np.array_equal(labels, listed.labels):
                names, patients = tuple(listed.names), listed.patients.ids
        splits[part] = Split(names, labels, patients)
    return NpzData(path, splits, images, tuple(notes))


def _part(arrays: Mapping[str, NpzArray], path: Path, part: str) -> tuple[NpzArray, np.ndarray]:
    keys = (f"{part}_images", f"{part}_labels")
    if missing := [key for key in keys if key not in arrays]:
        raise InputError(
            f"{path}: has no {missing[0]}, expected the arrays of ChestMNIST; there are {', '.join(arrays)}"
        )
    images, labels = (arrays[key] for key in keys)
    count = labels.shape[0]
    if labels.shape != (count, len(CLASS_NAMES)) or not 0 < count <= MAX_IMAGES:
        raise InputError(
            f"{path}: {keys[1]} is {list(labels.shape)}, expected [images, {len(CLASS_NAMES)}] of at most "
            f"{MAX_IMAGES:,} images"
        )
    side = images.shape[-1]
    if images.shape != (count, side, side) or images.dtype != np.uint8 or side < MIN_SIDE:
        raise InputError(
            f"{path}: {keys[0]} is {images.dtype} {list(images.shape)}, expected uint8 [{count}, side, side] with a "
            f"side of at least {MIN_SIDE}"
        )
    values = np.concatenate(list(labels.blocks()))
    if not np.isin(values, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(values, (0, 1)).all(axis=1))[0])
        raise InputError(f"{path}: row {row} of {keys[1]} has a label other than 0 and 1")
    return images, values.astype(np.uint8)


def _compare(labels: np.ndarray, listed: ImageList, part: str) -> str:
    """Return a sentence on how the labels of a part compare with those of a list."""
    if np.array_equal(labels, listed.labels):
        return f"{part}: the labels equal those of {listed.path} in every row; names and patients are taken from it"
    rows = f"{part}: {len(labels):,} images, {listed.path} has {len(listed):,}"
    if _counts(labels) == _counts(listed.labels):
        return f"{rows}; the same labels in another order, so which image is which is unknown"
    pairs = zip(CLASS_NAMES, listed.labels.sum(axis=0).tolist(), labels.sum(axis=0).tolist(), strict=True)
    changes = ", ".join(f"{name} {before:,} -> {after:,}" for name, before, after in pairs if before != after)
    return f"{rows}; other labels: {changes or 'the same positives per finding in other combinations'}"


def _counts(labels: np.ndarray) -> Counter[bytes]:
    return Counter(row.tobytes() for row in labels.astype(np.uint8))
