"""What a run is made from, checked before it computes; and what makes it the same run when it goes on."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import paddle
from tqdm import tqdm

from chexnet import __version__, audit, device
from chexnet.config import TrainConfig, present_names
from chexnet.data import ChestXrayDataSet, Skipped, View, find_unusable
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.lists import ImageList, check_classes, class_names
from chexnet.model import FirstWeights, check_crop
from chexnet.training.state import State
from chexnet.training.state_checks import check_config
from chexnet.transforms import Preprocessing

Report = Callable[[str], None]
"""Takes a line for a person."""


def silent(line: str) -> None:
    """A Report that nobody reads."""


HOW_IT_IS_KEPT = frozenset({"save_dir", "format", "save_every_minutes", "save_every_steps", "keep_states"})
"""Fields of a TrainConfig that may differ when a run goes on."""

WHERE_IT_RUNS = frozenset(
    {"epoch", "num_workers", "device", "data_dir", "train_list", "val_list", "classes_file", "image_cache"}
)
"""Fields that may differ if the user insists. The files' contents may not, so that they only have moved."""


@dataclass(frozen=True)
class Data:
    """What a run is given.

    Attributes:
        classes: names of the labels.
        train: what it trains on.
        val: what it validates on.
    """

    classes: tuple[str, ...]
    train: ChestXrayDataSet
    val: ChestXrayDataSet

    @property
    def sets(self) -> tuple[ChestXrayDataSet, ChestXrayDataSet]:
        """Both sets."""
        return self.train, self.val


def open_data(config: TrainConfig, tell: Report, saved: State | None = None) -> Data:
    """Checks what a run needs before it computes, and opens its images."""
    check_config(config, "the configuration")
    preprocessing = Preprocessing(config.resize, config.crop, config.normalization, config.sample_bits)
    check_crop(config.crop, config.backbone)
    classes = class_names(config.classes_file)
    for path in (config.train_list, config.val_list):
        check_classes(path, classes)
    device.select(config.device)
    if config.amp != "off" and not device.is_gpu():
        raise InputError(f"--amp {config.amp}: mixed precision needs a GPU, Paddle has none in use; use --amp off")

    def images_of(part: str, list_file: str, view: View) -> ChestXrayDataSet:
        before = [Skipped(**one) for one in saved.skipped[part]] if saved else None
        skipped = _unusable(config, list_file, len(classes)) if before is None else before
        cache = config.image_cache
        return ChestXrayDataSet(
            config.data_dir, list_file, view, preprocessing, config.seed, len(classes), cache, skipped=skipped
        )

    train_set = images_of("train", config.train_list, "train")
    val_set = images_of("val", config.val_list, "center")
    undefined = _undefined_classes(val_set.list, classes)
    precision = "float32" if config.amp == "off" else f"AMP {config.amp}"
    tell(f"=> Paddle {paddle.__version__}, {device.name()}, {precision}, seed {config.seed}")
    tell(f"=> {len(train_set)} images to train on, {len(val_set)} to validate on")
    for images in (train_set, val_set):
        if warning := images.range_warning(config.num_workers):
            tell(f"=> warning: {warning}")
    if undefined:
        tell(
            f"=> {config.val_list}: no AUROC for {', '.join(undefined)}: one kind of label only; AUROC_avg is over "
            f"the other {len(classes) - len(undefined)} classes"
        )
    return Data(classes, train_set, val_set)


def facts(config: TrainConfig, data: Data, trained_on: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs beside the weights of a run, as JSON; `skipped` and `trained_on` as in `State`."""
    return {
        "backbone": config.backbone,
        "classes": list(data.classes),
        "resize": config.resize,
        "crop": config.crop,
        "normalization": config.normalization,
        "sample_bits": config.sample_bits,
        "train_list": config.train_list,
        "skipped": {
            part: [asdict(one) for one in images.skipped]
            for part, images in zip(("train", "val"), data.sets, strict=True)
        },
        "chexnet": __version__,
        "paddle": paddle.__version__,
        audit.KEY: dict(trained_on),
    }


def differences(first: FirstWeights, config: TrainConfig, data: Data) -> list[str]:
    """What the JSON beside the first weights of a run says otherwise than the run has it, in words."""
    now = {"classes": list(data.classes), "normalization": config.normalization}
    before = present_names(first.metadata or {})
    return [
        f"its {name} were {repr(before[name])[:200]}, those of this run are {repr(value)[:200]}"
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def identity(config: TrainConfig) -> dict[str, str]:
    """What the fields of a configuration do not say and yet decides what a run computes."""
    files = {"train_list": config.train_list, "val_list": config.val_list, "classes": config.classes_file}
    digests = {f"content of {name}": sha256(path) for name, path in files.items() if path is not None}
    return {"Paddle": paddle.__version__, **digests}


def continued(saved: State, file: Path, changes: Mapping[str, Any], force: bool) -> TrainConfig:
    """The configuration of a run that goes on, if `changes` leave it the same run."""
    try:
        before = TrainConfig.from_dict(saved.config)
    except TypeError as error:
        reason = str(error)[:200]
        raise InputError(f"{file}: its configuration is not of this version of this program: {reason}") from error
    check_config(before, str(file))
    differing = {name for name in changes if getattr(before, name) != changes[name]} - HOW_IT_IS_KEPT
    refused = sorted(differing - WHERE_IT_RUNS if force else differing)
    if refused:
        told = ", ".join(f"{name} {getattr(before, name)} (now {changes[name]})" for name in refused)
        insist = "--force allows it" if differing <= WHERE_IT_RUNS else "leave these flags out, or start a new run"
        raise InputError(f"{file}: this run has {told}; {insist}")
    result = replace(before, **changes)
    _check_same(saved, result, file)
    return result


def _check_same(saved: State, config: TrainConfig, file: Path) -> None:
    now = identity(config)
    differing = [what for what in {**saved.identity, **now} if saved.identity.get(what) != now.get(what)]
    if differing:
        raise InputError(
            f"{file}: {', '.join(differing)} is not that of this run any more, so it cannot go on to the same weights; "
            "start a new one, with --init its best weights if you like"
        )


def _unusable(config: TrainConfig, list_file: str, n_classes: int) -> tuple[Skipped, ...]:
    if config.on_bad_image == "error":
        return ()
    with tqdm(desc=f"checking {list_file}", unit="image", leave=False, disable=None, file=sys.stderr) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return find_unusable(
            config.data_dir,
            list_file,
            Preprocessing(config.resize, config.crop, sample_bits=config.sample_bits),
            n_classes,
            image_cache=config.image_cache,
            workers=config.num_workers,
            progress=move,
        )


def _undefined_classes(val_list: ImageList, classes: tuple[str, ...]) -> list[str]:
    positives = val_list.labels.sum(axis=0)
    undefined = [name for name, count in zip(classes, positives, strict=True) if count in (0, len(val_list))]
    if len(undefined) == len(classes):
        raise InputError(f"{val_list.path}: no class has both positives and negatives, so no epoch can be the best")
    return undefined
