"""A backbone of the library as a classifier of CIFAR-10's images, and how it is trained."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from cifar10_data import CLASSES, SIDE, Batches, Images
from paddle import nn
from paddle.callbacks import Callback, LRScheduler
from paddle.optimizer import Momentum
from paddle.optimizer.lr import MultiStepDecay

from chexnet import checkpoint
from chexnet.backbones import NETWORKS
from chexnet.errors import InputError
from chexnet.training.callbacks import seed_everything
from chexnet.training.history import Row
from chexnet.transforms import MEAN, STD

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
DECAY_EPOCHS = (10, 15)
DECAY_FACTOR = 0.1


class Classifier(nn.Layer):
    """Images uint8 [N, 3, 32, 32] -> logits float32 [N, 10].

    Args:
        network: name of a backbone.

    Raises:
        InputError: it needs larger images.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        least = NETWORKS[network].min_side
        if least > SIDE:
            raise InputError(
                f"--network {network}: needs images of at least {least} pixels, those of CIFAR-10 have {SIDE}"
            )
        self.body = NETWORKS[network](len(CLASSES))

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images uint8 [N, 3, 32, 32] -> logits float32 [N, 10]."""
        mean, std = (paddle.to_tensor(one, dtype="float32").reshape([1, 3, 1, 1]) for one in (MEAN, STD))
        return self.body.classify(self.body.features((images.astype("float32") / 255.0 - mean) / std))

    def predict(self, pixels: np.ndarray, at_once: int = 256) -> np.ndarray:
        """uint8 [N, 3, 32, 32] -> probabilities of the classes, float32 [N, 10], in evaluation mode."""
        self.eval()
        with paddle.no_grad():
            parts = [pixels[start : start + at_once] for start in range(0, len(pixels), at_once)]
            return np.concatenate([nn.functional.softmax(self(paddle.to_tensor(part))).numpy() for part in parts])


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are the text's, as far as they are not constants above."""

    network: str = "densenet_cifar"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.1
    seed: int = 0


def train(
    recipe: Recipe,
    images: Images,
    tests: Images,
    state: Path,
    report: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[Classifier, list[Row]]:
    """Trains a network by `paddle.Model`, or goes on after the last whole epoch of a run that was cut short.

    Args:
        recipe: how.
        images: to train on.
        tests: to measure it on after each epoch; nothing is chosen by them.
        state: file that holds the run after each epoch; if it is there, the run goes on from it.
        report: takes a line for each epoch.
        progress: is told which step of an epoch is done, and of how many.

    Returns:
        The network after the last epoch, and a row for each: `epoch`, `learning_rate`, and `loss` and `accuracy`, in
        0..1, after `train_` and `test_`.

    Raises:
        InputError: the network does not fit, the state is that of another run, or the loss is not finite any more.
    """
    seed_everything(recipe.seed)
    run = {"recipe": asdict(recipe), "images": images.sha256(), "tests": tests.sha256()}
    with paddle.utils.unique_name.guard():
        network = Classifier(recipe.network)
        schedule = MultiStepDecay(recipe.learning_rate, list(DECAY_EPOCHS), DECAY_FACTOR)
        optimizer = Momentum(schedule, MOMENTUM, network.parameters(), weight_decay=WEIGHT_DECAY)
        model = paddle.Model(network)
        model.prepare(optimizer, nn.CrossEntropyLoss(), paddle.metric.Accuracy())
        rows = _restored(state, run, network, optimizer) if state.exists() else []
        if rows:
            report(f"=> {state}: going on after epoch {len(rows)}")
        record = _Record(recipe, rows, lambda: _save(state, run, network, optimizer, rows), report, progress)
        if len(rows) < recipe.epochs:
            model.fit(
                Batches(images, recipe.batch_size, recipe.seed, epoch=len(rows)),
                Batches(tests, recipe.batch_size),
                epochs=recipe.epochs - len(rows),
                verbose=0,
                callbacks=[record, LRScheduler(by_step=False, by_epoch=True)],  # Paddle's own would step by batch
            )
    return network, rows


def _save(state: Path, run: Mapping[str, Any], network: nn.Layer, optimizer: Momentum, rows: list[Row]) -> None:
    content = {"run": run, "weights": network.state_dict(), "optimizer": optimizer.state_dict(), "rows": rows}
    checkpoint.save(content, state)


def _restored(state: Path, run: Mapping[str, Any], network: nn.Layer, optimizer: Momentum) -> list[Row]:
    """Fills network and optimizer and returns the rows of the epochs that are done."""
    content = checkpoint.load(state)
    if content.get("run") != run:
        raise InputError(
            f"{state}: is of a run with another recipe or other images, expected one of {run['recipe']}; choose "
            "another --save_dir"
        )
    checkpoint.assign(network, content["weights"], str(state))
    optimizer.set_state_dict(content["optimizer"])
    return content["rows"]


class _Record(Callback):
    """Adds the row of each epoch, then saves; losses are means over its images, where Paddle's are the last batch's.

    Paddle counts epochs from 0 in every process; here they are counted by the rows.
    """

    def __init__(
        self,
        recipe: Recipe,
        rows: list[Row],
        save: Callable[[], None],
        report: Callable[[str], None],
        progress: Callable[[int, int], None],
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.rows = rows
        self.save = save
        self.report = report
        self.progress = progress

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Seeds dropout, and notes the learning rate, which changes at the end of an epoch, before the tests."""
        done = len(self.rows)
        seed_everything(int(np.random.SeedSequence((self.recipe.seed, done)).generate_state(1)[0]))
        self.row: Row = {"epoch": done + 1, "learning_rate": float(self.model._optimizer.get_lr())}
        self.loss = self.count = 0

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """Adds a batch up."""
        self._add(logs)
        self.progress(step + 1, self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The epoch's training is over."""
        self._record("train", logs)

    def on_eval_begin(self, logs: Any = None) -> None:
        """Begins to add up anew."""
        self.loss = self.count = 0

    def on_eval_batch_end(self, step: int, logs: Any = None) -> None:
        """Adds a batch up."""
        self._add(logs)

    def on_eval_end(self, logs: Any = None) -> None:
        """The row is whole."""
        self._record("test", logs)
        self.rows.append(self.row)
        self.save()
        row = self.row
        parts = [
            f"{part} loss {row[f'{part}_loss']:.4f} accuracy {row[f'{part}_accuracy']:.4f}"
            for part in ("train", "test")
        ]
        self.report(
            f"epoch {row['epoch']}/{self.recipe.epochs} learning rate {row['learning_rate']:g}: {', '.join(parts)}"
        )

    def _add(self, logs: Mapping[str, Any]) -> None:
        loss = float(logs["loss"][0])
        if not math.isfinite(loss):
            raise InputError(f"epoch {self.row['epoch']}: the loss is {loss}, expected a number; lower --learning_rate")
        self.loss += loss * logs["batch_size"]
        self.count += logs["batch_size"]

    def _record(self, part: str, logs: Mapping[str, Any]) -> None:
        self.row[f"{part}_loss"] = self.loss / self.count
        self.row[f"{part}_accuracy"] = float(logs["acc"])
