"""The images and labels of a run, checked before training."""

import sys
from dataclasses import dataclass

import numpy as np
import paddle
from tqdm import tqdm

from chexnet import device, distributed, gpu_memory
from chexnet._types import LogFn
from chexnet.config import TrainConfig
from chexnet.data import ChestXrayDataSet, DataSet, ExternalDataSet, SkippedImage, find_bad_images
from chexnet.data.lists import check_classes, class_names
from chexnet.data.loader import PieceLoader
from chexnet.data.transforms import Preprocessing
from chexnet.device import launched
from chexnet.errors import InputError
from chexnet.model import check_input_size
from chexnet.training.extensions import Extensions
from chexnet.training.run_state import RunState
from chexnet.training.state_checks import check_config
from chexnet.training.tracker_callback import check_installed

MAX_VALIDATION_BATCH = 128
"""Maximum number of images that a process validates on at once, because `--batch_size` is that of all processes."""


@dataclass(frozen=True)
class TrainingData:
    """The images and labels of a run.

    Attributes:
        classes: names of the labels.
        train: training images.
        val: validation images.
    """

    classes: tuple[str, ...]
    train: DataSet
    val: DataSet

    def loaders(self, config: TrainConfig) -> tuple[PieceLoader, PieceLoader]:
        """Return the loaders of the training batches, shuffled per epoch, and of the validation batches.

        A process validates on as many images at once as one process would alone: kernels round differently for batches
        of another size.
        """
        rank, processes = distributed.rank(), launched()
        size, workers = config.batch_size, config.num_workers
        at_once = min(size, MAX_VALIDATION_BATCH)
        return (
            PieceLoader(self.train, size, True, workers, rank, processes, config.accumulate),
            PieceLoader(self.val, at_once * processes, False, workers, rank, processes),
        )


def open_data(config: TrainConfig, extensions: Extensions, log: LogFn, saved: RunState | None = None) -> TrainingData:
    """Check configuration, device, classes and lists of a run, and open its images.

    Args:
        config: configuration of the run.
        extensions: extensions of the run; their data sets replace the lists.
        log: receives lines about the data.
        saved: state that the run is resumed from; its skipped images are skipped again.

    Raises:
        InputError: the configuration, the device, a list or an image cannot be used.
    """
    check_config(config, "the configuration")
    extensions.check(config)
    check_installed(config.logger)
    pieces = launched() * config.accumulate
    if config.batch_size % pieces:
        raise InputError(
            f"--batch_size {config.batch_size}: expected a multiple of {pieces}, the number of processes times "
            f"--accumulate: {launched()} x {config.accumulate}"
        )
    check_input_size(config.crop, config.backbone)
    classes = class_names(config.classes_file)
    for list_file, given in ((config.train_list, extensions.train_set), (config.val_list, extensions.val_set)):
        if given is None:
            check_classes(list_file, classes)
    _set_device(config)
    train, val = (_open(split, config, extensions, len(classes), saved) for split in ("train", "val"))
    undefined = _undefined_classes(val, classes)
    precision = f"{'float32' if config.amp == 'off' else f'AMP {config.amp}'}{device.tf32_note()}"
    log(f"=> Paddle {paddle.__version__}, {device.device_name()}, {precision}, seed {config.seed}")
    if launched() > 1:
        statistics = (
            "of the whole batch" if config.sync_bn else "of each process's part (--sync_bn: of the whole batch)"
        )
        log(
            f"=> {launched()} processes, each with {config.batch_size // launched()} of the {config.batch_size} images "
            f"of a batch; batch normalization by the statistics {statistics}"
        )
    log(f"=> {len(train)} images to train on, {len(val)} to validate on")
    if memory := gpu_memory.training_warning(config.batch_size // pieces, config.crop, config.backbone, config.amp):
        log(f"=> warning: {memory}")
    for images in (train, val):
        if isinstance(images, ChestXrayDataSet) and (warning := images.range_warning(config.num_workers)):
            log(f"=> warning: {warning}")
    if undefined:
        log(
            f"=> {val.source}: no AUROC for {', '.join(undefined)}: only positives or only negatives; AUROC_avg is "
            f"over the other {len(classes) - len(undefined)} classes"
        )
    return TrainingData(classes, train, val)


def _set_device(config: TrainConfig) -> None:
    """Set the device of a run. Raises InputError if it cannot be used or does not support the precision."""
    distributed.join(config.device, config.tf32)
    flag = f"--amp {config.amp}"
    if config.amp != "off":
        if not device.is_gpu():
            raise InputError(f"{flag}: mixed precision needs a GPU, and Paddle uses none; use --amp off")
        device.check_gpu_precision(flag, "bfloat16" if config.amp == "bf16" else "float16", "use another --amp")
    device.expect_equal_shapes()


def _open(split: str, config: TrainConfig, extensions: Extensions, n_classes: int, saved: RunState | None) -> DataSet:
    """Open the `train` or `val` images, from their list unless a data set replaces it."""
    training = split == "train"
    given = extensions.train_set if training else extensions.val_set
    preprocessing = Preprocessing(config.resize, config.crop, config.normalization, config.sample_bits)
    if given is not None:
        return ExternalDataSet(given, f"{split}_set", n_classes, config.crop, config.seed)
    list_file = config.train_list if training else config.val_list
    if saved:
        skipped = tuple(SkippedImage(**image) for image in saved.skipped[split])
    else:
        skipped = _find_bad_images(config, list_file, preprocessing, n_classes)
    return ChestXrayDataSet(
        config.data_dir,
        list_file,
        "train" if training else "center",
        preprocessing,
        config.seed,
        n_classes,
        config.image_cache,
        skipped,
        transform=extensions.transform if training else None,
        augmentation=config.augment,
        flip=not config.no_flip,
    )


def _find_bad_images(
    config: TrainConfig, list_file: str, preprocessing: Preprocessing, n_classes: int
) -> tuple[SkippedImage, ...]:
    if config.on_bad_image == "error":
        return ()
    with tqdm(desc=f"checking {list_file}", unit="image", leave=False, disable=None, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return find_bad_images(
            config.data_dir, list_file, preprocessing, n_classes, config.image_cache, config.num_workers, show
        )


def _undefined_classes(images: DataSet, classes: tuple[str, ...]) -> list[str]:
    """Return the classes with only positives or only negatives. Raises InputError if these are all classes."""
    positives = np.asarray(images.labels).sum(axis=0)
    undefined = [name for name, count in zip(classes, positives, strict=True) if count in (0, len(images))]
    if len(undefined) == len(classes):
        raise InputError(
            f"{images.source}: no class has both positives and negatives, so AUROC is undefined for all of them"
        )
    return undefined
