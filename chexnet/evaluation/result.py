"""Results of an evaluation, and their output as JSON, CSV and text."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chexnet.config import EvalConfig
from chexnet.data import SkippedImage
from chexnet.data.audit import TrainingOverlap
from chexnet.data.transforms import Preprocessing
from chexnet.evaluation.predictions import Predictions
from chexnet.files import write_text
from chexnet.known_lists import split_of
from chexnet.published import comparability, published_results


@dataclass(frozen=True)
class CheckpointResult:
    """Result of a single checkpoint in an evaluation.

    Attributes:
        ckpt: the weight file.
        sha256: checksum of the bytes that were loaded.
        preprocessing: how the images were resized and cropped.
        disclaimer: text that every user of the checkpoint should read; may be empty.
        training_overlap: overlap of the test list with the training images; None if these are not recorded.
        aurocs: AUROCs of this checkpoint alone, float64 [C]; NaN for a class with only positives or only negatives.
        mean: mean over the classes with a defined AUROC.
        classes: class names.
    """

    ckpt: str
    sha256: str
    preprocessing: Preprocessing
    disclaimer: str
    training_overlap: TrainingOverlap | None
    aurocs: np.ndarray
    mean: float
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result, ready for JSON."""
        return {
            "ckpt": self.ckpt,
            "sha256": self.sha256,
            "preprocessing": asdict(self.preprocessing),
            "notice": self.disclaimer,
            "seen": self.training_overlap and self.training_overlap.to_dict(),
            "mean": {"auroc": _or_none(self.mean)},
            "classes": {
                name: {"auroc": _or_none(value)} for name, value in zip(self.classes, self.aurocs.tolist(), strict=True)
            },
        }


@dataclass(frozen=True)
class EvalResult:
    """Result of an evaluation.

    Attributes:
        config: the configuration, with the `crops` that were used.
        engine: engine, precision, device and threads, as text.
        members: results of the checkpoints, at least one.
        predictions: predictions for the N images that were scored, in list order, averaged over crops and members.
        validation: predictions for the validation list; None without one.
        skipped: images of the test list that could not be used.
        validation_skipped: images of the validation list that could not be used.
        aurocs: AUROCs, float64 [C]; NaN for a class with only positives or only negatives.
        mean: mean over the classes with a defined AUROC.
        sha256: checksums of the (first) checkpoint that was loaded and of the lists.
        seconds: duration in seconds.
    """

    config: EvalConfig
    engine: str
    members: tuple[CheckpointResult, ...]
    predictions: Predictions
    validation: Predictions | None
    skipped: tuple[SkippedImage, ...]
    validation_skipped: tuple[SkippedImage, ...]
    aurocs: np.ndarray
    mean: float
    sha256: Mapping[str, str]
    seconds: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the N images that were scored."""
        return self.predictions.names

    @property
    def labels(self) -> np.ndarray:
        """Labels, uint8 [N, C]."""
        return self.predictions.labels

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities, float64 [N, C]."""
        return self.predictions.probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.predictions.classes

    @property
    def undefined(self) -> list[str]:
        """Names of the classes without an AUROC."""
        return [name for name, value in zip(self.classes, self.aurocs, strict=True) if math.isnan(value)]

    @cached_property
    def run(self) -> dict[str, Any]:
        """Configuration, engine, checksums, checkpoints and skipped images, ready for JSON."""
        members = [member.to_dict() for member in self.members]
        return {
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": members[0]["preprocessing"],
            "sha256": dict(self.sha256),
            "notice": members[0]["notice"],
            "seen": members[0]["seen"],
            **({"members": members, "spread": self._spread()} if len(members) > 1 else {}),
            "skipped": [asdict(image) for image in self.skipped],
            **({"validation_skipped": [asdict(image) for image in self.validation_skipped]} if self.validation else {}),
            "seconds": round(self.seconds, 1),
        }

    def _spread(self) -> dict[str, Any]:
        """Return the standard deviations over the members (n - 1)."""
        deviations = np.std([member.aurocs for member in self.members], axis=0, ddof=1).tolist()
        return {
            "mean": {"auroc_sd": _or_none(float(np.std([member.mean for member in self.members], ddof=1)))},
            "classes": {
                name: {"auroc_sd": _or_none(value)} for name, value in zip(self.classes, deviations, strict=True)
            },
        }

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write AUROCs, counts, skipped images, configuration and checksums. An undefined AUROC is null.

        Raises:
            InputError: the file cannot be written.
        """
        positives = self.labels.sum(axis=0).tolist()
        content = {
            "images": len(self.names),
            "mean": {"auroc": _or_none(self.mean), "classes": len(self.classes) - len(self.undefined)},
            "classes": {
                name: {"auroc": _or_none(value), "positives": count}
                for name, value, count in zip(self.classes, self.aurocs.tolist(), positives, strict=True)
            },
            "undefined": self.undefined,
            **self.run,
        }
        write_text(path, json.dumps(content, indent=2) + "\n")

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the predictions as CSV, one line per scored image in list order, see `Predictions.to_csv`.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, self.predictions.to_csv())


def format_result(result: EvalResult) -> str:
    """Format the AUROCs as Paddle-CheXNet's eval.py does, with undefined classes and the spread over the members."""
    lines = ["The final AUROCs:", f"The average AUROC is {result.mean:.3f}"]
    if result.undefined:
        defined = len(result.classes) - len(result.undefined)
        lines[1] += (
            f" (over {defined} of {len(result.classes)} classes; only positives or only negatives: "
            f"{', '.join(result.undefined)})"
        )
    lines += [
        f"The AUROC of {name} is {'undefined' if math.isnan(value) else value}"
        for name, value in zip(result.classes, result.aurocs.tolist(), strict=True)
    ]
    if len(result.members) > 1:
        lines += _format_members(result)
    return "\n".join(lines)


def _format_members(result: EvalResult) -> list[str]:
    means = [member.mean for member in result.members]
    lines = [
        f"These AUROCs use the averaged probabilities of {len(means)} checkpoints. Each alone, average AUROC: "
        f"{np.mean(means):.4f}, standard deviation {np.std(means, ddof=1):.4f}"
    ]
    lines += [f"  {member.mean:.4f} {member.ckpt}" for member in result.members]
    aurocs = np.array([member.aurocs for member in result.members])  # [M, C]
    width = max(map(len, result.classes))
    lines += [
        f"  {name:{width}}  {mean:.4f}, standard deviation {deviation:.4f}"
        for name, mean, deviation in zip(result.classes, aurocs.mean(axis=0), aurocs.std(axis=0, ddof=1), strict=True)
        if not math.isnan(mean)
    ]
    return lines


def format_comparison(result: EvalResult) -> str:
    """Format this run's AUROCs next to the published ones, those of the same split first.

    The lines below the table give the intervals of the published means, the choice of their epochs, and the reason why
    results on other splits cannot be compared. There are none for other classes than the 14 of ChestX-ray14.
    """
    own_split = split_of(result.names)
    systems = published_results(result.classes, own_split)
    if not systems:
        return "Nothing to compare with: published AUROCs exist only for the 14 findings of ChestX-ray14."
    undefined = (math.nan,) * len(result.classes)
    columns = [("this run", _short(own_split or "yours"), tuple(result.aurocs.tolist()), result.mean)]
    columns += [(system.name, _short(system.split), system.auroc or undefined, system.mean) for system in systems]
    widths = [max(map(len, result.classes)), *(max(8, len(name)) for name, *_ in columns)]
    rows = [["", *(name for name, *_ in columns)], ["split", *(split for _, split, *_ in columns)]]
    for index, name in enumerate(result.classes):
        rows.append([name, *(_cell(aurocs[index]) for _, _, aurocs, _ in columns)])
    rows.append(["mean", *(_cell(mean) for *_, mean in columns)])
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.append(
        f"Compare only columns of the same split. {columns[0][1]}: {len(result.names)} images of "
        f"{result.config.test_list}."
    )
    return "\n".join([*lines, *comparability(own_split)])


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _short(split: str) -> str:
    return split.split()[0]


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
