"""Write predictions as JSON, CSV and pictures. Each file is either complete or does not exist."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Concatenate, Generic, ParamSpec, TypeVar

from PIL import Image

from chexnet.errors import InputError, printable
from chexnet.files import atomic_write, check_writable
from chexnet.inference import overlays
from chexnet.inference.contact_sheets import finding_sheet
from chexnet.inference.prediction import Prediction
from chexnet.inference.thresholds import Thresholds
from chexnet.metrics.platt import PlattScaling

_UNSAFE = re.compile(r"[^\w .()+-]")
"""Characters of class names that some file systems do not allow in file names."""

_MAX_PART_BYTES = 90
"""Maximum length of the image part and of the finding part of a file name. Some file systems allow 143 bytes in all."""

Writer = TypeVar("Writer")
P = ParamSpec("P")


class Output(Generic[Writer]):
    """An output file that may fail without stopping the run; a context manager.

    The file gets its name at the end of the block. Nothing is left behind if the block raises.

    Args:
        opened: context manager that returns the writer and completes the file, or raises InputError.

    Attributes:
        failure: error that stopped the writing, if any.
    """

    def __init__(self, opened: AbstractContextManager[Writer]) -> None:
        self.failure: InputError | None = None
        self._opened: AbstractContextManager[Writer] | None = opened

    def __enter__(self) -> "Output[Writer]":
        if self._opened:
            self._writer = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        if opened:
            try:
                opened.__exit__(kind, error, trace)
            except InputError as failure:
                if kind is None or isinstance(error, OSError):
                    self.failure = failure

    def write(self, action: Callable[Concatenate[Writer, P], None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call an action of the writer, unless writing has already failed."""
        if self._opened:
            try:
                action(self._writer, *args, **kwargs)
            except OSError as error:
                self.__exit__(type(error), error, error.__traceback__)


def _shortened(name: str) -> str:
    while len(os.fsencode(name)) > _MAX_PART_BYTES:
        name = name[:-1]
    return name


def _file_part(finding: str, classes: Sequence[str]) -> str:
    """Return a part of a file name that is unique to this class."""
    parts = [_shortened(_UNSAFE.sub("_", name)) for name in classes]
    index = classes.index(finding)
    ambiguous = [part.lower() for part in parts].count(parts[index].lower()) > 1  # some file systems ignore case
    return f"{parts[index]}_{index + 1}" if ambiguous else parts[index]


class JsonWriter:
    """Write all results as one JSON object, image by image, so that memory does not grow with their number."""

    def __init__(self, file: IO[str], metadata: Mapping[str, Any]) -> None:
        self._file = file
        self._errors: list[str] = []
        self._separator = "\n    "
        file.write(json.dumps(dict(metadata), indent=2).removesuffix("\n}") + ',\n  "images": [')

    @classmethod
    @contextmanager
    def open(cls, path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> Iterator["JsonWriter"]:
        """Open the file. It is complete at the end of the block, and does not exist if the block raises an error.

        Args:
            path: the file.
            metadata: entries that are common to all images.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
            writer = cls(file, metadata)
            yield writer
            file.write("\n  ],\n" + f'  "errors": {json.dumps(writer._errors)}\n' + "}\n")

    def add(
        self,
        prediction: Prediction,
        thresholds: Thresholds | None,
        calibration: Mapping[str, PlattScaling],
        pictures: Mapping[str, Path],
    ) -> None:
        """Write the result of an image.

        Args:
            prediction: result of the image.
            thresholds: operating points for decisions, if any.
            calibration: Platt scaling of the findings to calibrate; empty for none.
            pictures: finding -> picture file.
        """
        entry: dict[str, Any] = {"image": prediction.name, "probabilities": _probabilities(prediction)}
        if calibration:
            entry["calibrated"] = prediction.calibrated(calibration)
        if thresholds:
            entry["decisions"] = decisions(prediction, thresholds)
        entry["warnings"] = list(prediction.warnings)
        if pictures:
            entry["cam"] = {finding: str(path) for finding, path in pictures.items()}
        self._file.write(self._separator + json.dumps(entry))
        self._separator = ",\n    "

    def add_error(self, error: InputError) -> None:
        """Record the error of an image that could not be read."""
        self._errors.append(str(error))


class CsvWriter:
    """Write one line per readable image.

    The columns are `image`, `prob_<class>`, `calibrated_<class>`, `decision_<class>` (1 or 0) and `warnings`.
    """

    def __init__(
        self,
        file: IO[str],
        classes: Sequence[str],
        thresholds: Thresholds | None,
        calibration: Mapping[str, PlattScaling],
    ) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._thresholds = thresholds
        self._calibration = calibration
        columns = [f"prob_{name}" for name in classes] + [f"calibrated_{name}" for name in calibration]
        if thresholds:
            columns += [f"decision_{name}" for name in classes]
        self._writer.writerow(["image", *columns, "warnings"])

    @classmethod
    @contextmanager
    def open(
        cls,
        path: str | os.PathLike[str],
        classes: Sequence[str],
        thresholds: Thresholds | None,
        calibration: Mapping[str, PlattScaling],
    ) -> Iterator["CsvWriter"]:
        """Open the file, with the guarantees of `JsonWriter.open`; `calibration` as in `JsonWriter.add`."""
        # Undecodable bytes in file names are escaped, because they would make the file invalid UTF-8.
        with (
            atomic_write(path) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            yield cls(file, classes, thresholds, calibration)

    def add(self, prediction: Prediction) -> None:
        """Write the result of an image."""
        row: list[Any] = [str(value) for value in prediction.probabilities]
        row += map(str, prediction.calibrated(self._calibration).values())
        if self._thresholds:
            row += [int(present) for present in decisions(prediction, self._thresholds).values()]
        self._writer.writerow([prediction.name, *row, "; ".join(prediction.warnings)])


class OverlayWriter:
    """Write pictures named `<image>_<finding>.png`, or `<image>_2_<finding>.png` if that name is taken.

    Long names are shortened. `draw` and `draw_sheet` are thread-safe.

    Args:
        folder: created if it is missing.

    Attributes:
        failures: errors of pictures that could not be written.

    Raises:
        InputError: the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.failures: list[InputError] = []
        self._taken: set[str] = set()
        check_writable(self.folder / "picture.png", ".png", protected=())

    def name(self, image: str) -> str:
        """Return a new prefix for the names of an image's pictures."""
        stem = _shortened(Path(image).stem)
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name.lower() not in self._taken)  # some file systems ignore case
        self._taken.add(name.lower())
        return name

    def draw(self, prediction: Prediction, name: str, findings: Sequence[str], disclaimer: str) -> dict[str, Path]:
        """Draw one picture per finding and return finding -> file for the written pictures.

        Args:
            prediction: result of the image.
            name: prefix from `name`.
            findings: findings to draw.
            disclaimer: line below each picture.
        """
        size = overlays.panel_size(prediction.gray)
        gray = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)  # once for all findings
        drawn = {}
        for finding in findings:
            title = f"{prediction.caption(finding)}    {printable(name)}"
            picture = overlays.render_panel(
                gray, prediction.heatmap(finding, size), prediction.cam_max, title, disclaimer
            )
            path = self.folder / f"{name}_{_file_part(finding, prediction.classes)}.png"
            try:
                with atomic_write(path) as temporary:
                    picture.save(temporary, compress_level=1)  # a higher level takes twice the time and saves a tenth
            except InputError as error:
                self.failures.append(error)
            else:
                drawn[finding] = path
        return drawn

    def draw_sheet(
        self, prediction: Prediction, name: str, thresholds: Thresholds | None, disclaimer: str
    ) -> dict[str, Path]:
        """Draw all findings of an image on one sheet, `<image>_sheet.png`, and return finding -> file.

        Args:
            prediction: result of the image.
            name: prefix from `name`.
            thresholds: operating points; present findings get a frame.
            disclaimer: line at the bottom.
        """
        path = self.folder / f"{name}_sheet.png"
        try:
            with atomic_write(path) as temporary:
                finding_sheet(prediction, thresholds, disclaimer=disclaimer).save(temporary, compress_level=1)
        except InputError as error:
            self.failures.append(error)
            return {}
        return dict.fromkeys(prediction.classes, path)


def decisions(prediction: Prediction, thresholds: Thresholds) -> dict[str, bool]:
    """Return finding -> True if it is present."""
    return {name: point.decides(prediction.probability(name)) for name, point in thresholds.points.items()}


def _probabilities(prediction: Prediction) -> dict[str, float]:
    """Return finding -> probability, with the digits of its float32 value."""
    return {name: float(str(value)) for name, value in zip(prediction.classes, prediction.probabilities, strict=True)}
