"""Configuration, inputs and extensions of a resumed run, compared with its state; metadata of the weight files."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import paddle

from chexnet import __version__, distributed
from chexnet.config import TrainConfig, present_names
from chexnet.data import DataSet, ExternalDataSet, ListDataSet, audit
from chexnet.device import launched
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import InitialWeights
from chexnet.training.extensions import COMPARED_FIELDS, Extensions
from chexnet.training.losses import Loss, loss_metadata
from chexnet.training.run_state import RunState
from chexnet.training.state_checks import check_config
from chexnet.training.training_data import TrainingData

OUTPUT_FIELDS = frozenset({"save_dir", "format", "save_every_minutes", "save_every_steps", "keep_states", "logger"})
"""Fields of a TrainConfig that may always differ in a resumed run."""

ENVIRONMENT_FIELDS = frozenset(
    {"epoch", "num_workers", "device", "data_dir", "train_list", "val_list", "classes_file", "image_cache"}
)
"""Fields that --force may change. List files may move, but their contents must be the same."""

PROCESSES = "processes"
"""Name of the number of processes in `input_hashes`. A resumed run may have another."""


def resumed_config(saved: RunState, file: Path, changes: Mapping[str, Any], force: bool) -> TrainConfig:
    """Return the configuration of a resumed run.

    Args:
        saved: the state to resume from.
        file: its file, for messages.
        changes: fields set by the user.
        force: whether ENVIRONMENT_FIELDS may change.

    Raises:
        InputError: the changes would alter the results of the run, or the configuration in the state is invalid.
    """
    try:
        before = TrainConfig.from_dict(saved.config)
    except TypeError as error:
        reason = str(error)[:200]
        raise InputError(f"{file}: its configuration is from another version of this program: {reason}") from error
    check_config(before, str(file))
    differing = {name for name in changes if getattr(before, name) != changes[name]} - OUTPUT_FIELDS
    # The length of a cosine is that of the run.
    allowed = ENVIRONMENT_FIELDS - ({"epoch"} if before.schedule == "cosine" else set())
    refused = sorted(differing - allowed if force else differing)
    if refused:
        found = ", ".join(f"{name} {getattr(before, name)} (now {changes[name]})" for name in refused)
        advice = "--force allows it" if differing <= allowed else "leave these flags out, or start a new run"
        raise InputError(f"{file}: this run has {found}; {advice}")
    return replace(before, **changes)


def check_extensions(saved: RunState, extensions: Extensions, file: Path) -> None:
    """Check that a resumed run is given its original extensions, compared by name. Raises InputError."""
    names = extensions.names()
    for field in COMPARED_FIELDS:
        original, now = saved.input_hashes.get(field, "").partition(" ")[0], names.get(field, "")
        if original != now:
            again = f"resume it from Python with the same: chexnet.training.resume(..., {field}=...)"
            raise InputError(
                f"{file}: this run began with {field} {original[:80] or 'not set'} (now {now[:80] or 'not set'}); "
                + (again if original else f"leave {field} out, or start a new run")
            )


def input_hashes(config: TrainConfig, extensions: Extensions, data: TrainingData) -> dict[str, str]:
    """Return what determines the results of a run besides its configuration.

    These are hashes of the input files, the names of the extensions, the version of Paddle, and the number of processes
    if there are several.
    """
    hashes = {"Paddle": paddle.__version__, **extensions.names()}
    if launched() > 1:
        hashes[PROCESSES] = str(launched())
    for field, images, list_file in (
        ("train_set", data.train, config.train_list),
        ("val_set", data.val, config.val_list),
    ):
        if isinstance(images, ExternalDataSet):
            hashes[field] += f" sha256 {images.sha256()}"
        else:
            hashes[f"content of {field.replace('set', 'list')}"] = sha256(list_file)
    if config.classes_file is not None:
        hashes["content of classes"] = sha256(config.classes_file)
    return hashes


def check_same_inputs(saved: RunState, now: Mapping[str, str], config: TrainConfig, file: Path) -> None:
    """Check that a resumed run has its original inputs, see `input_hashes`. Raises InputError."""
    names = [name for name in {**saved.input_hashes, **now} if name != PROCESSES]
    differing = [name for name in names if saved.input_hashes.get(name) != now.get(name)]
    if differing:
        files = {"train_list": config.train_list, "val_list": config.val_list, "classes": config.classes_file}
        changed = ", ".join(
            f"{name} ({files[name]})" if files.get(name) else name
            for name in (name.removeprefix("content of ") for name in differing)
        )
        raise InputError(
            f"{file}: {changed} changed since this run began, so it cannot be resumed exactly; start a new run, for "
            "example with --init best_model.pdparams"
        )


def check_same_everywhere(hashes: Mapping[str, str], config: TrainConfig, data: TrainingData) -> None:
    """Check that all processes, possibly on several machines, were given the same run. Raises InputError."""
    own = {"data_dir", "train_list", "val_list", "classes_file", "image_cache", "num_workers", "save_dir"}
    settings = {f"--{name}": str(value) for name, value in vars(config).items() if name not in own}
    counts = {"images to train on": str(len(data.train)), "images to validate on": str(len(data.val))}
    distributed.check_same({**counts, **hashes, **settings})


def describe_processes(saved: RunState, config: TrainConfig) -> str:
    """Say what another number of processes changes in a resumed run; empty if the number is the same."""
    before = saved.input_hashes.get(PROCESSES, "1")[:10]
    if before == str(launched()):
        return ""
    same = "rounding differs" if config.sync_bn else "batch normalization uses the statistics of other parts of a batch"
    noun = "process" if before == "1" else "processes"
    return f"=> this run had {before} {noun} and now has {launched()}: the same batches, but {same}"


def trained_on(images: DataSet, initial: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fingerprint of the training images, see `audit.fingerprint`; `initial` is the metadata of `--init`."""
    if isinstance(images, ListDataSet):
        return audit.fingerprint(images.names, initial, images.list.patients)
    if images.has_names:
        return audit.fingerprint(images.names, initial)
    return {**audit.fingerprint((), initial), "complete": False}


def weights_metadata(
    config: TrainConfig, data: TrainingData, fingerprint: Mapping[str, Any], loss: Loss
) -> dict[str, Any]:
    """Return the metadata of the weight files of a run; `fingerprint` as `trained_on` returns it."""
    return {
        **loss_metadata(config.loss, loss, data.classes),
        "backbone": config.backbone,
        "classes": list(data.classes),
        "resize": config.resize,
        "crop": config.crop,
        "normalization": config.normalization,
        "sample_bits": config.sample_bits,
        "train_list": config.train_list if isinstance(data.train, ListDataSet) else data.train.source,
        "skipped": {
            split: [asdict(skipped) for skipped in images.skipped]
            for split, images in (("train", data.train), ("val", data.val))
        },
        "chexnet": __version__,
        "paddle": paddle.__version__,
        audit.KEY: dict(fingerprint),
    }


def differences(first: InitialWeights, config: TrainConfig, data: TrainingData) -> list[str]:
    """Describe where the metadata of the initial weights disagrees with the run, one line per difference."""
    now = {"classes": list(data.classes), "normalization": config.normalization}
    before = present_names(first.metadata or {})
    return [
        f"its {name} were {repr(before[name])[:200]}, those of this run are {repr(value)[:200]}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]
