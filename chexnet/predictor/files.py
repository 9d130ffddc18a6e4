"""What predictions are written to: JSON, CSV, pictures. Each file is there whole, or not at all."""

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from PIL import Image

from chexnet import drawing
from chexnet.errors import InputError
from chexnet.files import check_writable, replacing
from chexnet.predictor.network import Prediction
from chexnet.predictor.sheet import finding_sheet
from chexnet.thresholds import Thresholds

_UNSAFE = re.compile(r"[^\w .()+-]")
"""What a class's name may hold, and a file's may not everywhere."""


def _file_part(finding: str, classes: Sequence[str]) -> str:
    """A class's name as part of a file's, which no other class has."""
    parts = [_UNSAFE.sub("_", name) for name in classes]
    place = classes.index(finding)
    alike = [part.lower() for part in parts].count(parts[place].lower()) > 1  # some file systems know no capitals
    return f"{parts[place]}_{place + 1}" if alike else parts[place]


class JsonFile:
    """One JSON object with all that is known, written image by image: memory does not grow with their number."""

    def __init__(self, file: IO[str], facts: Mapping[str, Any]) -> None:
        self._file = file
        self._errors: list[str] = []
        self._separator = "\n    "
        file.write(json.dumps(dict(facts), indent=2).removesuffix("\n}") + ',\n  "images": [')

    @classmethod
    @contextmanager
    def opened(cls, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> Iterator["JsonFile"]:
        """The file, finished when the block ends and not there at all if it raises.

        Args:
            path: of the file.
            facts: what is said once, of all images.

        Raises:
            InputError: it cannot be written.
        """
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            written = cls(file, facts)
            yield written
            file.write("\n  ],\n" + f'  "errors": {json.dumps(written._errors)}\n' + "}\n")

    def add(self, prediction: Prediction, thresholds: Thresholds | None, pictures: Mapping[str, Path]) -> None:
        """Writes an image.

        Args:
            prediction: of it.
            thresholds: to decide by, if any.
            pictures: what was drawn of it, by finding.
        """
        entry: dict[str, Any] = {"image": prediction.name, "probabilities": _shortest(prediction)}
        if thresholds:
            entry["decisions"] = decisions(prediction, thresholds)
        entry["warnings"] = list(prediction.warnings)
        if pictures:
            entry["cam"] = {finding: str(path) for finding, path in pictures.items()}
        self._file.write(self._separator + json.dumps(entry))
        self._separator = ",\n    "

    def add_error(self, error: InputError) -> None:
        """Writes what could not be read."""
        self._errors.append(str(error))


class CsvFile:
    """A line an image that could be read: `image`, `prob_<class>`, `decision_<class>` (1 or 0) and `warnings`."""

    def __init__(self, file: IO[str], classes: Sequence[str], thresholds: Thresholds | None) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._thresholds = thresholds
        columns = [f"prob_{name}" for name in classes]
        if thresholds:
            columns += [f"decision_{name}" for name in classes]
        self._writer.writerow(["image", *columns, "warnings"])

    @classmethod
    @contextmanager
    def opened(
        cls, path: str | os.PathLike[str], classes: Sequence[str], thresholds: Thresholds | None
    ) -> Iterator["CsvFile"]:
        """As `JsonFile.opened`."""
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            yield cls(file, classes, thresholds)

    def add(self, prediction: Prediction) -> None:
        """Writes an image."""
        row: list[Any] = [str(value) for value in prediction.probabilities]
        if self._thresholds:
            row += [int(present) for present in decisions(prediction, self._thresholds).values()]
        self._writer.writerow([prediction.name, *row, "; ".join(prediction.warnings)])


class PictureFolder:
    """A folder for pictures named `<image>_<finding>.png`, and `<image>_2_<finding>.png` where that was another image.

    Args:
        folder: made if it is missing.

    Raises:
        InputError: it cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._taken: set[str] = set()
        check_writable(self.folder / "picture.png", ".png", keep=())

    def name(self, image: str) -> str:
        """What the names of an image's pictures begin with, each time another one."""
        stem = Path(image).stem
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name.lower() not in self._taken)  # some file systems know no capitals
        self._taken.add(name.lower())
        return name

    def draw(self, prediction: Prediction, name: str, findings: Sequence[str], notice: str) -> dict[str, Path]:
        """Draws findings of an image, each on the image, and says where.

        Args:
            prediction: of the image.
            name: what `name` gave.
            findings: which ones.
            notice: stands below each.

        Raises:
            InputError: a picture cannot be written.
        """
        size = drawing.panel_size(prediction.gray)
        gray = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)  # once for all findings
        drawn = {}
        for finding in findings:
            title = f"{prediction.caption(finding)}    {name}"
            picture = drawing.overlay(gray, prediction.shown_map(finding, size), prediction.limit, title, notice)
            drawn[finding] = self.folder / f"{name}_{_file_part(finding, prediction.classes)}.png"
            with replacing(drawn[finding]) as temporary:
                picture.save(temporary, compress_level=1)  # more takes twice the time and saves a tenth
        return drawn

    def draw_sheet(
        self, prediction: Prediction, name: str, thresholds: Thresholds | None, notice: str
    ) -> dict[str, Path]:
        """Draw all findings of an image on one sheet, `<image>_sheet.png`, and return where each is.

        Args:
            prediction: of the image.
            name: what `name` gave.
            thresholds: mark those that are present, if any.
            notice: stands below them.

        Raises:
            InputError: the picture cannot be written.
        """
        path = self.folder / f"{name}_sheet.png"
        with replacing(path) as temporary:
            finding_sheet(prediction, thresholds, notice=notice).save(temporary, compress_level=1)
        return dict.fromkeys(prediction.classes, path)


def decisions(prediction: Prediction, thresholds: Thresholds) -> dict[str, bool]:
    """Which findings are called present."""
    return {name: point.decides(prediction.probability(name)) for name, point in thresholds.points.items()}


def _shortest(prediction: Prediction) -> dict[str, float]:
    """The probabilities with as many digits as float32 has."""
    return {name: float(str(value)) for name, value in zip(prediction.classes, prediction.probabilities, strict=True)}
