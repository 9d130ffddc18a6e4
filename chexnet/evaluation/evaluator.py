"""Score checkpoints on a list of images."""

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from chexnet._types import LogFn, ProgressFn
from chexnet.config import EvalConfig
from chexnet.data import ChestXrayDataSet, CropMode, SkippedImage, audit, find_bad_images
from chexnet.data.lists import check_classes
from chexnet.errors import InputError
from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.result import CheckpointResult, EvalResult
from chexnet.files import sha256
from chexnet.inference import Predictor, load_for_scoring
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc


def evaluate(config: EvalConfig, log: LogFn | None = None, progress: ProgressFn | None = None) -> EvalResult:
    """Score `config.ckpt`, or the average of it and `config.ensemble`, on `config.test_list`.

    Memory does not grow with the number of images, apart from their probabilities. Checkpoints compute one after the
    other.

    Args:
        config: the evaluation.
        log: takes lines for a person.
        progress: called with the number of images done; with `on_bad_image="skip"` first while all images are
            checked, then while they are scored.

    Raises:
        InputError: a checkpoint, a list, an image, the device or the engine cannot be used.
    """
    log = log or (lambda line: None)
    if config.val_list and Path(config.val_list).resolve() == Path(config.test_list).resolve():
        raise InputError(
            f"{config.val_list}: is the same file as the test list, expected a list of other images: what is tuned on "
            "the test set overestimates performance"
        )
    ckpts = (config.ckpt, *config.ensemble)
    # All are loaded, 28 MB each, before the first one computes, so that a fault of the last one is found early.
    predictors = load_for_scoring(config, ckpts, log)
    first = predictors[0]
    _check_same_classes(predictors)
    lists = {name: path for name, path in (("test_list", config.test_list), ("val_list", config.val_list)) if path}
    for path in lists.values():
        check_classes(path, first.classes)
    crops = {predictor.crops for predictor in predictors}
    config = replace(config, crops=min(crops) if len(crops) == 1 else None)
    data = _Data(config, progress)
    evaluators = [_CheckpointEvaluator(predictor, lists.values(), data, log) for predictor in predictors]
    digests = {"ckpt": first.ckpt_sha256, **{name: sha256(path) for name, path in lists.items()}}
    for path in lists.values():
        if warning := data.open(path, first).range_warning(config.num_workers):
            log(f"=> warning: {warning}")
    started = time.monotonic()
    scored = [evaluator.score(progress) for evaluator in evaluators]
    seconds = time.monotonic() - started
    averages = {name: _average([predictions[path] for predictions in scored]) for name, path in lists.items()}
    test = averages["test_list"]
    aurocs, mean = _scores(test)
    return EvalResult(
        config=config,
        engine=first.engine,
        members=tuple(
            evaluator.member(predictions[config.test_list])
            for evaluator, predictions in zip(evaluators, scored, strict=True)
        ),
        predictions=test,
        validation=averages.get("val_list"),
        skipped=data.open(config.test_list, first).skipped,
        validation_skipped=data.open(config.val_list, first).skipped if config.val_list else (),
        aurocs=aurocs,
        mean=mean,
        sha256=digests,
        seconds=seconds,
    )


def _check_same_classes(predictors: Sequence[Predictor]) -> None:
    first = predictors[0]
    for predictor in predictors:
        if predictor.classes != first.classes:
            raise InputError(
                f"{predictor.config.ckpt}: has {len(predictor.classes)} classes, {', '.join(predictor.classes)}, "
                f"expected those of {first.config.ckpt}, {', '.join(first.classes)}: the probabilities of several "
                "checkpoints are averaged"
            )


@dataclass(frozen=True)
class _Data:
    """The images of the lists, opened once for all checkpoints with the same preprocessing."""

    config: EvalConfig
    progress: ProgressFn | None
    datasets: dict[tuple[object, ...], ChestXrayDataSet] = field(default_factory=dict)

    def open(self, path: str, predictor: Predictor) -> ChestXrayDataSet:
        """Open the images of a list, as a checkpoint needs them."""
        config, preprocessing, n_classes = self.config, predictor.preprocessing, len(predictor.classes)
        key = path, preprocessing, predictor.crops
        if key not in self.datasets:
            view: CropMode = "ten" if predictor.crops == 10 else "center"
            where, cache = (config.data_dir, path), config.image_cache
            skipped: tuple[SkippedImage, ...] = ()
            if config.on_bad_image == "skip":
                skipped = find_bad_images(
                    *where, preprocessing, n_classes, cache, workers=config.num_workers, progress=self.progress
                )
            self.datasets[key] = ChestXrayDataSet(
                *where, view, preprocessing, n_classes=n_classes, image_cache=cache, skipped=skipped
            )
        return self.datasets[key]


class _CheckpointEvaluator:
    """One checkpoint with the lists that it is to be scored on."""

    def __init__(self, predictor: Predictor, lists: Iterable[str], data: _Data, log: LogFn) -> None:
        self.predictor = predictor
        self.batch_size = data.config.batch_size
        self.datasets = {path: data.open(path, predictor) for path in lists}
        test_list = data.config.test_list
        test = self.datasets[test_list].list
        self.seen = audit.training_overlap(predictor.metadata, test.names, test.patients)
        if self.seen and self.seen.anything:
            log(f"=> warning: {test_list}: {audit.format_training_overlap(self.seen)}")

    def score(self, progress: ProgressFn | None) -> dict[str, Predictions]:
        """Predict the lists, by path. The engine is freed afterwards, so that there is only one at a time."""
        predictions = {}
        for path, dataset in self.datasets.items():
            probabilities = self.predictor.predict_dataset(dataset, self.batch_size, progress)
            images = dataset.list
            predictions[path] = Predictions(
                path, images.names, images.labels, probabilities, self.predictor.classes, given_patients=images.patients
            )
        self.predictor.release()
        return predictions

    def member(self, predictions: Predictions) -> CheckpointResult:
        """Return the checkpoint with the AUROCs of its predictions alone."""
        predictor = self.predictor
        aurocs, mean = _scores(predictions)
        return CheckpointResult(
            ckpt=predictor.config.ckpt,
            sha256=predictor.ckpt_sha256,
            preprocessing=predictor.preprocessing,
            disclaimer=predictor.disclaimer,
            seen=self.seen,
            aurocs=aurocs,
            mean=mean,
            classes=predictor.classes,
        )


def _average(all_predictions: Sequence[Predictions]) -> Predictions:
    """Average the predictions of several checkpoints for the same images."""
    first = all_predictions[0]
    if any(predictions.names != first.names for predictions in all_predictions):
        raise InputError(
            f"{first.source}: the checkpoints could not use the same images of it; leave --on_bad_image at error"
        )
    probabilities = np.stack([predictions.probabilities for predictions in all_predictions])
    return replace(first, probabilities=probabilities.mean(axis=0, dtype=np.float64))


def _scores(predictions: Predictions) -> tuple[np.ndarray, float]:
    """Return the AUROC of each class and their mean."""
    aurocs = class_aurocs(predictions.labels, predictions.probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # the result names these classes itself
        return aurocs, mean_auroc(aurocs)
