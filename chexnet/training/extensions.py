"""What a caller adds to a run from outside: data sets, a loss, an augmentation, callbacks. See docs/extending.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from paddle.callbacks import Callback

from chexnet.data import Augmentation, LabeledImages
from chexnet.errors import InputError
from chexnet.training.losses import Loss

COMPARED_FIELDS = ("train_set", "val_set", "loss", "transform")
"""Extensions that decide the results of a run, and that a resumed run is therefore asked for."""


@dataclass(frozen=True)
class Extensions:
    """What a caller adds to a run from outside. See COMPARED_FIELDS for those that a resumed run needs again.

    Attributes:
        train_set: data set to train on, in place of `train_list`.
        val_set: data set to validate on, in place of `val_list`.
        loss: loss of one head, in place of the binary cross-entropy.
        transform: augmentation of the images of `train_list`, before they are cropped.
        callbacks: callbacks of Paddle, called after those of the run but before the run is saved.

    Raises:
        InputError: two of them exclude each other, or one is of the wrong kind.
    """

    train_set: LabeledImages | None = None
    val_set: LabeledImages | None = None
    loss: Loss | None = None
    transform: Augmentation | None = None
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        if self.transform and self.train_set is not None:
            raise InputError("transform: augments the images of train_list, which train_set replaces; use one of them")
        for name in ("loss", "transform"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise InputError(f"{name}: is a {type(value).__name__}, expected a callable")
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise InputError(f"callbacks: has a {type(callback).__name__}, expected paddle.callbacks.Callback")

    def names(self) -> dict[str, str]:
        """Return the names of what decides the results of the run, for those that are given."""
        given = {field: getattr(self, field) for field in COMPARED_FIELDS}
        return {
            field: getattr(value, "__qualname__", type(value).__qualname__)
            for field, value in given.items()
            if value is not None
        }
