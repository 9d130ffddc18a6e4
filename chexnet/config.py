"""What a run is made of. The defaults here are the defaults of the scripts' flags."""

import dataclasses
import json
import os
from dataclasses import dataclass

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""How many this process may use."""

DEFAULT_WORKERS = min(CPUS, 16)

ENGINES = ("openvino", "onnxruntime", "paddle")
"""What computes on a CPU, the fastest first (docs/performance.md)."""

PRECISIONS = ("float32", "bfloat16", "float16")

ON_BAD_IMAGE = ("error", "skip")
"""What becomes of an image that is missing or does not decode: it ends the run, or is left out and listed."""

WEIGHT_FORMATS = ("pdparams", "safetensors")

EXPORT_FORMATS = ("paddle", "onnx")

DEFAULT_BACKBONE = "densenet121"

CROPS = (10, 1)
"""Crops per image: the four corners and the center, each mirrored too, or the center alone."""

DEFAULT_CROPS = CROPS[0]

SCALINGS = ("imagenet", "symmetric", "unit")
"""How pixels are scaled for the network: by ImageNet's mean and deviation of each channel, or from 0..255 to -1..1 or
0..1."""

MIN_SAMPLE_BITS, MAX_SAMPLE_BITS = 8, 16
"""Bits per sample that `sample_bits` can name. The latter leaves every image file the range that it declares."""

OPTIMIZERS = ("adam", "momentum")
"""Adam with Paddle's defaults, or SGD with a momentum of 0.9."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run; written as `config.json` beside its checkpoints.

    The defaults are those of Paddle-CheXNet's train.py: Adam at 0.001, times 0.1 after epochs 10, 15 and 18, 20 epochs,
    batches of 128, from ImageNet weights.

    Attributes:
        data_dir: folder of the images.
        train_list: list file to train on.
        val_list: list file that chooses the best epoch.
        save_dir: folder for everything the run writes.
        batch_size: images a step.
        learning_rate: before any decay.
        epoch: number of passes over the training list.
        decay_epochs: after this many epochs the learning rate is multiplied by `decay_factor`, rising.
        decay_factor: see `decay_epochs`.
        init: `imagenet`, `random` or the path of a weight file.
        seed: of weights, order and augmentation.
        device: `auto`, `cpu` or `gpu`.
        num_workers: decoding threads, 0 for none.
        resize: shorter side after resizing, pixels.
        crop: side of the square that the network sees, pixels.
        amp: automatic mixed precision, `off`, `O1` or `O2`; on a GPU only.
        image_cache: folder made by tools/build_cache.py, read instead of the image files; None decodes these.
        format: of the weights that are written, `pdparams` or `safetensors`.
        save_every_minutes: after so many minutes since the last time the state of the run is saved, 0 for never.
        save_every_steps: so it is after so many steps of an epoch, 0 for never. It always is after an epoch.
        keep_states: saved states that are kept, the newest ones.
        on_bad_image: `error`, or `skip` to leave out what is missing or does not decode, see ON_BAD_IMAGE.
        backbone: one of `list_backbones()`.
        classes: file of the names of the lists' columns, one a line; None for the 14.
        scaling: one of SCALINGS.
        optimizer: one of OPTIMIZERS.
        sample_bits: bits per sample that are in use in image files that declare more, see `chexnet.images.read`.
    """

    data_dir: str = "dataset/images"
    train_list: str = "dataset/labels/train_list.txt"
    val_list: str = "dataset/labels/val_list.txt"
    save_dir: str = "save"
    batch_size: int = 128
    learning_rate: float = 0.001
    epoch: int = 20
    decay_epochs: tuple[int, ...] = (10, 15, 18)
    decay_factor: float = 0.1
    init: str = "imagenet"
    seed: int = 0
    device: str = "auto"
    num_workers: int = DEFAULT_WORKERS
    resize: int = 256
    crop: int = 224
    amp: str = "off"
    image_cache: str | None = None
    format: str = "pdparams"
    save_every_minutes: float = 10.0
    save_every_steps: int = 0
    keep_states: int = 2
    on_bad_image: str = "error"
    backbone: str = DEFAULT_BACKBONE
    classes: str | None = None
    scaling: str = SCALINGS[0]
    optimizer: str = OPTIMIZERS[0]
    sample_bits: int = MAX_SAMPLE_BITS

    def to_json(self) -> str:
        """The configuration as an indented JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a trained network is loaded and run: the part that evaluation, localization and prediction share.

    Attributes:
        ckpt: weight file of a CheXNet, `.pdparams` or `.safetensors`; the JSON beside it, if any, says how its
            images are resized.
        crops: 10, averaged, or 1, the center; None takes what the checkpoint says, else 10.
        device: `auto`, `cpu` or `gpu`.
        num_workers: decoding threads, in addition to the inference threads; 0 for none.
        engine: `auto`, `paddle`, `openvino` or `onnxruntime`, see `chexnet.engine`.
        precision: `float32`, `bfloat16` or `float16`.
        backbone: one of `list_backbones()`, if the checkpoint does not name one; None for the default.
        classes: file with the class names, one per line, if the checkpoint does not list them; None for the 14.
        sample_bits: as for TrainConfig; None for what the checkpoint says, else for 16.
    """

    ckpt: str = "pretrained_models/model_paddle.pdparams"
    crops: int | None = None
    device: str = "auto"
    num_workers: int = DEFAULT_WORKERS
    engine: str = "auto"
    precision: str = "float32"
    backbone: str | None = None
    classes: str | None = None
    sample_bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvalConfig(InferenceConfig):
    """One evaluation.

    Attributes:
        data_dir: folder of the images.
        test_list: list file to score on.
        batch_size: maximum images per batch; fewer where that suits the engine.
        image_cache: folder made by tools/build_cache.py, read instead of the image files.
        on_bad_image: `error`, or `skip` to leave out what is missing or does not decode, see ON_BAD_IMAGE.
        ensemble: more weight files; the probabilities of all and of `ckpt` are averaged.
        val_list: list file to choose operating points and fit calibration on; it is scored too. None does neither.
    """

    data_dir: str = "dataset/images"
    test_list: str = "dataset/labels/test_list.txt"
    batch_size: int = 128
    image_cache: str | None = None
    on_bad_image: str = "error"
    ensemble: tuple[str, ...] = ()
    val_list: str | None = None


@dataclass(frozen=True, kw_only=True)
class LocalizationConfig(InferenceConfig):
    """One comparison of class maps with ground-truth boxes.

    Attributes:
        boxes: box file in NIH's format, see `chexnet.boxes`.
        data_dir: folder of the images.
        test_list: list file; boxes of other images are ignored. None takes all of them.
    """

    boxes: str
    data_dir: str = "dataset/images"
    test_list: str | None = None


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InferenceConfig):
    """Predictions on images.

    Attributes:
        top: number of findings shown and drawn per image, the most probable ones.
        cam: folder for heat maps; None draws none.
        sheet: draw all findings of an image on one picture, not each on its own; needs `cam`.
        thresholds: JSON file of operating points, see `chexnet.thresholds`; None takes the one beside the weights, and
            decides nothing if there is none.
        json: file for everything; None writes none.
        csv: file for the probabilities; None writes none.
    """

    top: int = 3
    cam: str | None = None
    sheet: bool = False
    thresholds: str | None = None
    json: str | None = None
    csv: str | None = None
