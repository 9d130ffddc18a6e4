"""Counterfactual pairs: the same exposure of a healthy chest with and without one finding or one confounder."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from chexnet._types import ProgressFn
from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.labels import CLASS_NAMES
from chexnet.phantom.confounders import CONFOUNDERS
from chexnet.phantom.output_folder import claim_folder, save_image
from chexnet.phantom.radiograph import MIN_SIZE, draw

PLANTED = (*CLASS_NAMES, *CONFOUNDERS)
"""The findings and confounders, one of which makes the difference of a pair."""

MIN_PATIENTS = 2
"""Minimum number of patients; intervals come from the differences between patients."""

HEADER = ("patient", "planted", "without", "with")
"""Columns of the file of pairs; the last two are image files, relative to the folder of the file."""


@dataclass(frozen=True)
class PairSummary:
    """Output files and counts of `make_pairs`.

    Attributes:
        images, pairs: numbers of images and pairs.
        file: file of pairs.
    """

    images: int
    pairs: int
    file: Path


def make_pairs(
    out: str | os.PathLike[str], patients: int, size: int, seed: int, progress: ProgressFn | None = None
) -> PairSummary:
    """Draw pairs and write them.

    `out/images/<patient>_none.png`: a healthy chest, and `out/images/<patient>_<planted>.png` the same exposure with
    the same noise and one finding or confounder. `out/pairs.csv`: one line per pair, in the columns of HEADER.
    `out/phantom.json`: arguments of this call. The same arguments give the same bytes.

    Args:
        out: new or empty folder, or the folder of an interrupted run with the same arguments.
        patients: number of patients, at least MIN_PATIENTS; each has len(PLANTED) pairs.
        size: pixels per side, at least MIN_SIZE.
        seed: random seed, non-negative.
        progress: called after each image with the number of images so far and in all.

    Raises:
        InputError: an argument is out of range, or `out` contains other files or cannot be written.
    """
    if patients < MIN_PATIENTS:
        raise InputError(f"pairs: {patients} patients, expected at least {MIN_PATIENTS}")
    if size < MIN_SIZE:
        raise InputError(f"size: {size} pixels, expected at least {MIN_SIZE}")
    root = Path(out)
    file = root / "pairs.csv"
    claim_folder(root, {"pairs": patients, "size": size, "seed": seed}, [file])
    rows: list[tuple[str, ...]] = []
    total = patients * (1 + len(PLANTED))
    for patient in range(1, patients + 1):
        names = {planted: f"images/{patient:08d}_{planted}.png" for planted in ("none", *PLANTED)}
        for number, (planted, name) in enumerate(names.items()):
            findings, confounders = ([planted] if planted in kind else [] for kind in (CLASS_NAMES, CONFOUNDERS))
            radiograph = draw(findings, size, seed=seed, patient=patient, confounders=confounders)
            save_image(radiograph.image, root / name)
            if progress is not None:
                progress((patient - 1) * len(names) + number + 1, total)
        rows += [(f"{patient:08d}", planted, names["none"], names[planted]) for planted in PLANTED]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    write_text(file, text.getvalue())
    return PairSummary(total, len(rows), file)
