"""Checks of a state file before anything in it is used.

The checksum of a file does not authenticate it: anyone can compute one.
"""

import dataclasses
import math
import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from chexnet.config import MAX_SAMPLE_BITS, MIN_SAMPLE_BITS, TrainConfig
from chexnet.config.backbone_registry import check_backbone
from chexnet.config.settings import choices_of
from chexnet.data import audit
from chexnet.errors import InputError

if TYPE_CHECKING:
    import paddle

    from chexnet.training.run_state import RunState, TrainProgress

_CHOICES = {field.name: field for field in dataclasses.fields(TrainConfig) if choices_of(field)}
_MINIMA = {
    "batch_size": 1,
    "epoch": 1,
    "resize": 1,
    "crop": 1,
    "keep_states": 1,
    "accumulate": 1,
    "patience": 0,
    "warmup_epochs": 0,
    "early_stopping": 0,
    "freeze_backbone": 0,
    "save_every_steps": 0,
    "seed": 0,
}
_POSITIVE = ("learning_rate", "decay_factor")
_NOT_NEGATIVE = ("save_every_minutes", "weight_decay", "clip_grad_norm")
_TEXTS = ("data_dir", "train_list", "val_list", "save_dir", "init")
_OPTIONAL_PATHS = ("image_cache", "classes_file")
_MAX_WORKERS = 1024

_COLUMNS = {"epoch", "learning_rate", "train_loss", "val_loss", "train_AUROC_avg", "val_AUROC_avg"}
"""Columns of the history from which the curves are drawn."""


def check_config(config: TrainConfig, source: str) -> None:
    """Check every field like the flag of the same name. Raises InputError with `source` and the field."""
    for name, value in vars(config).items():
        if not _is_valid(name, value):
            known = ", ".join(map(str, choices_of(_CHOICES[name]) or ())) if name in _CHOICES else ""
            expected = f"; expected one of {known}" if known else ""
            raise InputError(f"{source}: {name} is {_abbreviated(value)}, which --{name} does not take{expected}")
    check_backbone(config.backbone, source)  # a string, as checked above; plug-ins may add backbones


def _abbreviated(value: Any) -> str:
    """Return the first characters of any value, even one that is nested too deeply or has too many digits to print."""
    try:
        return reprlib.repr(value)[:60]
    except ValueError:
        return f"a {type(value).__name__}"


def _is_valid(name: str, value: Any) -> bool:
    if name == "backbone":
        return isinstance(value, str)
    if name in _CHOICES:
        return value in (choices_of(_CHOICES[name]) or ())
    if name in _MINIMA:
        return _is_int(value, _MINIMA[name])
    if name in ("sync_bn", "no_flip"):
        return type(value) is bool
    if name == "num_workers":
        return _is_int(value) and value <= _MAX_WORKERS
    if name == "sample_bits":
        return _is_int(value, MIN_SAMPLE_BITS) and value <= MAX_SAMPLE_BITS
    if name in _POSITIVE:
        return _is_number(value) and value > 0
    if name in _NOT_NEGATIVE:
        return _is_number(value) and value >= 0
    if name == "ema":
        return value is None or (_is_number(value) and 0 < value < 1)
    if name == "decay_epochs":
        whole = isinstance(value, tuple) and all(_is_int(epoch, 1) for epoch in value)
        return whole and list(value) == sorted(set(value))
    return _is_path(value) or (name in _OPTIONAL_PATHS and value is None)


def check_state(state: "RunState", source: str) -> None:
    """Check all of a state except its configuration, see `check_config`. Raises InputError."""
    wrong = [
        *_wrong_in(state.progress),
        *(["weights"] if not _are_weights(state.weights) else []),
        *(["optimizer"] if not _is_optimizer(state.optimizer) else []),
        *(["scaler"] if not all(map(_is_plain, state.scaler.values())) else []),
        *(["metric_state"] if not _is_metric_state(state.metric_state) else []),
        *(["input_hashes"] if not all(type(value) is str for value in state.input_hashes.values()) else []),
        *(["skipped"] if not _is_skipped(state.skipped) else []),
        *(["average"] if not _is_average(state) else []),
    ]
    best = state.progress.best_weights
    if state.progress.best_epoch and _shapes(best) != _shapes(state.weights):
        wrong.append("best_weights")
    if wrong:
        raise InputError(f"{source}: not the state of a training run: {', '.join(wrong)} is invalid")
    if state.trained_on and state.trained_on.keys() != {"format", "images", "patients", "complete"}:
        raise InputError(f"{source}: not the state of a training run: trained_on is invalid")
    if state.trained_on:
        audit.training_overlap({audit.KEY: state.trained_on}, [])


def check_fits(state: "RunState", parameters: "Iterable[paddle.Tensor]", n_classes: int) -> None:
    """Check the shapes and types that Paddle checks only in the first step.

    Args:
        state: state that `check_state` accepts.
        parameters: parameters of the network; names in the optimizer begin with theirs.
        n_classes: number of outputs of the network.

    Raises:
        InputError: the optimizer belongs to another network, or the metric to other classes.
    """
    shapes = {parameter.name: tuple(parameter.shape) for parameter in parameters}
    rounded = {parameter.name for parameter in parameters if "float16" in str(parameter.dtype)}
    master = state.optimizer.get("master_weights", {})
    misfits = [f"{name}, a master weight," for name, value in master.items() if value.shape != shapes.get(name)]
    if master and (differing := sorted(master.keys() ^ rounded)):  # none before the first step
        misfits.append(f"{differing[0]}, a master weight in only one of them,")
    arrays = {name: value for name, value in state.optimizer.items() if isinstance(value, np.ndarray)}
    for name, value in arrays.items():
        shape = next((shape for owner, shape in shapes.items() if name.startswith(f"{owner}_")), None)
        if value.size != 1 and value.shape != shape:
            misfits.append(name)
    misfits += [name for name, value in {**master, **arrays}.items() if value.dtype != np.float32]
    if misfits:
        raise InputError(f"the saved state: {misfits[0][:80]} of the optimizer does not fit the network")
    if state.metric_state and (found := state.metric_state["labels"].shape[1]) != n_classes:
        raise InputError(f"the saved state: labels of {found} classes, expected {n_classes}")


def _wrong_in(progress: "TrainProgress") -> Iterable[str]:
    for name in ("epoch", "step", "samples", "best_epoch", "skipped_steps"):
        if not _is_int(getattr(progress, name)):
            yield name
    if not math.isfinite(progress.seconds) or not math.isfinite(progress.loss_sum):
        yield "seconds or loss_sum"
    rows = [*progress.rows, *([progress.row] if progress.row else [])]
    cells = all(type(row) is dict and all(map(_is_cell, row.items())) for row in rows)
    if not cells or any(row.keys() != rows[0].keys() or not row.keys() >= _COLUMNS for row in progress.rows):
        yield "rows"
    elif len(progress.rows) != progress.epoch or progress.best_epoch > progress.epoch:
        yield "epoch"
    if not _are_weights(progress.best_weights):
        yield "best_weights"


def _is_int(value: Any, minimum: int = 0) -> bool:
    return type(value) is int and minimum <= value < 2**32


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63


def _is_path(value: Any) -> bool:
    return type(value) is str and "\0" not in value and len(value) < 4096


def _is_cell(item: tuple[Any, Any]) -> bool:
    name, value = item
    return type(name) is str and name.isprintable() and (type(value) is float or _is_number(value))


def _are_weights(weights: Mapping[str, Any]) -> bool:
    return all(type(name) is str and isinstance(value, np.ndarray) for name, value in weights.items())


def _shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in weights.items() if isinstance(value, np.ndarray)}


def _is_optimizer(content: Mapping[str, Any]) -> bool:
    schedule = content.get("LR_Scheduler", {})
    if type(schedule) is not dict or not all(
        type(name) is str and (value is None or _is_number(value)) for name, value in schedule.items()
    ):
        return False
    master = content.get("master_weights", {})  # of mixed precision
    others = {name: value for name, value in content.items() if name not in ("LR_Scheduler", "master_weights")}
    return type(master) is dict and _are_weights(master) and _are_weights(others)


def _is_average(state: "RunState") -> bool:
    if state.config.get("ema") is None:
        return not state.average
    return _are_weights(state.average) and _shapes(state.average) == _shapes(state.weights)


def _is_plain(value: Any) -> bool:
    return _is_number(value) or type(value) is bool or isinstance(value, np.ndarray)


def _is_metric_state(metric_state: Mapping[str, Any]) -> bool:
    if not metric_state:
        return True
    if metric_state.keys() != {"labels", "probabilities"} or not _are_weights(metric_state):
        return False
    labels, probabilities = metric_state["labels"], metric_state["probabilities"]
    return (
        labels.ndim == 2
        and labels.shape == probabilities.shape
        and {labels.dtype.kind, probabilities.dtype.kind} <= set("fub")
    )


def _is_skipped(skipped: Mapping[str, Any]) -> bool:
    if skipped.keys() != {"train", "val"} or not all(type(split) is list for split in skipped.values()):
        return False
    kinds = {"image": str, "line": int, "reason": str}
    return all(
        type(image) is dict
        and {name: type(value) for name, value in image.items()} == kinds
        and _is_int(image["line"], 1)
        for split in skipped.values()
        for image in split
    )
