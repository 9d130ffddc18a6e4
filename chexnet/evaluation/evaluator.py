"""Score checkpoints on a list of images."""

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from chexnet._types import LogFn, ProgressFn
from chexnet.config import EvalConfig
from chexnet.config.crops import DENSE, Crops
from chexnet.data import CropMode, ListDataSet, SkippedImage, audit, find_bad_images
from chexnet.data.lists import check_classes
from chexnet.errors import InputError
from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.result import CheckpointResult, EvalResult
from chexnet.files import sha256
from chexnet.inference import Predictor, load_for_scoring
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc


def evaluate(config: EvalConfig, log: LogFn | None = None, progress: ProgressFn | None = None) -> EvalResult:
    """Score `config.ckpt`, or the average of it and `config.ensemble`, on `config.test_list`.

    Checkpoints are scored one after the other. Memory does not grow with the number of images, apart from their
    probabilities.

    Args:
        config: checkpoints, lists and images.
        log: called with each line of the log.
        progress: called with the number of images done and their total. With `on_bad_image="skip"`, it first counts
            the images that are checked, then those that are scored.

    Raises:
        InputError: a checkpoint, a list, an image, the device or the engine cannot be used.
    """
    log = log or (lambda line: None)
    lists = _lists(config)
    # All checkpoints are loaded before the first one is scored, 28 MB each, to find errors early.
    predictors = load_for_scoring(config, (config.ckpt, *config.ensemble), log)
    first = predictors[0]
    _check_same_classes(predictors)
    for path in lists.values():
        _check_findings(path, first.classes)
    crops = {predictor.crops for predictor in predictors}
    config = replace(config, crops=crops.pop() if len(crops) == 1 else None)
    images = _ImageLists(config, progress)
    evaluators = [_CheckpointEvaluator(predictor, lists.values(), images, log) for predictor in predictors]
    digests = {"ckpt": first.ckpt_sha256, **{name: sha256(path) for name, path in lists.items()}}
    for path in lists.values():
        if warning := images.open(path, first).range_warning(config.num_workers):
            log(f"=> warning: {warning}")
    started = time.monotonic()
    scored = [evaluator.score(progress) for evaluator in evaluators]
    seconds = time.monotonic() - started
    averages = {name: _average([predictions[path] for predictions in scored]) for name, path in lists.items()}
    aurocs, mean = _aurocs(averages["test_list"])
    return EvalResult(
        config=config,
        engine=first.engine,
        members=tuple(
            evaluator.result(predictions[config.test_list])
            for evaluator, predictions in zip(evaluators, scored, strict=True)
        ),
        predictions=averages["test_list"],
        validation=averages.get("val_list"),
        skipped=images.open(config.test_list, first).skipped,
        validation_skipped=images.open(config.val_list, first).skipped if config.val_list else (),
        aurocs=aurocs,
        mean=mean,
        sha256=digests,
        seconds=seconds,
    )


def _lists(config: EvalConfig) -> dict[str, str]:
    """Return the paths of the lists to score, by setting."""
    if config.val_list and Path(config.val_list).resolve() == Path(config.test_list).resolve():
        raise InputError(
            f"{config.val_list}: is the same file as the test list, expected other images: thresholds and calibration "
            "fitted on the test images overestimate performance"
        )
    return {"test_list": config.test_list} | ({"val_list": config.val_list} if config.val_list else {})


def _check_findings(path: str, classes: Sequence[str]) -> None:
    """Check the classes of a list, and name the way to evaluate other findings."""
    try:
        check_classes(path, classes)
    except InputError as error:
        raise InputError(
            f"{error}; to score these outputs on the findings of the list, write them with predict.py --output_csv and "
            "evaluate them with tools/report.py --map"
        ) from error


def _check_same_classes(predictors: Sequence[Predictor]) -> None:
    first = predictors[0]
    for predictor in predictors:
        if predictor.classes != first.classes:
            raise InputError(
                f"{predictor.config.ckpt}: has {len(predictor.classes)} classes, {', '.join(predictor.classes)}, "
                f"expected those of {first.config.ckpt}, {', '.join(first.classes)}, because the probabilities of all "
                "checkpoints are averaged"
            )


@dataclass(frozen=True)
class _ImageLists:
    """The images of the lists, opened once for all checkpoints with the same preprocessing."""

    config: EvalConfig
    progress: ProgressFn | None
    datasets: dict[tuple[object, ...], ListDataSet] = field(default_factory=dict)

    def open(self, path: str, predictor: Predictor) -> ListDataSet:
        """Open the images of a list with the crops and the preprocessing of a checkpoint."""
        config, preprocessing, n_classes = self.config, predictor.preprocessing, len(predictor.classes)
        key = path, preprocessing, predictor.crops
        if key not in self.datasets:
            modes: dict[Crops, CropMode] = {10: "ten", 1: "center", DENSE: "dense"}
            skipped: tuple[SkippedImage, ...] = ()
            if config.on_bad_image == "skip":
                skipped = find_bad_images(
                    config.data_dir,
                    path,
                    preprocessing,
                    n_classes,
                    config.image_cache,
                    workers=config.num_workers,
                    progress=self.progress,
                )
            self.datasets[key] = ListDataSet(
                config.data_dir,
                path,
                modes[predictor.crops],
                preprocessing,
                n_classes=n_classes,
                image_cache=config.image_cache,
                skipped=skipped,
            )
        return self.datasets[key]


class _CheckpointEvaluator:
    """Scores one checkpoint on the lists."""

    def __init__(self, predictor: Predictor, lists: Iterable[str], images: _ImageLists, log: LogFn) -> None:
        self.predictor = predictor
        self.batch_size = images.config.batch_size
        self.datasets = {path: images.open(path, predictor) for path in lists}
        test_list = images.config.test_list
        test = self.datasets[test_list].list
        self.overlap = audit.training_overlap(predictor.metadata, test.names, test.patients)
        if self.overlap and self.overlap.has_overlap:
            log(f"=> warning: {test_list}: {audit.format_training_overlap(self.overlap)}")

    def score(self, progress: ProgressFn | None) -> dict[str, Predictions]:
        """Predict all lists and return the predictions by path.

        The engine is freed afterwards, so only one exists at a time.
        """
        predictions = {}
        for path, dataset in self.datasets.items():
            probabilities = self.predictor.predict_dataset(dataset, self.batch_size, progress)
            images, names = dataset.list, tuple(dataset.names)
            predictions[path] = Predictions(
                path, names, images.labels, probabilities, self.predictor.classes, given_patients=images.patients
            )
        self.predictor.release()
        return predictions

    def result(self, predictions: Predictions) -> CheckpointResult:
        """Return the checkpoint with the AUROCs of its own predictions."""
        predictor = self.predictor
        aurocs, mean = _aurocs(predictions)
        return CheckpointResult(
            ckpt=predictor.config.ckpt,
            sha256=predictor.ckpt_sha256,
            preprocessing=predictor.preprocessing,
            disclaimer=predictor.disclaimer,
            training_overlap=self.overlap,
            aurocs=aurocs,
            mean=mean,
            classes=predictor.classes,
        )


def _average(all_predictions: Sequence[Predictions]) -> Predictions:
    """Average the predictions of several checkpoints for the same images."""
    first = all_predictions[0]
    if any(predictions.names != first.names for predictions in all_predictions):
        raise InputError(f"{first.origin}: the checkpoints skipped different images; use --on_bad_image error")
    probabilities = np.stack([predictions.probabilities for predictions in all_predictions])
    return replace(first, probabilities=probabilities.mean(axis=0, dtype=np.float64))


def _aurocs(predictions: Predictions) -> tuple[np.ndarray, float]:
    """Return the AUROC of each class and their mean."""
    aurocs = class_aurocs(predictions.labels, predictions.probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # EvalResult.undefined names the classes
        return aurocs, mean_auroc(aurocs)
