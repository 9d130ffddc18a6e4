"""Extensions of a run: data sets, a loss, an augmentation, callbacks. See docs/extending.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from paddle.callbacks import Callback

from chexnet.config import TrainConfig
from chexnet.data import Augmentation, LabeledImages
from chexnet.errors import InputError
from chexnet.training.losses import Loss

COMPARED_FIELDS = ("train_set", "val_set", "loss", "transform")
"""Extensions that determine the results of a run. A resumed run must be given the same ones."""


@dataclass(frozen=True)
class Extensions:
    """Extensions of a run. A resumed run needs those in COMPARED_FIELDS again.

    Attributes:
        train_set: data set to train on, instead of `train_list`.
        val_set: data set to validate on, instead of `val_list`.
        loss: loss of one head, instead of the binary cross-entropy.
        transform: augmentation of the images of `train_list`, before they are cropped.
        callbacks: Paddle callbacks, called after those of the run but before the run is saved.

    Raises:
        InputError: `transform` is combined with `train_set`, or an extension is of the wrong type.
    """

    train_set: LabeledImages | None = None
    val_set: LabeledImages | None = None
    loss: Loss | None = None
    transform: Augmentation | None = None
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        if self.transform and self.train_set is not None:
            raise InputError(
                "transform: cannot be combined with train_set, because it augments the images of train_list"
            )
        for name in ("loss", "transform"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise InputError(f"{name}: is a {type(value).__name__}, expected a callable")
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise InputError(f"callbacks: contains a {type(callback).__name__}, expected paddle.callbacks.Callback")

    def check(self, config: TrainConfig) -> None:
        """Check that a configuration is possible with these extensions. Raises InputError."""
        if config.warmup_epochs >= config.epoch:
            raise InputError(f"--warmup_epochs {config.warmup_epochs}: expected fewer than --epoch {config.epoch}")
        if self.loss and config.loss != TrainConfig.loss:
            raise InputError(f"loss: replaces --loss {config.loss}; expected one of them")
        for name in ("augment", "no_flip") if self.train_set is not None else ():
            if getattr(config, name) != getattr(TrainConfig, name):
                raise InputError(f"train_set: its images are not augmented, so --{name} cannot be used with it")

    def names(self) -> dict[str, str]:
        """Return field -> name of the extension, for each of COMPARED_FIELDS that is given."""
        given = {field: getattr(self, field) for field in COMPARED_FIELDS}
        return {
            field: getattr(value, "__qualname__", type(value).__qualname__)
            for field, value in given.items()
            if value is not None
        }
