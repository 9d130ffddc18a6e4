"""Divide images into training, validation and test sets. All images of a patient are in the same set."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from chexnet.data.lists.class_files import CLASSES_FILE, format_classes
from chexnet.data.lists.image_names import patient_id
from chexnet.data.lists.label_tables import LabelTable
from chexnet.data.lists.list_files import ImageList, format_list
from chexnet.data.lists.patients import format_patients, patients_path
from chexnet.errors import InputError
from chexnet.files import atomic_write
from chexnet.files.text_files import shorten
from chexnet.labels import CLASS_NAMES

RANDOM_FRACTIONS = (0.7, 0.1, 0.2)
"""Fractions of the patients for training, validation and testing, as in the split of arnoweng/CheXNet."""


@dataclass(frozen=True)
class Split:
    """The images of a training, validation or test list.

    Attributes:
        names: N image names.
        labels: uint8 [N, C], 0 or 1.
        patients: N patients, None for unknown ones.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    patients: tuple[str | None, ...]


Splits = Mapping[str, Split]
"""Splits by name: `train`, `val` and `test`, or some of these."""


def official(table: LabelTable, train_val: ImageList, test: ImageList, val_fraction: float, seed: int) -> Splits:
    """Return NIH's official split, with a fraction of the patients of `train_val_list.txt` for validation.

    Args:
        table: all labels of NIH.
        train_val: NIH's `train_val_list.txt`, read with `n_classes=0`.
        test: NIH's `test_list.txt`, read with `n_classes=0`.
        val_fraction: fraction of the patients of `train_val` for validation, stratified as in `random`.
        seed: random seed for the choice of these patients.

    Raises:
        InputError: the lists share patients, or together do not have the same images as the table.
    """
    rows = _rows(table, train_val)
    test_rows = _rows(table, test)
    shared = _patients(table, rows) & _patients(table, test_rows)
    if shared:
        raise InputError(f"{test.path}: {len(shared)} patients are also in {train_val.path}, expected none")
    missing = len(table) - len(rows) - len(test_rows)
    if missing:
        raise InputError(
            f"{table.path}: {missing} of {len(table)} images are neither in {train_val.path} nor in {test.path}, "
            "expected none"
        )
    train, val = _stratified_split(table, rows, (1 - val_fraction, val_fraction), seed)
    return {"train": _select(table, train), "val": _select(table, val), "test": _select(table, test_rows)}


def reference(table: LabelTable, lists: Mapping[str, ImageList]) -> Splits:
    """Return a split with the images of the given lists, in their order, and the labels of the table.

    Raises:
        InputError: an image is not in the table.
    """
    return {name: _select(table, _rows(table, listed), listed.names) for name, listed in lists.items()}


def random(table: LabelTable, seed: int) -> Splits:
    """Return a random split of the patients by RANDOM_FRACTIONS, stratified by finding.

    The stratum of a patient is the rarest finding in any image of the patient, by number of patients. Each stratum is
    divided separately, so that patients with a rare finding are distributed by the same fractions.

    Raises:
        InputError: the patient of an image is unknown.
    """
    unknown = [name for name, patient in zip(table.names, table.patients, strict=True) if patient is None]
    if unknown:
        raise InputError(
            f"{table.path}: the patients of {len(unknown):,} of {len(table):,} images are unknown, for example of "
            f"{shorten(unknown[0])}, so the same patient could be in two of the lists; set --patient_column NAME or "
            "--patient_pattern REGEX, or --each_image_a_patient if no two images belong to the same patient"
        )
    parts = _stratified_split(table, np.arange(len(table)), RANDOM_FRACTIONS, seed)
    return dict(zip(("train", "val", "test"), (_select(table, rows) for rows in parts), strict=True))


def common_test(table: LabelTable, lists: Mapping[str, ImageList], train_val: ImageList, test: ImageList) -> Splits:
    """Return the images that both NIH's official split and the split of `lists` use for testing.

    Checkpoints trained on either split can be compared on these images. There is no training set. Images of patients
    in the training or validation set of either split are left out.

    Raises:
        InputError: no image is left, or an image is not in the table.
    """
    official_test = set(_rows(table, test).tolist())
    training_patients = _patients(table, _rows(table, train_val))
    for name in ("train", "val"):
        training_patients |= _patients(table, _rows(table, lists[name]))
    rows = _rows(table, lists["test"])
    kept = [
        index for index, row in enumerate(rows) if row in official_test and table.patients[row] not in training_patients
    ]
    if not kept:
        raise InputError(f"{lists['test'].path}: none of its images is also a test image in {test.path}")
    return {"test": _select(table, rows[kept], [lists["test"].names[index] for index in kept])}


def by_part(table: LabelTable) -> Splits:
    """Return the parts that the data set itself defines, see `LabelTable.parts`.

    Raises:
        InputError: a patient is in two parts.
    """
    parts = np.array(table.parts)
    found = {name: np.flatnonzero(parts == name) for name in ("train", "val", "test") if name in table.parts}
    for (first, rows), (second, others) in combinations(found.items(), 2):
        if shared := _patients(table, rows) & _patients(table, others):
            raise InputError(
                f"{table.path}: {len(shared):,} patients are in both {first} and {second}, for example "
                f"{shorten(min(shared))}, expected none; --split random divides the images by patient"
            )
    return {name: _select(table, rows) for name, rows in found.items()}


def test_only(table: LabelTable) -> Splits:
    """Return a split that uses all images for testing, for example of an external data set."""
    return {"test": _select(table, np.arange(len(table)))}


def write_lists(splits: Splits, classes: Sequence[str], out: str | os.PathLike[str]) -> dict[str, Path]:
    """Write `train_list.txt`, `val_list.txt` and `test_list.txt`, or those of them that have a split.

    Classes other than CLASS_NAMES are written next to the lists (see `read_classes`). Patients are written if they
    differ from those in the image names (see `read_patients`). Either all files are written or none.

    Returns:
        The list file of each split.

    Raises:
        InputError: a split is empty, the folder already has such files, or they cannot be written.
    """
    folder = Path(out)
    check_unused(folder)
    if empty := [name for name, split in splits.items() if not split.names]:
        raise InputError(f"{folder}: no images are left for {', '.join(empty)}; there are too few patients")
    files = {name: _path(folder, name) for name in splits}
    texts = {files[name]: format_list(split.names, split.labels) for name, split in splits.items()}
    for name, split in splits.items():
        known = [patient for patient in split.patients if patient is not None]
        if len(known) == len(split.names) and tuple(map(patient_id, split.names)) != split.patients:
            texts[patients_path(files[name])] = format_patients(split.names, known)
    if tuple(classes) != CLASS_NAMES:
        texts[folder / CLASSES_FILE] = format_classes(classes)
    with ExitStack() as stack:  # temporary files are renamed only after all of them have been written
        for path, text in texts.items():
            stack.enter_context(atomic_write(path)).write_text(text, encoding="utf-8", newline="\n")
    return files


def check_unused(folder: str | os.PathLike[str]) -> None:
    """Raise InputError if a folder already has list, patient or class files."""
    lists = [_path(Path(folder), name) for name in ("train", "val", "test")]
    paths = (*lists, *map(patients_path, lists), Path(folder, CLASSES_FILE))
    if existing := [path.name for path in paths if path.exists()]:
        raise InputError(
            f"{folder}: already has {', '.join(existing)}; remove the folder or choose another --output_dir"
        )


def format_counts(splits: Splits, classes: Sequence[str]) -> str:
    """Format the number of images, patients and positives per finding of each split as a text table."""
    rows = [("", list(splits))]
    rows += [("images", [f"{len(split.names):,}" for split in splits.values()])]
    rows += [
        ("patients", ["?" if None in split.patients else f"{len(set(split.patients)):,}" for split in splits.values()])
    ]
    for c, name in enumerate(classes):
        rows += [(name, [f"{split.labels[:, c].sum():,}" for split in splits.values()])]
    width = max(len(title) for title, _ in rows) + 1
    return "\n".join(f"{title:{width}}" + "".join(f"{value:>10}" for value in values) for title, values in rows)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}_list.txt"


def _select(table: LabelTable, rows: np.ndarray, names: Sequence[str] | None = None) -> Split:
    patients = tuple(table.patients[row] for row in rows)
    return Split(tuple(names or (table.names[row] for row in rows)), table.labels[rows], patients)


def _rows(table: LabelTable, image_list: ImageList) -> np.ndarray:
    """Return the rows of the table for the images of a list."""
    rows = table.find(image_list.names)
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        first = int(absent[0])
        raise InputError(
            f"{image_list.path}:{image_list.lines[first]}: {image_list.names[first]} is not in {table.path}; "
            f"{len(absent)} images of the list have no labels there"
        )
    return rows


def _patients(table: LabelTable, rows: np.ndarray) -> set[str]:
    return {patient for row in rows.tolist() if (patient := table.patients[row]) is not None}


def _stratified_split(table: LabelTable, rows: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Divide rows of a table by patient, stratified. Each part keeps the order of the rows."""
    patients = sorted(_patients(table, rows))
    index_by_patient = {patient: index for index, patient in enumerate(patients)}
    patient_indices = np.array([index_by_patient[table.patients[row]] for row in rows.tolist()])
    strata = _strata(table.labels[rows], patient_indices, len(patients))
    rng = np.random.default_rng(seed)
    part_by_patient = np.empty(len(patients), int)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        ends = np.round(np.cumsum(fractions)[:-1] * len(members)).astype(int)
        for part, selected in enumerate(np.split(members, ends)):
            part_by_patient[selected] = part
    return [rows[part_by_patient[patient_indices] == part] for part in range(len(fractions))]


def _strata(labels: np.ndarray, patient_indices: np.ndarray, n_patients: int) -> np.ndarray:
    """Return the rarest finding of each patient, int64 [P].

    Findings are numbered from the rarest, by number of patients. C stands for no finding.

    Args:
        labels: uint8 [N, C].
        patient_indices: index of the patient of each image, int64 [N].
        n_patients: number of patients, P.
    """
    has = np.stack([np.bincount(patient_indices, column, n_patients) > 0 for column in labels.T], axis=1)  # [P, C]
    has = has[:, np.argsort(has.sum(axis=0), kind="stable")]
    return np.where(has.any(axis=1), has.argmax(axis=1), has.shape[1])
