"""What an evaluation found, and what is written and printed of it."""

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
from chexnet.labels import published_results


@dataclass(frozen=True)
class CheckpointResult:
    """One checkpoint of an evaluation.

    Attributes:
        ckpt: its weight file.
        sha256: of the bytes of it that were loaded.
        preprocessing: how its images were resized and cropped.
        notice: what the JSON beside it wants everybody to know who uses it; may be empty.
        seen: how much of the test list it was trained on; None if the JSON does not say.
        aurocs: float64 [C] of it alone, NaN for a class with one kind of label only.
        mean: over the classes that have an AUROC.
        classes: their names.
    """

    ckpt: str
    sha256: str
    preprocessing: Preprocessing
    disclaimer: str
    seen: TrainingOverlap | None
    aurocs: np.ndarray
    mean: float
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "ckpt": self.ckpt,
            "sha256": self.sha256,
            "preprocessing": asdict(self.preprocessing),
            "notice": self.disclaimer,
            "seen": self.seen and self.seen.to_dict(),
            "mean": {"auroc": _or_null(self.mean)},
            "classes": {
                name: {"auroc": _or_null(value)} for name, value in zip(self.classes, self.aurocs.tolist(), strict=True)
            },
        }


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found.

    Attributes:
        config: what was asked for.
        engine: what computed it: engine, precision, device and threads, in words.
        members: the checkpoints, at least one.
        predictions: the N images that were scored, in the order of the list, with float64 [N, C] probabilities,
            averaged over the crops and the members.
        validation: the same of the validation list, if there is one.
        skipped: the images of the list that were not, because they cannot be used.
        validation_skipped: those of the validation list.
        aurocs: float64 [C], NaN for a class with one kind of label only.
        mean: the mean over the classes that have an AUROC.
        sha256: of the (first) checkpoint's bytes that were loaded, and of the lists when they were read.
        seconds: from the first image to the last.
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
        """Of the N images that were scored."""
        return self.predictions.names

    @property
    def labels(self) -> np.ndarray:
        """uint8 [N, C]."""
        return self.predictions.labels

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [N, C]."""
        return self.predictions.probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.predictions.classes

    @property
    def undefined(self) -> list[str]:
        """Classes without an AUROC."""
        return [name for name, value in zip(self.classes, self.aurocs, strict=True) if math.isnan(value)]

    @cached_property
    def run(self) -> dict[str, Any]:
        """How it came about: configuration, what computed it, checksums, and what its checkpoints have seen."""
        members = [one.to_dict() for one in self.members]
        return {
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": members[0]["preprocessing"],
            "sha256": dict(self.sha256),
            "notice": members[0]["notice"],
            "seen": members[0]["seen"],
            **({"members": members, "spread": self._spread()} if len(members) > 1 else {}),
            "skipped": [asdict(one) for one in self.skipped],
            **({"validation_skipped": [asdict(one) for one in self.validation_skipped]} if self.validation else {}),
            "seconds": round(self.seconds, 1),
        }

    def _spread(self) -> dict[str, Any]:
        """Standard deviations over the members (n - 1)."""
        deviations = np.std([one.aurocs for one in self.members], axis=0, ddof=1).tolist()
        return {
            "mean": {"auroc_sd": _or_null(float(np.std([one.mean for one in self.members], ddof=1)))},
            "classes": {
                name: {"auroc_sd": _or_null(value)} for name, value in zip(self.classes, deviations, strict=True)
            },
        }

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes AUROCs, counts, what was skipped, configuration and checksums. An undefined AUROC is null.

        Raises:
            InputError: the file cannot be written.
        """
        positives = self.labels.sum(axis=0).tolist()
        facts = {
            "images": len(self.names),
            "mean": {"auroc": _or_null(self.mean), "classes": len(self.classes) - len(self.undefined)},
            "classes": {
                name: {"auroc": _or_null(value), "positives": count}
                for name, value, count in zip(self.classes, self.aurocs.tolist(), positives, strict=True)
            },
            "undefined": self.undefined,
            **self.run,
        }
        write_text(path, json.dumps(facts, indent=2) + "\n")

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes `image`, `prob_<class>` and `label_<class>`, one line an image that was scored, in the list's order.

        Raises:
            InputError: the file cannot be written.
        """
        write_text(path, self.predictions.to_csv())


def format_result(result: EvalResult) -> str:
    """The lines that Paddle-CheXNet's eval.py prints, which classes are undefined, and the spread over the members."""
    lines = ["The final AUROCs:", f"The average AUROC is {result.mean:.3f}"]
    if result.undefined:
        defined = len(result.classes) - len(result.undefined)
        lines[1] += (
            f" (over {defined} of {len(result.classes)} classes; one kind of label only: {', '.join(result.undefined)})"
        )
    lines += [
        f"The AUROC of {name} is {'undefined' if math.isnan(value) else value}"
        for name, value in zip(result.classes, result.aurocs.tolist(), strict=True)
    ]
    if len(result.members) > 1:
        lines += _format_members(result)
    return "\n".join(lines)


def _format_members(result: EvalResult) -> list[str]:
    means = [one.mean for one in result.members]
    lines = [
        f"These are of the averaged probabilities of {len(means)} checkpoints. Each alone, average AUROC: "
        f"{np.mean(means):.4f}, standard deviation {np.std(means, ddof=1):.4f}"
    ]
    lines += [f"  {one.mean:.4f} {one.ckpt}" for one in result.members]
    each = np.array([one.aurocs for one in result.members])  # [M, C]
    width = max(map(len, result.classes))
    lines += [
        f"  {name:{width}}  {mean:.4f}, standard deviation {deviation:.4f}"
        for name, mean, deviation in zip(result.classes, each.mean(axis=0), each.std(axis=0, ddof=1), strict=True)
        if not math.isnan(mean)
    ]
    return lines


def format_comparison(result: EvalResult) -> str:
    """The published AUROCs, each with its split, beside this run's; of other classes there are none."""
    results = published_results(result.classes)
    if not results:
        return "Nothing to compare with: the published AUROCs are of the 14 findings of ChestX-ray14."
    columns = [(one.name, one.split.split()[0], one.auroc, one.mean) for one in results]
    columns.append(("this run", "yours", tuple(result.aurocs.tolist()), result.mean))
    width = max(map(len, result.classes))
    rows = [["", *(name for name, *_ in columns)], ["split", *(split for _, split, *_ in columns)]]
    for index, name in enumerate(result.classes):
        rows.append([name, *(_cell(aurocs[index]) for _, _, aurocs, _ in columns)])
    rows.append(["mean", *(_cell(mean) for *_, mean in columns)])
    table = [
        "  ".join(
            [
                row[0].ljust(width),
                *(cell.rjust(max(8, len(head))) for cell, head in zip(row[1:], rows[0][1:], strict=True)),
            ]
        )
        for row in rows
    ]
    table.append(
        f"Only columns of one split compare. own: the authors' own; shared: the 70/10/20 split of arnoweng/CheXNet; "
        f"yours: {len(result.names)} images of {result.config.test_list}."
    )
    return "\n".join(table)


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"
