"""A training run from beginning to end: `train` starts it, `resume` resumes it.

Both prepare in this order:

- images and labels, which are checked first (`training_data`),
- the network with its initial or saved weights,
- the model: network, loss, metric, optimizer and loss scaler (`training_step`),
- batches and callbacks.

Then `paddle.Model.fit` runs the epochs: all training batches through `TrainingModel.train_batch`, then all validation
batches through `TrainingModel.eval_batch`. For each event it calls the callbacks in this order:

1. `ProgressLogger` prints the log lines.
2. `StepCallback` seeds the random generators before each step and counts it afterwards.
3. Those of `recipe_callbacks` that the configuration asks for: `WeightAverage` after each step, `FrozenBackbone` before
   each epoch, `WarmUpStep` before each step.
4. `HistoryCallback` adds to the row of the epoch and ends the run if the loss is not finite. After validation it
   completes the row and starts the next epoch.
5. `BestModel`, after validation, remembers the weights if the epoch is the best so far.
6. `EarlyStopping`, after validation, ends the run if there has been no better epoch for `early_stopping` epochs.
7. `LearningRateStep`, after validation, steps the schedule.
8. `AmpSkipCounter`, in mixed precision, counts the steps that the loss scaler skipped.
9. `TrackerCallback`, after validation, writes the row of the epoch to a tracker.
10. The callbacks of the caller.
11. `CheckpointCallback` saves the results of all others, and stops the run if the process received a signal.

All of them share one `TrainProgress`, which is part of the saved state. `fit` counts epochs and steps from 0 in every
process, so they use its numbers instead.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle.callbacks import Callback

from chexnet import distributed, gpu_memory
from chexnet._types import LogFn
from chexnet.config import TrainConfig, training_recipes
from chexnet.data import Augmentation, LabeledImages, SkippedImage
from chexnet.errors import InputError
from chexnet.files import check_apart, exclusive_lock, remove_leftovers, write_text
from chexnet.model import CheXNet, InitialWeights, checkpoint, init_weights
from chexnet.training import run_inputs, run_state
from chexnet.training.agreement import Agreement
from chexnet.training.auroc_metric import SharedAUROC
from chexnet.training.checkpoint_callback import CheckpointCallback
from chexnet.training.epoch_history import Row
from chexnet.training.extensions import Extensions
from chexnet.training.graceful_stop import GracefulStop
from chexnet.training.losses import Loss, build_loss, format_weights
from chexnet.training.optimizers import build_optimizer
from chexnet.training.progress_logger import ProgressLogger, silent
from chexnet.training.recipe_callbacks import build_recipe_callbacks
from chexnet.training.run_state import RunState, TrainProgress
from chexnet.training.schedules import build_schedule
from chexnet.training.seeding import seed_everything
from chexnet.training.tracker_callback import TrackerCallback
from chexnet.training.training_callbacks import (
    AmpSkipCounter,
    BestModel,
    EarlyStopping,
    HistoryCallback,
    LearningRateStep,
    StepCallback,
)
from chexnet.training.training_data import TrainingData, open_data
from chexnet.training.training_step import TrainingModel

OUTPUTS = ("config.json", "history.csv", "curves.png", "best_model.*", "final.*", "*.state")
"""Files that a run writes into its folder."""


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a run.

    Attributes:
        config: configuration of the run at its end.
        best_model: file of the weights with the highest validation AUROC_avg.
        best_epoch: their epoch, counted from 1.
        best_auroc: their AUROC_avg.
        history: one row per epoch.
        skipped: skipped images, by list file.
    """

    config: TrainConfig
    best_model: Path
    best_epoch: int
    best_auroc: float
    history: Sequence[Row]
    skipped: Mapping[str, Sequence[SkippedImage]]


@distributed.session()
def train(
    config: TrainConfig,
    log: LogFn | None = None,
    *,
    train_set: LabeledImages | None = None,
    val_set: LabeledImages | None = None,
    loss: Loss | None = None,
    transform: Augmentation | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train a CheXNet and write the results into `config.save_dir`.

    These are `best_model.pdparams` and `final.pdparams` with their metadata, `config.json`, `history.csv`,
    `curves.png`, and the newest `*.state` files for `resume`.

    Args:
        config: configuration of the run.
        log: receives lines of text. If given, `paddle.Model` also prints its log; otherwise the run is silent.
        train_set: data set to train on, instead of `config.train_list`, see `LabeledImages`.
        val_set: data set to validate on, instead of `config.val_list`.
        loss: logits and labels, float32 [B, C] each -> the loss, one number. Default: binary cross-entropy.
        transform: augmentation of the resized training images before they are cropped, see `ChestXrayDataSet`.
        callbacks: Paddle callbacks, called after those of the run but before the run is saved.

    Raises:
        InputError: a list, an image, the initial weights, the device or the folder cannot be used, or the loss is no
            longer finite.
        Interrupted: the process received SIGINT or SIGTERM; the state is saved.
    """
    extensions = Extensions(train_set, val_set, loss, transform, callbacks)
    log = log if distributed.is_first() else None
    log_line = log or silent
    check_apart(config.save_dir, config.data_dir)
    data = distributed.together(lambda: open_data(config, extensions, log_line))
    hashes = run_inputs.input_hashes(config, extensions, data)
    run_inputs.check_same_everywhere(hashes, config, data)
    seed_everything(config.seed)
    # The optimizer state is keyed by parameter names. The guard numbers them from 0 for this network.
    with paddle.utils.unique_name.guard():
        network = CheXNet(len(data.classes), config.backbone, config.normalization)
        if config.init == "imagenet":
            log_line("=> taking Paddle's ImageNet weights from its cache, or downloading them")
        first = distributed.on_first(lambda: init_weights(network, config.init))  # the others receive them later
        first = first or InitialWeights("the weights of process 0", None)
        log_line(f"=> starting from {first.description}")
        for line in run_inputs.differences(first, config, data):
            log_line(f"=> warning: {config.init}: {line}")
        with _lock(Path(config.save_dir)):
            distributed.on_first(lambda: run_state.check_unused(Path(config.save_dir)))
            trained_on = run_inputs.trained_on(data.train, first.metadata)
            return _fit(config, network, data, extensions, log, hashes, trained_on)


@distributed.session()
def resume(
    path: Path | None,
    changes: Mapping[str, Any],
    force: bool = False,
    log: LogFn | None = None,
    *,
    train_set: LabeledImages | None = None,
    val_set: LabeledImages | None = None,
    loss: Loss | None = None,
    transform: Augmentation | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Resume a run from a saved state, to the same weights as without an interruption.

    On a CPU the weights are identical bit for bit. On a GPU the order of additions, and so the rounding, may vary.

    Args:
        path: state file, or folder whose newest state is used. None stands for `save_dir`; if that has no state, the
            run starts from the beginning.
        changes: fields of the TrainConfig set by the user; all others are read from the state. Default of `save_dir`:
            the folder of the state.
        force: whether the fields of `run_inputs.ENVIRONMENT_FIELDS` may change.
        log: see `train`.
        train_set: the original training data set, if any; compared by its labels and names.
        val_set: the original validation data set, if any; compared by its labels and names.
        loss: the original loss, if any; compared by its name.
        transform: the original augmentation, if any; compared by its name.
        callbacks: see `train`; not compared. Their own attributes are not saved.

    Raises:
        InputError: as for `train`; or there is no state, or it belongs to another run.
        Interrupted: as for `train`.
    """
    extensions = Extensions(train_set, val_set, loss, transform, callbacks)
    log = log if distributed.is_first() else None
    log_line = log or silent
    if path is not None and not path.exists():
        raise InputError(f"{path}: no such file or folder, expected a saved state to resume from")
    origin = Path(changes.get("save_dir", TrainConfig.save_dir)) if path is None else path
    source = origin.parent if origin.is_file() else origin
    if path is None and distributed.from_first(lambda: not run_state.paths(source)):
        log_line(f"=> {source} has no state yet: starting from the beginning")
        return train(training_recipes.recipe_config(**changes), log, **vars(extensions))
    folder = Path(changes.get("save_dir", source))
    with _lock(folder):
        distributed.on_first(lambda: run_state.check_free(folder, origin, source))
        file, saved = _saved_state(origin, log_line)
        config = run_inputs.resumed_config(saved, file, {**changes, "save_dir": str(folder)}, force)
        run_inputs.check_extensions(saved, extensions, file)
        check_apart(folder, config.data_dir)
        data = distributed.together(lambda: open_data(config, extensions, log_line, saved))
        hashes = run_inputs.input_hashes(config, extensions, data)
        run_inputs.check_same_everywhere({**hashes, "state": str(saved.progress)}, config, data)
        run_inputs.check_same_inputs(saved, hashes, config, file)
        log_line(f"=> resuming from {file}: {saved.progress}")
        if changed := run_inputs.describe_processes(saved, config):
            log_line(changed)
        with paddle.utils.unique_name.guard():
            network = CheXNet(len(data.classes), config.backbone, config.normalization)
            checkpoint.load_state_dict(network, saved.weights, str(file))
            trained_on = saved.trained_on or _fingerprint_training_images(config, data)
            return _fit(config, network, data, extensions, log, hashes, trained_on, saved)


def _fit(
    config: TrainConfig,
    network: CheXNet,
    data: TrainingData,
    extensions: Extensions,
    log: LogFn | None,
    input_hashes: Mapping[str, str],
    trained_on: Mapping[str, Any],
    saved: RunState | None = None,
) -> TrainResult:
    """Train to the end, from the beginning or from `saved`. The caller has locked the folder."""
    folder, log_line = Path(config.save_dir), log or silent
    progress = saved.progress if saved else TrainProgress()
    metric = SharedAUROC(len(data.classes), data.classes)
    loss = extensions.loss or build_loss(config.loss, data.train.labels)
    for line in (*training_recipes.describe(config), *format_weights(loss, data.classes)):
        log_line(line)
    train_loader, val_loader = data.loaders(config)
    steps = len(train_loader)
    schedule = build_schedule(config, steps)
    optimizer = build_optimizer(config, schedule, network)
    metadata = run_inputs.weights_metadata(config, data, trained_on, loss)
    with GracefulStop(log_line) as stop:
        agreement = Agreement(stop, config.save_every_minutes, (train_loader, val_loader))
        may_freeze = config.freeze_backbone > 0
        model = TrainingModel(network, loss, metric, optimizer, config.amp, agreement, config.sync_bn, may_freeze)
        if saved:
            model.restore(saved)
        if distributed.is_first():
            remove_leftovers(folder, OUTPUTS)
            write_text(folder / "config.json", config.to_json())
        restored = saved.optimizer if saved else {}
        history = HistoryCallback(progress, folder, metric, train_loader, val_loader)
        checkpoints = CheckpointCallback(
            config, input_hashes, metadata, progress, metric, restored, agreement, history.collect_losses
        )
        recipe_callbacks = build_recipe_callbacks(config, network, schedule, progress, steps, saved)
        tracked = config.logger != "none" and distributed.is_first()
        trackers = [TrackerCallback(config, progress, metric, train_loader)] if tracked else []
        callbacks = [
            ProgressLogger(progress, val_loader, config.epoch, verbose=2 if log else 0),
            StepCallback(progress, train_loader, metric),
            *recipe_callbacks,
            history,
            BestModel(progress, config.select, log_line),
            *([EarlyStopping(progress, config.early_stopping, log_line)] if config.early_stopping else []),
            LearningRateStep(schedule, config.schedule == "plateau", progress),
            *([AmpSkipCounter(progress, log_line)] if model.scaler.is_enable() else []),
            *trackers,
            *extensions.callbacks,
            checkpoints,
        ]
        if saved and checkpoints.finished:
            log_line("=> nothing is left to train: this run is finished")
            for callback in (*recipe_callbacks, checkpoints):
                callback.set_model(model)
            checkpoints.write_outputs()
        else:
            with gpu_memory.out_of_memory_as_input_error(
                f"a step of {config.batch_size} images",
                "use a lower --batch_size, a higher --accumulate or, on a GPU, --amp",
            ):
                model.fit(train_loader, val_loader, epochs=config.epoch - progress.epoch, callbacks=callbacks)
    skipped = {images.source: images.skipped for images in (data.train, data.val)}
    best_model = folder / f"best_model.{config.format}"
    return TrainResult(config, best_model, progress.best_epoch, progress.best_auroc, progress.rows, skipped)


def _lock(folder: Path) -> AbstractContextManager[None]:
    """Lock the folder in the process that writes into it."""
    return exclusive_lock(folder) if distributed.is_first() else nullcontext()


def _saved_state(origin: Path, log: LogFn) -> tuple[Path, RunState]:
    """Return the state file that all processes resume from, and its contents, which every process reads by itself."""
    states: list[RunState] = []

    def choose() -> str:
        file, saved = run_state.newest(origin, log) if origin.is_dir() else (origin, run_state.load(origin))
        states.append(saved)
        return str(file)

    file = Path(distributed.from_first(choose))
    return file, states[0] if states else run_state.load(file)


def _fingerprint_training_images(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """Return the fingerprint of the training images for a state of an earlier version that has none."""
    initial = None if config.init in ("random", "imagenet") else checkpoint.read_metadata(config.init)[0]
    return run_inputs.trained_on(data.train, initial)
