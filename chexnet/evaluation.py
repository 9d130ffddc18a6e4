"""Scoring a checkpoint on a list of images."""

import csv
import io
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from chexnet import device, engine, model
from chexnet.config import EvalConfig
from chexnet.data import BatchLoader, ChestXrayDataSet, Skipped, View, find_unusable
from chexnet.errors import InputError
from chexnet.files import sha256, write_text
from chexnet.labels import CLASS_NAMES, PUBLISHED
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc
from chexnet.transforms import Preprocessing

Predict = Callable[[np.ndarray], np.ndarray]
"""uint8 [N, 1, H, W] -> probabilities float32 [N, C]."""

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found.

    Attributes:
        config: what was asked for.
        engine: what computed it: engine, precision, device and threads, in words.
        preprocessing: how the images were resized and cropped.
        names: the N images that were scored, in the order of the list.
        skipped: the images of the list that were not, because they cannot be used.
        labels: uint8 [N, C].
        probabilities: float32 [N, C], averaged over the crops.
        aurocs: float64 [C], NaN for a class with one kind of label only.
        mean: the mean over the classes that have an AUROC.
        seconds: from the first image to the last.
    """

    config: EvalConfig
    engine: str
    preprocessing: Preprocessing
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    aurocs: np.ndarray
    mean: float
    seconds: float

    @property
    def undefined(self) -> list[str]:
        """Classes without an AUROC."""
        return [name for name, value in zip(CLASS_NAMES, self.aurocs, strict=True) if math.isnan(value)]

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes AUROCs, counts, what was skipped, configuration and checksums. An undefined AUROC is null.

        Raises:
            InputError: the file cannot be written.
        """
        positives = self.labels.sum(axis=0).tolist()
        facts = {
            "images": len(self.names),
            "skipped": [asdict(one) for one in self.skipped],
            "mean": {"auroc": _or_null(self.mean), "classes": len(CLASS_NAMES) - len(self.undefined)},
            "classes": {
                name: {"auroc": _or_null(value), "positives": count}
                for name, value, count in zip(CLASS_NAMES, self.aurocs.tolist(), positives, strict=True)
            },
            "undefined": self.undefined,
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": asdict(self.preprocessing),
            "sha256": {"ckpt": sha256(self.config.ckpt), "test_list": sha256(self.config.test_list)},
            "seconds": round(self.seconds, 1),
        }
        write_text(path, json.dumps(facts, indent=2) + "\n")

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes `image`, `prob_<class>` and `label_<class>`, one line an image that was scored, in the list's order.

        Raises:
            InputError: the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            ["image", *(f"prob_{name}" for name in CLASS_NAMES), *(f"label_{name}" for name in CLASS_NAMES)]
        )
        for name, row, labels in zip(self.names, self.probabilities, self.labels.tolist(), strict=True):
            writer.writerow([name, *(str(value) for value in row), *labels])
        write_text(path, text.getvalue())


def evaluate(
    config: EvalConfig, report: Callable[[str], None] | None = None, progress: Progress | None = None
) -> EvalResult:
    """Scores `config.ckpt` on `config.test_list`.

    Memory does not grow with the number of images, apart from their probabilities.

    Args:
        config: the evaluation.
        report: takes lines for a person.
        progress: is told how far it is: with `on_bad_image="skip"` first with looking at the images, then with
            scoring them.

    Raises:
        InputError: the checkpoint, the list, an image, the device or the engine cannot be used.
    """
    tell = report or (lambda line: None)
    device.select(config.device)
    choice = engine.choose(config.engine, config.precision)
    tell(f"=> {choice.description}")
    preprocessing = model.preprocessing_of(config.ckpt)
    tell(f"=> {config.crops} crop{'s' * (config.crops > 1)} of {preprocessing.crop} px from {preprocessing.resize} px")
    tell("=> loading checkpoint")
    network = model.load(config.ckpt)
    tell("=> loaded checkpoint")
    view: View = "ten" if config.crops == 10 else "center"
    dataset = _dataset(config, view, preprocessing, progress)
    compiled = choice.compile(network, preprocessing.crop)
    images_a_pass = min(config.batch_size, max(1, compiled.crops_a_pass // config.crops))
    loader = BatchLoader(dataset, images_a_pass, shuffle=False, workers=config.num_workers)

    started = time.monotonic()
    probabilities = predict_list(compiled.predict, loader, progress)
    seconds = time.monotonic() - started
    if not np.isfinite(probabilities).all():
        raise InputError(f"{config.ckpt}: gives probabilities that are not finite, expected numbers in 0..1")
    aurocs = class_aurocs(dataset.list.labels, probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # the result names these classes itself
        mean = mean_auroc(aurocs)
    return EvalResult(
        config=config,
        engine=choice.description,
        preprocessing=preprocessing,
        names=dataset.list.names,
        skipped=dataset.skipped,
        labels=dataset.list.labels,
        probabilities=probabilities,
        aurocs=aurocs,
        mean=mean,
        seconds=seconds,
    )


def _dataset(
    config: EvalConfig, view: View, preprocessing: Preprocessing, progress: Progress | None
) -> ChestXrayDataSet:
    where = config.data_dir, config.test_list
    skipped: tuple[Skipped, ...] = ()
    if config.on_bad_image == "skip":
        cache, workers = config.image_cache, config.num_workers
        skipped = find_unusable(*where, preprocessing, image_cache=cache, workers=workers, progress=progress)
    return ChestXrayDataSet(*where, view, preprocessing, image_cache=config.image_cache, skipped=skipped)


def predict_list(predict: Predict, loader: BatchLoader, progress: Progress | None = None) -> np.ndarray:
    """Probabilities of every image of a loader in its order, averaged over its crops.

    Args:
        predict: the network; it is given all crops of a batch together.
        loader: gives images with one or ten crops each.
        progress: is called after every batch.

    Returns:
        float32 [N, C].
    """
    rows = []
    done = 0
    for batch, _ in loader:
        crops = batch.reshape(-1, *batch.shape[-3:])  # [B or B x 10, 1, crop, crop]
        probabilities = predict(crops)
        rows.append(probabilities.reshape(len(batch), -1, probabilities.shape[-1]).mean(axis=1))
        done += len(batch)
        if progress:
            progress(done, len(loader.dataset))
    return np.concatenate(rows)


def format_result(result: EvalResult) -> str:
    """The lines that Paddle-CheXNet's eval.py prints, and which classes are undefined, if any."""
    lines = ["The final AUROCs:", f"The average AUROC is {result.mean:.3f}"]
    if result.undefined:
        defined = len(CLASS_NAMES) - len(result.undefined)
        lines[1] += (
            f" (over {defined} of {len(CLASS_NAMES)} classes; one kind of label only: {', '.join(result.undefined)})"
        )
    lines += [
        f"The AUROC of {name} is {'undefined' if math.isnan(value) else f'{value:.4f}'}"
        for name, value in zip(CLASS_NAMES, result.aurocs, strict=True)
    ]
    return "\n".join(lines)


def format_comparison(result: EvalResult) -> str:
    """The published AUROCs, each with its split, beside this run's."""
    columns = [(one.name, one.split.split()[0], one.auroc, one.mean) for one in PUBLISHED]
    columns.append(("this run", "yours", tuple(result.aurocs.tolist()), result.mean))
    width = max(map(len, CLASS_NAMES))
    rows = [["", *(name for name, *_ in columns)], ["split", *(split for _, split, *_ in columns)]]
    for index, name in enumerate(CLASS_NAMES):
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
