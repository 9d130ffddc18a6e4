"""Score a long list of images in parts of fixed size, in any number of processes and on any number of machines.

A part becomes two files. `part-00007.csv` is what `predict.py --output_csv` writes for its images. `part-00007.json`,
written after it, marks the part as finished: it has the checksum of the CSV, the images that could not be read, and
the settings that the probabilities depend on. Both are complete or absent, so a process may be killed at any time.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import chexnet
from chexnet._types import LogFn
from chexnet.config import PredictConfig
from chexnet.errors import InputError
from chexnet.files import atomic_write, check_inputs, check_writable, write_text
from chexnet.files.json_files import read_json
from chexnet.inference.prediction_files import CsvWriter
from chexnet.inference.predictor import MAX_BATCH_IMAGES, Predictor
from chexnet.inference.thresholds import require_calibration

PART_SIZE = 10_000
"""Images per part by default: minutes on a GPU, hours on a CPU."""


@dataclass(frozen=True)
class ImageParts:
    """A list of image files, divided into parts.

    Args:
        path: text file with the path of one image per line; empty lines are ignored.
        folder: folder for the files of the parts, created if it is missing.
        size: images per part, a multiple of MAX_BATCH_IMAGES. Batches are then those of a run over the whole list, on
            which the last digits depend.

    Raises:
        InputError: `size` is not such a multiple.
    """

    path: str
    folder: str
    size: int = PART_SIZE

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % MAX_BATCH_IMAGES:
            raise InputError(f"--part_size {self.size}: expected a multiple of {MAX_BATCH_IMAGES}")

    def names(self, part: int) -> list[str]:
        """Return the image paths of a part. Raises InputError if the list cannot be read or has fewer parts."""
        names = list(islice(self._lines(), part * self.size, (part + 1) * self.size))
        if not names:
            raise InputError(f"{self.path}: has no part {part}, expected one of 0 to {self.count() - 1}")
        return names

    def all_names(self) -> Iterator[list[str]]:
        """Yield the image paths of each part."""
        lines = self._lines()
        while names := list(islice(lines, self.size)):
            yield names

    def count(self) -> int:
        """Return the number of parts. Raises InputError if the list is empty or cannot be read."""
        if not (images := sum(1 for _ in self._lines())):
            raise InputError(f"{self.path}: no line, expected the path of one image per line")
        return -(-images // self.size)

    def csv(self, part: int) -> Path:
        """Return the path of a part's probabilities."""
        return Path(self.folder, f"part-{part:05}.csv")

    def json(self, part: int) -> Path:
        """Return the path of the file that marks a part as finished."""
        return self.csv(part).with_suffix(".json")

    def _lines(self) -> Iterator[str]:
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                yield from filter(None, (line.rstrip("\r\n") for line in file))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}") from error


class PartScorer:
    """One checkpoint that scores parts. It is loaded when the first part is scored.

    Args:
        config: checkpoint, engine, thresholds and `calibrated`; outputs are ignored.
        log: receives lines for the user.

    Raises:
        InputError: the checkpoint, the device, the engine, the thresholds or their calibration cannot be used.
    """

    def __init__(self, config: PredictConfig, log: LogFn) -> None:
        self.predictor = Predictor(config, maps=False)
        self._log = log
        self._loaded = False
        found = self.predictor.find_thresholds(config.thresholds, log)
        self.thresholds = found[1] if found else None
        self.calibration = require_calibration(found, config.ckpt, log) if config.calibrated else {}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that all parts of a list must have in common."""
        settings = {
            "chexnet": chexnet.__version__,
            "ckpt_sha256": self.predictor.ckpt_sha256,
            "classes": self.predictor.classes,
            "crops": self.predictor.crops,
            "precision": self.predictor.config.precision,
            "preprocessing": asdict(self.predictor.preprocessing),
            "thresholds": self.thresholds and asdict(self.thresholds),
            "calibrated": bool(self.calibration),
        }
        return dict(json.loads(json.dumps(settings)))

    def score(self, parts: ImageParts, part: int, names: Sequence[str]) -> list[str] | None:
        """Score one part, unless it is finished.

        Args:
            parts: the list.
            part: number of the part, from 0.
            names: its images.

        Returns:
            The images that could not be read, with the reasons; None if the part was already finished.

        Raises:
            InputError: a file cannot be written or is one of the images, or the part was finished with other images
                or settings.
        """
        common = {"part_size": parts.size, "names_sha256": _checksum(names), "settings": self.settings}
        if (finished := _read(parts, part)) is not None:
            _compare(parts, part, finished, common)
            return None
        outputs = [parts.csv(part), parts.json(part)]
        for path in outputs:
            check_writable(path, path.suffix, protected=[parts.path, self.predictor.config.ckpt])
        check_inputs(names, outputs)
        if not self._loaded:
            self.predictor.load(self._log)
            self._loaded = True
        failures = []
        with (
            CsvWriter.open(parts.csv(part), self.predictor.classes, self.thresholds, self.calibration) as writer,
            closing(self.predictor.predict_all(map(Path, names))) as predictions,
        ):
            for prediction in predictions:
                if isinstance(prediction, InputError):
                    failures.append(str(prediction))
                else:
                    writer.add(prediction)
        csv_sha256 = hashlib.sha256(parts.csv(part).read_bytes()).hexdigest()
        result = {**common, "engine": self.predictor.engine, "csv_sha256": csv_sha256, "failures": failures}
        write_text(parts.json(part), json.dumps(result, indent=1) + "\n")
        return failures


@dataclass(frozen=True)
class MergedParts:
    """The result of a merge.

    Attributes:
        images: number of images in the list.
        failures: path of the text file with one line per image that could not be read.
        n_failures: their number.
        engines: the engines that computed the parts.
    """

    images: int
    failures: str
    n_failures: int
    engines: tuple[str, ...]


def merge_parts(parts: ImageParts, output: str | os.PathLike[str]) -> MergedParts:
    """Write one CSV file with the images of all parts, in the order of the list.

    It has the bytes that `predict.py --output_csv` writes for the whole list. `<output>.failures.txt` lists the images
    that could not be read.

    Raises:
        InputError: parts are not finished or do not belong together, a file is damaged, or the output cannot be
            written.
    """
    failures_file = f"{Path(output).with_suffix('')}.failures.txt"
    check_writable(output, ".csv", protected=[parts.path])
    total = parts.count()
    if missing := [part for part in range(total) if not (parts.csv(part).exists() and parts.json(part).exists())]:
        shown = ", ".join(map(str, missing[:10])) + ", ..." * (len(missing) > 10)
        raise InputError(f"{parts.folder}: {len(missing)} of {total} parts are not finished: {shown}; score them first")
    check_inputs([path for part in range(total) for path in (parts.csv(part), parts.json(part))], [output])
    images, failed, engines = 0, 0, dict[str, None]()
    common: dict[str, Any] = {}
    with (
        atomic_write(failures_file) as failures,
        atomic_write(output) as merged,
        open(failures, "w", encoding="utf-8", newline="\n") as lines,
        open(merged, "wb") as csv,
    ):
        for part, names in enumerate(parts.all_names()):
            result = _read(parts, part) or {}
            common = {**(common or result), "part_size": parts.size, "names_sha256": _checksum(names)}
            _compare(parts, part, result, common)
            content = parts.csv(part).read_bytes()
            if hashlib.sha256(content).hexdigest() != result.get("csv_sha256"):
                raise InputError(f"{parts.csv(part)}: is damaged; remove it and score part {part} again")
            header, _, rows = content.partition(b"\n")
            csv.write(rows if part else header + b"\n" + rows)
            lines.writelines(f"{failure}\n" for failure in result["failures"])
            images, failed = images + len(names), failed + len(result["failures"])
            engines[result["engine"]] = None
    return MergedParts(images, failures_file, failed, tuple(engines))


def _checksum(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()


def _read(parts: ImageParts, part: int) -> dict[str, Any] | None:
    """Return the contents of a part's JSON file; None if the part is not finished."""
    if not (parts.csv(part).exists() and parts.json(part).exists()):
        return None
    content = read_json(parts.json(part))
    if not isinstance(content, dict) or not isinstance(content.get("failures"), list):
        raise InputError(f"{parts.json(part)}: is damaged; remove it and score part {part} again")
    return content


def _compare(parts: ImageParts, part: int, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise InputError unless a part has the expected images and settings."""
    path = parts.json(part)
    if found.get("part_size") != expected["part_size"]:
        raise InputError(
            f"{path}: scored with --part_size {found.get('part_size')}, expected {expected['part_size']}; use the same "
            "for all parts, or another --output_dir"
        )
    if found.get("names_sha256") != expected["names_sha256"]:
        raise InputError(f"{path}: has other images than {parts.path} now; use another --output_dir for another list")
    old, new = found.get("settings"), expected["settings"]
    if old != new:
        names = [name for name in new if not isinstance(old, dict) or old.get(name) != new[name]]
        raise InputError(
            f"{path}: scored with other settings ({', '.join(names)}) than the rest; use another --output_dir for them"
        )
