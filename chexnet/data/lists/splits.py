"""Which images are for training, validation and testing. All images of a patient are in one part."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

RANDOM_SHARES = (0.7, 0.1, 0.2)
"""Of the patients, for training, validation and testing, as in the split of arnoweng/CheXNet."""


@dataclass(frozen=True)
class Split:
    """The images of one list file to be.

    Attributes:
        names: N image files.
        labels: uint8 [N, C], 0 or 1.
        patients: whose image each is, None where that is unknown.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    patients: tuple[str | None, ...]


Splits = Mapping[str, Split]
"""By part: `train`, `val` and `test`, or some of them."""


def official(table: LabelTable, train_val: ImageList, test: ImageList, val_fraction: float, seed: int) -> Splits:
    """NIH's own split, with a share of the patients of its `train_val_list.txt` for validation.

    Args:
        table: all of NIH's labels.
        train_val: NIH's list of that name, read with no classes.
        test: likewise `test_list.txt`.
        val_fraction: share of the patients of `train_val`, stratified as in `random`.
        seed: chooses them.

    Raises:
        InputError: the lists share patients, name images that the table has not, or not all that it has.
    """
    rows = _rows(table, train_val)
    test_rows = _rows(table, test)
    shared = _patients(table, rows) & _patients(table, test_rows)
    if shared:
        raise InputError(f"{test.path}: {len(shared)} patients stand in {train_val.path}, too, expected none")
    left = len(table) - len(rows) - len(test_rows)
    if left:
        raise InputError(
            f"{table.path}: {left} of {len(table)} images stand neither in {train_val.path} nor in {test.path}, "
            "expected all"
        )
    train, val = _stratified_split(table, rows, (1 - val_fraction, val_fraction), seed)
    return {"train": _part(table, train), "val": _part(table, val), "test": _part(table, test_rows)}


def reference(table: LabelTable, lists: Mapping[str, ImageList]) -> Splits:
    """The images of lists, by part, in their order and under their names, with the labels of the table.

    Raises:
        InputError: an image is not in the table.
    """
    return {part: _part(table, _rows(table, one), one.names) for part, one in lists.items()}


def random(table: LabelTable, seed: int) -> Splits:
    """Patients at random, RANDOM_SHARES of them, stratified.

    A patient belongs to the stratum of the finding, of those in any image of the patient, that the fewest patients
    have. Every stratum is divided by itself, so that each part has its share of the patients with a rare finding.

    Raises:
        InputError: of an image it is not known whose it is.
    """
    unknown = [name for name, patient in zip(table.names, table.patients, strict=True) if patient is None]
    if unknown:
        raise InputError(
            f"{table.path}: the names of {len(unknown):,} of its {len(table):,} images do not tell the patient, such "
            f"as {shorten(unknown[0])}, so that one patient could be in two parts; name the column of the patients "
            "(--patient_column NAME), or say that no two images are of one patient (--each_image_a_patient)"
        )
    pieces = _stratified_split(table, np.arange(len(table)), RANDOM_SHARES, seed)
    return dict(zip(("train", "val", "test"), (_part(table, rows) for rows in pieces), strict=True))


def common_test(table: LabelTable, lists: Mapping[str, ImageList], train_val: ImageList, test: ImageList) -> Splits:
    """The images that are for testing both in NIH's official split and in that of `lists`: a test part alone.

    Whatever was trained on either split can be scored on them, and by the same numbers. There is nothing to train on:
    a network of this split would have no peer. Images of patients with others in the training or validation part of
    either are left out.

    Raises:
        InputError: no image is left, or one is not in the table.
    """
    chosen = set(_rows(table, test).tolist())
    elsewhere = _patients(table, _rows(table, train_val))
    for part in ("train", "val"):
        elsewhere |= _patients(table, _rows(table, lists[part]))
    rows = _rows(table, lists["test"])
    kept = [place for place, row in enumerate(rows) if row in chosen and table.patients[row] not in elsewhere]
    if not kept:
        raise InputError(f"{lists['test'].path}: none of its images is for testing in {test.path}, too")
    return {"test": _part(table, rows[kept], [lists["test"].names[place] for place in kept])}


def test_only(table: LabelTable) -> Splits:
    """All images for testing, as of a data set that was not trained on."""
    return {"test": _part(table, np.arange(len(table)))}


def write_lists(parts: Splits, classes: Sequence[str], out: str | os.PathLike[str]) -> dict[str, Path]:
    """Writes `train_list.txt`, `val_list.txt` and `test_list.txt`, as many as there are parts: all of them or none.

    Classes other than CLASS_NAMES are written beside them (see `read_classes`), and so are the patients of a part whose
    images' names do not say all of them (see `read_patients`).

    Returns:
        The list file of each part.

    Raises:
        InputError: a part is empty, the folder has such files already, or they cannot be written.
    """
    folder = Path(out)
    check_unused(folder)
    if empty := [name for name, part in parts.items() if not part.names]:
        raise InputError(f"{folder}: no image is left for {', '.join(empty)}, expected some; the patients are too few")
    files = {part: _path(folder, part) for part in parts}
    texts = {files[part]: format_list(one.names, one.labels) for part, one in parts.items()}
    for part, one in parts.items():
        known = [patient for patient in one.patients if patient is not None]
        if len(known) == len(one.names) and tuple(map(patient_id, one.names)) != one.patients:
            texts[patients_path(files[part])] = format_patients(one.names, known)
    if tuple(classes) != CLASS_NAMES:
        texts[folder / CLASSES_FILE] = format_classes(classes)
    with ExitStack() as stack:  # all are written under other names; only then each gets its own
        for path, text in texts.items():
            stack.enter_context(atomic_write(path)).write_text(text, encoding="utf-8", newline="\n")
    return files


def check_unused(folder: str | os.PathLike[str]) -> None:
    """Raises InputError if a folder has list files already, or files that say something of such."""
    lists = [_path(Path(folder), part) for part in ("train", "val", "test")]
    names = (*lists, *map(patients_path, lists), Path(folder, CLASSES_FILE))
    if there := [path.name for path in names if path.exists()]:
        raise InputError(
            f"{folder}: has {', '.join(there)} already, expected none; remove it or choose another --output_dir"
        )


def format_counts(parts: Splits, classes: Sequence[str]) -> str:
    """A table for a person: images and patients of each part, and images with each finding."""
    rows = [("", list(parts))]
    rows += [("images", [f"{len(part.names):,}" for part in parts.values()])]
    rows += [
        ("patients", ["?" if None in part.patients else f"{len(set(part.patients)):,}" for part in parts.values()])
    ]
    for c, name in enumerate(classes):
        rows += [(name, [f"{part.labels[:, c].sum():,}" for part in parts.values()])]
    width = max(len(title) for title, _ in rows) + 1
    return "\n".join(f"{title:{width}}" + "".join(f"{value:>10}" for value in values) for title, values in rows)


def _path(folder: Path, part: str) -> Path:
    return folder / f"{part}_list.txt"


def _part(table: LabelTable, rows: np.ndarray, names: Sequence[str] | None = None) -> Split:
    patients = tuple(table.patients[row] for row in rows)
    return Split(tuple(names or (table.names[row] for row in rows)), table.labels[rows], patients)


def _rows(table: LabelTable, image_list: ImageList) -> np.ndarray:
    """The table's rows of a list's images."""
    rows = table.find(image_list.names)
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        first = int(absent[0])
        raise InputError(
            f"{image_list.path}:{image_list.lines[first]}: {image_list.names[first]} is not in {table.path}, expected "
            f"labels for every image; {len(absent)} have none"
        )
    return rows


def _patients(table: LabelTable, rows: np.ndarray) -> set[str]:
    return {patient for row in rows.tolist() if (patient := table.patients[row]) is not None}


def _stratified_split(table: LabelTable, rows: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Some rows of a table, by patient and stratum, each piece in the order of the rows."""
    patients = sorted(_patients(table, rows))
    number = {patient: place for place, patient in enumerate(patients)}
    patient_of_row = np.array([number[table.patients[row]] for row in rows.tolist()])
    strata = _strata(table.labels[rows], patient_of_row, len(patients))
    rng = np.random.default_rng(seed)
    piece_of_patient = np.empty(len(patients), int)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        ends = np.round(np.cumsum(shares)[:-1] * len(members)).astype(int)
        for piece, chosen in enumerate(np.split(members, ends)):
            piece_of_patient[chosen] = piece
    return [rows[piece_of_patient[patient_of_row] == piece] for piece in range(len(shares))]


def _strata(labels: np.ndarray, patient_of_row: np.ndarray, count: int) -> np.ndarray:
    """Each patient's rarest finding, counted from the rarest of all; the number of findings for none."""
    has = np.stack([np.bincount(patient_of_row, column, count) > 0 for column in labels.T], axis=1)  # [P, C]
    has = has[:, np.argsort(has.sum(axis=0), kind="stable")]
    return np.where(has.any(axis=1), has.argmax(axis=1), has.shape[1])
