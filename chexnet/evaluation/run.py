"""Scoring checkpoints on a list of images."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from chexnet import audit, device, engine, model
from chexnet.config import EvalConfig
from chexnet.data import BatchLoader, ChestXrayDataSet, Skipped, View, find_unusable
from chexnet.errors import InputError
from chexnet.evaluation.result import EvalResult, Member
from chexnet.files import sha256
from chexnet.lists import check_classes, class_names
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc
from chexnet.predictions import Predictions
from chexnet.transforms import Preprocessing

Predict = Callable[[np.ndarray], np.ndarray]
"""uint8 [N, 1, H, W] -> probabilities float32 [N, C]."""

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""

Report = Callable[[str], None]
"""Takes a line for a person."""


def evaluate(config: EvalConfig, report: Report | None = None, progress: Progress | None = None) -> EvalResult:
    """Scores `config.ckpt`, or the average of it and of `config.ensemble`, on `config.test_list`.

    Memory does not grow with the number of images, apart from their probabilities. Checkpoints compute one after the
    other.

    Args:
        config: the evaluation.
        report: takes lines for a person.
        progress: is told how far it is: with `on_bad_image="skip"` first with looking at the images, then with
            scoring them.

    Raises:
        InputError: a checkpoint, a list, an image, the device or the engine cannot be used.
    """
    tell = report or (lambda line: None)
    device.select(config.device)
    choice = engine.choose(config.engine, config.precision)
    tell(f"=> {choice.description}")
    if config.val_list and Path(config.val_list).resolve() == Path(config.test_list).resolve():
        raise InputError(
            f"{config.val_list}: is the test list; expected a list of other images: what is chosen on images looks "
            "better on them than it is"
        )
    ckpts = (config.ckpt, *config.ensemble)
    opened = _opened(config, ckpts)
    crops = {config.crops or one.description.crops for one in opened}
    config = replace(config, crops=min(crops) if len(crops) == 1 else None)
    classes = opened[0].description.classes
    for path in filter(None, (config.test_list, config.val_list)):
        check_classes(path, classes)
    data = _Data(config, progress, len(classes))
    # All are loaded, 28 MB each, before the first one computes: what is wrong with the last is to be known by then.
    checkpoints = [_Checkpoint(*one, config, data, tell) for one in zip(ckpts, opened, strict=True)]
    lists = {"test_list": config.test_list, "val_list": config.val_list}
    digests = {"ckpt": opened[0].sha256, **{name: sha256(path) for name, path in lists.items() if path}}
    for path in filter(None, lists.values()):
        if warning := data.opened(path, checkpoints[0].preprocessing, checkpoints[0].crops).range_warning(
            config.num_workers
        ):
            tell(f"=> warning: {warning}")
    started = time.monotonic()
    scored = [one.score(choice, progress) for one in checkpoints]
    seconds = time.monotonic() - started
    members = tuple(one.member(of_list[config.test_list]) for one, of_list in zip(checkpoints, scored, strict=True))
    validation = _average([of_list[config.val_list] for of_list in scored]) if config.val_list else None
    test = _average([of_list[config.test_list] for of_list in scored])
    aurocs, mean = _scores(test)
    like = members[0].preprocessing, checkpoints[0].crops
    return EvalResult(
        config=config,
        engine=choice.description,
        members=members,
        predictions=test,
        validation=validation,
        skipped=data.opened(config.test_list, *like).skipped,
        validation_skipped=data.opened(config.val_list, *like).skipped if config.val_list else (),
        aurocs=aurocs,
        mean=mean,
        sha256=digests,
        seconds=seconds,
    )


def _opened(config: EvalConfig, ckpts: Sequence[str]) -> list[model.Checkpoint]:
    """The checkpoints, which have to have the same classes."""
    classes = class_names(config.classes_file) if config.classes_file else None
    opened = [model.open_checkpoint(ckpt, config.backbone, classes, config.sample_bits) for ckpt in ckpts]
    described = [one.description for one in opened]
    for ckpt, one in zip(ckpts, described, strict=True):
        if one.classes != described[0].classes:
            raise InputError(
                f"{ckpt}: has {len(one.classes)} classes, {', '.join(one.classes)}, expected those of {ckpts[0]}, "
                f"{', '.join(described[0].classes)}: the probabilities of several checkpoints are averaged"
            )
    return opened


@dataclass(frozen=True)
class _Data:
    """The images of the lists, looked at once for all checkpoints that see them alike."""

    config: EvalConfig
    progress: Progress | None
    n_classes: int
    sets: dict[tuple[str, Preprocessing, int], ChestXrayDataSet] = field(default_factory=dict)

    def opened(self, path: str, preprocessing: Preprocessing, crops: int) -> ChestXrayDataSet:
        """The images of a list."""
        key = path, preprocessing, crops
        if key not in self.sets:
            config = self.config
            view: View = "ten" if crops == 10 else "center"
            where, cache = (config.data_dir, path), config.image_cache
            skipped: tuple[Skipped, ...] = ()
            if config.on_bad_image == "skip":
                workers = config.num_workers
                skipped = find_unusable(
                    *where, preprocessing, self.n_classes, cache, workers=workers, progress=self.progress
                )
            self.sets[key] = ChestXrayDataSet(
                *where, view, preprocessing, n_classes=self.n_classes, image_cache=cache, skipped=skipped
            )
        return self.sets[key]


class _Checkpoint:
    """One checkpoint, ready to score lists."""

    def __init__(self, ckpt: str, opened: model.Checkpoint, config: EvalConfig, data: _Data, tell: Report) -> None:
        self.ckpt, self.config, self.data, self.tell = ckpt, config, data, tell
        self.sha256, self.notice = opened.sha256, opened.notice
        self.classes, self.preprocessing = opened.description.classes, opened.description.preprocessing
        self.crops = crops = config.crops or opened.description.crops
        of_many = f"{ckpt}: " if config.ensemble else ""
        tell(f"=> {of_many}{crops} crop{'s' * (crops > 1)} of {self.preprocessing.words}")
        if self.notice:
            tell(f"=> {ckpt}: {self.notice}")
        tell("=> loading checkpoint")
        self.network = opened.network()
        tell("=> loaded checkpoint")
        tests = data.opened(config.test_list, self.preprocessing, crops)
        if config.val_list:
            data.opened(config.val_list, self.preprocessing, crops)
        self.seen = audit.seen(opened.metadata, tests.list.names, tests.list.patients)
        if self.seen and self.seen.anything:
            tell(f"=> warning: {config.test_list}: {audit.format_seen(self.seen)}")

    def score(self, choice: engine.Choice, progress: Progress | None) -> dict[str, Predictions]:
        """What it says of each list, by the list's path."""
        compiled = choice.compile(self.network, self.preprocessing.crop)
        images_a_pass = min(self.config.batch_size, max(1, compiled.crops_a_pass // self.crops))
        scored = {}
        for path in filter(None, (self.config.test_list, self.config.val_list)):
            dataset = self.data.opened(path, self.preprocessing, self.crops)
            loader = BatchLoader(dataset, images_a_pass, shuffle=False, workers=self.config.num_workers)
            probabilities = predict_list(compiled.predict, loader, progress)
            if not np.isfinite(probabilities).all():
                raise InputError(f"{self.ckpt}: gives probabilities that are not finite, expected numbers in 0..1")
            listed = dataset.list
            scored[path] = Predictions(
                path, listed.names, listed.labels, probabilities, self.classes, given_patients=listed.patients
            )
        return scored

    def member(self, predictions: Predictions) -> Member:
        """What it is, with its own AUROCs."""
        aurocs, mean = _scores(predictions)
        return Member(self.ckpt, self.sha256, self.preprocessing, self.notice, self.seen, aurocs, mean, self.classes)


def _average(all_predictions: list[Predictions]) -> Predictions:
    """Of the same images by several checkpoints; of one, what it says."""
    first = all_predictions[0]
    if any(one.names != first.names for one in all_predictions):
        raise InputError(
            f"{first.source}: the checkpoints could not use the same images of it; leave --on_bad_image at error"
        )
    probabilities = np.stack([one.probabilities for one in all_predictions]).mean(axis=0, dtype=np.float64)
    return replace(first, probabilities=probabilities)


def _scores(predictions: Predictions) -> tuple[np.ndarray, float]:
    """The AUROC of each class and their mean."""
    aurocs = class_aurocs(predictions.labels, predictions.probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # the result names these classes itself
        return aurocs, mean_auroc(aurocs)


def predict_list(predict: Predict, loader: BatchLoader, progress: Progress | None = None) -> np.ndarray:
    """Probabilities of every image of a loader in its order, averaged over its crops.

    Args:
        predict: the network; it is given all crops of a batch together.
        loader: gives images with one or ten crops each.
        progress: is called after every batch.

    Returns:
        float64 [N, C].
    """
    rows = []
    done = 0
    for batch, _ in loader:
        crops = batch.reshape(-1, *batch.shape[-3:])  # [B or B x 10, 1, crop, crop]
        probabilities = predict(crops)
        of_crops = probabilities.reshape(len(batch), -1, probabilities.shape[-1])
        rows.append(of_crops.mean(axis=1, dtype=np.float64))  # in float32, saturated ones would become equal
        done += len(batch)
        if progress:
            progress(done, len(loader.dataset))
    return np.concatenate(rows)
