"""Configurations of training, evaluation, localization and prediction. Their fields are also the scripts' flags."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chexnet.config.argument_types import (
    decay_or_off,
    epoch_list,
    int_between,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    random_seed,
)
from chexnet.config.backbone_registry import DEFAULT_BACKBONE, list_backbones
from chexnet.config.crops import CROPS, DEFAULT_CROPS, crops_argument
from chexnet.config.settings import data, hardware, inference, model, outputs, same_setting, training

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Number of CPUs that this process may use."""

DEFAULT_WORKERS = min(CPUS, 16)

DEVICES = ("auto", "cpu", "gpu")

ENGINES = ("openvino", "onnxruntime", "paddle")
"""Inference engines for CPUs, the fastest first (docs/performance.md)."""

PRECISIONS = ("float32", "bfloat16", "float16")

GRAPH_CACHE_VARIABLE, GRAPH_CACHE_OFF = "CHEXNET_GRAPH_CACHE", "off"
"""Environment variable with the default of `--graph_cache`, and the value that turns the cache off."""

AMP_LEVELS = ("off", "O1", "O2", "bf16")
"""Mixed precision: none; float16 for convolutions and matrix products; float16 also for their weights; bfloat16 for
convolutions and matrix products."""

ON_BAD_IMAGE = ("error", "skip")
"""Reactions to an image that is missing or cannot be decoded: stop, or skip the image and report it."""

WEIGHT_FORMATS = ("pdparams", "safetensors")

EXPORT_FORMATS = ("paddle", "onnx")

NORMALIZATIONS = ("imagenet", "minus_one_one", "zero_one")
"""Pixel values that the network receives: normalized by ImageNet's mean and standard deviation per channel, or scaled
from 0..255 to -1..1 or 0..1."""

MIN_SAMPLE_BITS, MAX_SAMPLE_BITS = 8, 16
"""Range of `sample_bits`. With the maximum, every image file is scaled by the range that it declares."""

OPTIMIZERS = ("adam", "adamw", "sgd")
"""Adam with Paddle's defaults, AdamW, or SGD with momentum 0.9 (`chexnet.training.optimizers`)."""

LOSSES = ("bce", "weighted_bce", "focal", "asl")
"""Losses of `chexnet.training.losses`."""

SCHEDULES = ("step", "plateau", "cosine")
"""Learning-rate schedules of `chexnet.training.schedules`."""

SELECTIONS = ("auroc", "loss")
"""Quantity of the validation set that selects the best epoch: the highest AUROC_avg or the lowest loss."""

AUGMENTATIONS = ("reference", "resized_crop", "affine")
"""Augmentations of `chexnet.data.augmentation`."""

LOGGERS = ("none", "visualdl", "tensorboard", "wandb")
"""Trackers of `chexnet.training.trackers`."""

RECIPE_NAMES = ("paddle-chexnet", "chexnet", "zoogzog", "modern", "highres")
"""Named sets of defaults, see `chexnet.config.training_recipes`."""


_RENAMED_VALUES = {
    "normalization": {"symmetric": "minus_one_one", "unit": "zero_one"},
    "optimizer": {"momentum": "sgd"},
}


def present_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings from a run or a checkpoint, with names and values of version 0.1.0 replaced by today's.

    `scaling: unit` becomes `normalization: zero_one`, for example. Anything else is returned as it is.
    """
    fields = {"normalization" if name == "scaling" else name: value for name, value in stored.items()}
    return {
        name: _RENAMED_VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


@dataclass(frozen=True)
class TrainConfig:
    """One training run; written as `config.json` next to its checkpoints.

    The defaults are those of Paddle-CheXNet's train.py: Adam at 0.001, times 0.1 after epochs 10, 15 and 18, 20 epochs,
    batches of 128, from ImageNet weights. The weights behind its published AUROC of 0.847 came from two runs, see
    docs/recipes.md. `chexnet.config.training_recipes.recipe_config` gives the configurations of other recipes.
    """

    data_dir: str = data("dataset/images", "folder of the images", metavar="DIR")
    train_list: str = data(
        "dataset/labels/train_list.txt", "list file to train on: `name v1 ... v14` per line", metavar="FILE"
    )
    val_list: str = data(
        "dataset/labels/val_list.txt", "list file to validate on; it selects the best epoch", metavar="FILE"
    )
    save_dir: str = outputs("save", "folder for checkpoints, saved states, history and curves", metavar="DIR")
    batch_size: int = training(128, "images per step, of all processes together", type=positive_int)
    learning_rate: float = training(0.001, "learning rate before any decay", type=positive_float)
    epoch: int = training(20, "number of epochs", type=positive_int)
    decay_epochs: tuple[int, ...] = training(
        (10, 15, 18),
        "epochs after which the learning rate decays, in increasing order, separated by commas",
        type=epoch_list,
    )
    decay_factor: float = training(0.1, "factor applied to the learning rate at each decay epoch", type=positive_float)
    init: str = model(
        "imagenet", "initial weights: imagenet (downloads them), random, or a .pdparams or .safetensors file"
    )
    seed: int = training(0, "random seed for initial weights, shuffling and augmentation", type=random_seed)
    device: str = hardware("auto", "device to compute on", choices=DEVICES)
    num_workers: int = hardware(DEFAULT_WORKERS, "image-decoding threads; 0 for none", type=non_negative_int)
    resize: int = data(256, "shorter side after resizing, in pixels", type=positive_int)
    crop: int = data(224, "side of the square crop, in pixels", type=positive_int)
    amp: str = hardware(
        "off",
        "automatic mixed precision, on a GPU only: with float16 (O1, O2: also the weights) or bfloat16",
        choices=AMP_LEVELS,
    )
    image_cache: str | None = data(
        None, "image cache made by tools/build_cache.py, read instead of the image files", metavar="DIR"
    )
    format: str = outputs("pdparams", "format of the weight files", choices=WEIGHT_FORMATS)
    save_every_minutes: float = outputs(
        10.0,
        "also save a resumable state every M minutes; 0 saves after each epoch only",
        type=non_negative_float,
        metavar="M",
    )
    save_every_steps: int = outputs(
        0, "also save a state every N steps; 0 turns this off", type=non_negative_int, metavar="N"
    )
    keep_states: int = outputs(2, "number of saved states to keep, the newest ones", type=positive_int)
    on_bad_image: str = data(
        "error",
        "for missing or corrupt images: stop, or check all images first and skip up to 1 %% of each list",
        choices=ON_BAD_IMAGE,
    )
    backbone: str = model(
        DEFAULT_BACKBONE, "backbone (docs/backbones.md): %(choices)s", choices=list_backbones, metavar="NAME"
    )
    classes_file: str | None = data(
        None,
        "file with the class names of the lists' columns, one per line (default: the 14 of ChestX-ray14)",
        metavar="FILE",
    )
    normalization: str = model(
        NORMALIZATIONS[0],
        "pixel normalization: ImageNet mean/std, [-1, 1] or [0, 1]; recorded in the checkpoint, so the other scripts "
        "use the same",
        choices=NORMALIZATIONS,
    )
    optimizer: str = training(OPTIMIZERS[0], "optimizer: Adam, AdamW, or SGD with momentum 0.9", choices=OPTIMIZERS)
    sample_bits: int = data(
        MAX_SAMPLE_BITS,
        "bits per sample that image files use, if they declare more: samples are scaled by 2^N - 1 instead of 65535",
        type=int_between(MIN_SAMPLE_BITS, MAX_SAMPLE_BITS),
        metavar="N",
    )
    accumulate: int = training(
        1,
        "parts of a batch, computed one after another before each optimizer step to save memory",
        type=positive_int,
        metavar="N",
    )
    sync_bn: bool = training(
        False, "in several processes: normalize by the statistics of the whole batch, not of each process's part"
    )
    tf32: str = hardware(
        "off", "let a GPU round the factors of float32 products to TF32, which is faster", choices=("on", "off")
    )
    recipe: str = training(
        RECIPE_NAMES[0],
        "set of defaults for the flags of a run (docs/recipes.md); any flag overrides it: %(choices)s",
        choices=RECIPE_NAMES,
        metavar="NAME",
    )
    loss: str = training(
        LOSSES[0],
        "loss; with all but bce, the probabilities are not calibrated (docs/recipes.md)",
        choices=LOSSES,
    )
    schedule: str = training(
        SCHEDULES[0],
        "learning rate over the epochs: decays at --decay_epochs, or when the validation loss does not fall, or "
        "follows a cosine to 0",
        choices=SCHEDULES,
    )
    patience: int = training(
        5,
        "epochs without a lower validation loss that the schedule plateau tolerates before it decays",
        type=non_negative_int,
        metavar="N",
    )
    warmup_epochs: int = training(
        0, "epochs over which the learning rate rises linearly from 0, step by step", type=non_negative_int, metavar="N"
    )
    weight_decay: float = training(
        0.0, "weight decay; adamw does not decay biases and batch norm", type=non_negative_float
    )
    clip_grad_norm: float = training(
        0.0, "largest norm of the gradient of all weights together; 0 does not clip", type=non_negative_float
    )
    select: str = training(
        SELECTIONS[0],
        "best epoch by the highest validation AUROC_avg or the lowest validation loss",
        choices=SELECTIONS,
    )
    early_stopping: int = training(
        10, "stop after N epochs without a better one; 0 turns this off", type=non_negative_int, metavar="N"
    )
    ema: float | None = training(
        None,
        "decay of an exponential moving average of the weights, for example 0.9999; it is validated and saved instead "
        "of the weights (default: off)",
        type=decay_or_off,
        metavar="DECAY",
    )
    freeze_backbone: int = training(
        0, "epochs at the beginning in which only the head is trained", type=non_negative_int, metavar="N"
    )
    augment: str = data(
        AUGMENTATIONS[0],
        "augmentation of the training images: random crop; random crop resized from half to all of the area; the same "
        "with rotation, brightness and contrast",
        choices=AUGMENTATIONS,
    )
    no_flip: bool = data(False, "do not flip training images; in a flipped chest the heart is on the right")
    logger: str = outputs(
        LOGGERS[0], "also write the history to a tracker, into a folder of this name in --save_dir", choices=LOGGERS
    )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "TrainConfig":
        """Return the configuration that a run stored, also by an earlier version.

        Fields that the earlier version did not have get their defaults.

        Raises:
            TypeError: a field is unknown.
        """
        fields = present_names(stored)
        if "classes" in fields:
            fields["classes_file"] = fields.pop("classes")
        return cls(**fields)

    def to_json(self) -> str:
        """Return the configuration as an indented JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """Loading and running a trained network: the settings that evaluation, localization and prediction share."""

    ckpt: str = model(
        "pretrained_models/model_paddle.pdparams", "checkpoint, .pdparams or .safetensors", metavar="FILE"
    )
    crops: int | Literal["dense"] | None = inference(
        None,
        "crops per image, averaged; dense: all windows of the whole image, in one pass "
        f"(default: that of the checkpoint, else {DEFAULT_CROPS})",
        type=crops_argument,
        choices=CROPS,
    )
    device: str = same_setting(TrainConfig, "device")
    num_workers: int = hardware(
        DEFAULT_WORKERS,
        "image-decoding threads, in addition to the inference threads; 0 for none",
        type=non_negative_int,
    )
    engine: str = hardware(
        "auto", "inference engine; auto: Paddle on a GPU, else the fastest one installed", choices=("auto", *ENGINES)
    )
    precision: str = hardware(
        "float32", "precision of the computation, if the hardware supports it", choices=PRECISIONS
    )
    tf32: str = same_setting(TrainConfig, "tf32")
    graph_cache: str | None = hardware(
        None,
        "folder for compiled graphs, which make the next start faster, or off for none (default: "
        f"${GRAPH_CACHE_VARIABLE}, else one in the user's cache folder)",
        metavar="DIR",
    )
    backbone: str | None = model(
        None,
        f"backbone, if the checkpoint does not name one: %(choices)s (default: {DEFAULT_BACKBONE})",
        choices=list_backbones,
        metavar="NAME",
    )
    classes_file: str | None = model(
        None,
        "file with the class names, one per line, if the checkpoint does not list them (default: the 14 of "
        "ChestX-ray14)",
        metavar="FILE",
    )
    sample_bits: int | None = inference(
        None,
        "bits per sample that image files use, if they declare more: samples are scaled by 2^N - 1 "
        "(default: that of the checkpoint, else 16)",
        type=int_between(MIN_SAMPLE_BITS, MAX_SAMPLE_BITS),
        metavar="N",
    )


@dataclass(frozen=True, kw_only=True)
class EvalConfig(InferenceConfig):
    """One evaluation."""

    data_dir: str = same_setting(TrainConfig, "data_dir")
    test_list: str = data(
        "dataset/labels/test_list.txt", "list file to evaluate on: `name v1 ... v14` per line", metavar="FILE"
    )
    val_list: str | None = data(
        None,
        "validation list for the report: it is evaluated too, to select operating points and fit the calibration",
        metavar="FILE",
    )
    ckpt: str = model(
        InferenceConfig.ckpt,
        "checkpoint, .pdparams or .safetensors; the probabilities of several are averaged",
        metavar="FILE",
        nargs="+",
    )
    ensemble: tuple[str, ...] = ()  # more checkpoints; set by --ckpt, so it has no flag
    batch_size: int = inference(128, "maximum images per batch; the engine may use fewer", type=positive_int)
    image_cache: str | None = same_setting(TrainConfig, "image_cache")
    on_bad_image: str = same_setting(TrainConfig, "on_bad_image")


@dataclass(frozen=True, kw_only=True)
class LocalizationConfig(InferenceConfig):
    """One comparison of class activation maps with ground-truth boxes."""

    boxes: str = data(
        dataclasses.MISSING, "boxes of NIH, RSNA or VinDr-CXR (.csv, .csv.gz) or ChestX-Det (.json)", metavar="FILE"
    )
    data_dir: str = same_setting(TrainConfig, "data_dir")
    test_list: str | None = data(
        None, "list file; boxes of other images are ignored (default: all boxes)", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InferenceConfig):
    """Predictions for image files."""

    ckpt: str = model(
        InferenceConfig.ckpt,
        "checkpoint; if the flag and the default file are missing, a network trained on synthetic images is used",
        metavar="FILE",
    )
    top: int = outputs(
        3,
        "number of findings shown and drawn per image; with thresholds, also all present findings",
        type=positive_int,
        metavar="N",
    )
    cam: str | None = outputs(None, "write one heat-map PNG per image and finding to DIR", metavar="DIR")
    sheet: bool = outputs(False, "with --cam: write one PNG per image instead, with the heat maps of all findings")
    thresholds: str | None = inference(
        None, "JSON file of operating points (default: the one next to the checkpoint, if any)", metavar="FILE.json"
    )
    calibrated: bool = inference(
        False, "also give calibrated probabilities, by the Platt scaling in the file of operating points"
    )
    output_json: str | None = outputs(None, "write all results to this JSON file", metavar="FILE.json")
    output_csv: str | None = outputs(
        None, "write all probabilities to this CSV file, one line per image", metavar="FILE.csv"
    )


@dataclass(frozen=True, kw_only=True)
class CardConfig:
    """A model card of a checkpoint. What the files do not say is written as unknown."""

    report: str | None = data(
        None, "metrics.json of a report on the checkpoint, from eval.py --output_dir", metavar="FILE.json"
    )
    train_list: str | None = data(None, "list file of the training images", metavar="FILE")
    val_list: str | None = data(None, "list file of the validation images", metavar="FILE")
    test_list: str | None = data(None, "list file of the test images", metavar="FILE")
    train_config: str | None = data(None, "config.json of the training run", metavar="FILE.json")
    shortcuts: str | None = data(None, "shortcuts.json of tools/shortcuts.py", metavar="FILE.json")
    details: str | None = data(
        None,
        "JSON file with what only people know: intended use, license ... (pretrained_models/README.md)",
        metavar="FILE.json",
    )
