"""An image classifier and its training with `paddle.Model` on images in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pictures
from epoch_recorder import EpochRecorder
from labeled_images import Images
from paddle import nn
from paddle.callbacks import LRScheduler
from paddle.optimizer import Momentum
from paddle.optimizer.lr import MultiStepDecay

from chexnet.errors import InputError
from chexnet.metrics.proportions import wilson
from chexnet.model import checkpoint
from chexnet.model.backbones import Backbone
from chexnet.training.epoch_history import Row, write_csv
from chexnet.training.seeding import seed_everything

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""uint8 [B, C, H, W] and a random generator -> the augmented images, of the same shape."""


class Batches:
    """Batches of images in memory, as `paddle.Model` takes them: uint8 [B, C, H, W] and int64 [B, 1].

    Args:
        images: the images.
        batch_size: images per batch; the last one may be smaller.
        seed: random seed of the augmentation and of the order, which is new in each pass; None keeps the order.
        epoch: number of passes already made.
        augment: augmentation of a batch, None for none.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        augment: Augment | None = None,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = epoch
        self.augment = augment

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng((self.seed or 0, self.epoch))
        self.epoch += 1
        order = np.arange(len(self.images)) if self.seed is None else rng.permutation(len(self.images))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            pixels = self.images.pixels[chosen]
            yield self.augment(pixels, rng) if self.augment else pixels, self.images.labels[chosen, None]


class Classifier(nn.Layer):
    """Images uint8 [N, C, H, W] -> logits float32 [N, K].

    For two classes the network may have one output, the logit of the second class. The logit of the first class is then
    0, so that softmax and cross-entropy equal the sigmoid and the binary cross-entropy of that output.

    Args:
        backbone: network that takes normalized images.
        mean: mean of pixels in 0..1; one number, or one per channel.
        std: standard deviation of pixels in 0..1; one number, or one per channel.
    """

    def __init__(self, backbone: Backbone, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.body = backbone  # the names in weight files begin with `body`
        self.mean, self.std = mean, std

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images uint8 [N, C, H, W] -> logits float32 [N, K]."""
        mean, std = (paddle.to_tensor(value, dtype="float32").reshape([1, -1, 1, 1]) for value in (self.mean, self.std))
        logits = self.body.classify(self.body.features((images.astype("float32") / 255.0 - mean) / std))
        return paddle.concat([paddle.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits

    def predict(self, pixels: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """uint8 [N, C, H, W] -> probabilities of the classes, float32 [N, K], in evaluation mode."""
        self.eval()
        with paddle.no_grad():
            batches = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
            return np.concatenate([nn.functional.softmax(self(paddle.to_tensor(batch))).numpy() for batch in batches])


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run. A resumed run must have the same ones.

    Attributes:
        network: name of the network, including its variant.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: learning rate of SGD before any decay.
        seed: random seed for initial weights, shuffling, augmentation and dropout.
        augment: whether the training images are augmented.
        momentum: momentum of SGD.
        weight_decay: L2 penalty on all parameters.
        decay_epochs: epochs after which the learning rate is multiplied by 0.1.
    """

    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    augment: bool = False
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_epochs: tuple[int, ...] = ()


def train(
    recipe: Recipe,
    build: Callable[[], Classifier],
    images: Images,
    tests: Images,
    state: Path,
    log: Callable[[str], object],
    progress: Callable[[int, int], object],
    augment: Augment | None = None,
) -> tuple[Classifier, list[Row]]:
    """Train a network, or resume a run after its last complete epoch.

    Args:
        recipe: settings of the run.
        build: function that returns the network with new random weights.
        images: training images.
        tests: images evaluated after each epoch; no decision depends on them.
        state: file for the state of the run after each epoch; if it exists, the run is resumed from it.
        log: receives one line per epoch.
        progress: receives the number of finished steps and of all steps of the epoch.
        augment: augmentation, used if `recipe.augment` is set.

    Returns:
        The network after the last epoch, and a row per epoch: `epoch`, `learning_rate`, and `loss` and `accuracy` (in
        0..1) after `train_` and `test_`.

    Raises:
        InputError: the state belongs to another run, or the loss is not finite.
    """
    seed_everything(recipe.seed)
    run = {
        "recipe": {**asdict(recipe), "decay_epochs": list(recipe.decay_epochs)},
        "images": images.sha256(),
        "tests": tests.sha256(),
    }
    with paddle.utils.unique_name.guard():
        network = build()
        schedule = MultiStepDecay(recipe.learning_rate, list(recipe.decay_epochs), 0.1)
        optimizer = Momentum(schedule, recipe.momentum, network.parameters(), weight_decay=recipe.weight_decay or None)
        model = paddle.Model(network)
        model.prepare(optimizer, nn.CrossEntropyLoss(), paddle.metric.Accuracy())
        rows = _restore(state, run, network, optimizer) if state.exists() else []
        if rows:
            log(f"=> {state}: resuming after epoch {len(rows)}")
        save = partial(_save, state, run, network, optimizer, rows)
        recorder = EpochRecorder(recipe.epochs, recipe.seed, rows, save, log, progress)
        if len(rows) < recipe.epochs:
            model.fit(
                Batches(images, recipe.batch_size, recipe.seed, len(rows), augment if recipe.augment else None),
                Batches(tests, recipe.batch_size),
                epochs=recipe.epochs - len(rows),
                verbose=0,
                callbacks=[
                    recorder,
                    LRScheduler(by_step=False, by_epoch=True),
                ],  # the default one would step after every batch
            )
    return network, rows


def run(
    recipe: Recipe,
    build: Callable[[], Classifier],
    images: Images,
    tests: Images,
    weights: Path,
    log: Callable[[str], object],
    progress: Callable[[int, int], object],
    augment: Augment | None = None,
) -> np.ndarray:
    """Train like `train` and write weights with metadata, `history.csv` and `curves.png` into one folder.

    Args:
        recipe: see `train`.
        build: see `train`.
        images: see `train`.
        tests: see `train`.
        weights: `.pdparams` file to write; if it exists, the run is finished.
        log: see `train`.
        progress: see `train`.
        augment: see `train`.

    Returns:
        Probabilities of the test images by the network after the last epoch, float32 [N, K].
    """
    state = weights.with_name("run.state")
    network, rows = train(recipe, build, images, tests, state, log, progress, augment)
    write_csv(rows, weights.with_name("history.csv"))
    pictures.draw_curves(rows, weights.with_name("curves.png"))
    probabilities = network.predict(tests.pixels)
    checkpoint.save_checkpoint(
        network.state_dict(), weights, asdict(recipe)
    )  # written last, because it marks a finished run
    state.unlink()
    return probabilities


def format_accuracies(labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]) -> str:
    """Return the accuracy over all test images and per class, with Wilson 95 % intervals, as lines of text."""

    def line(name: str, hits: list[bool]) -> str:
        low, high = wilson(sum(hits), len(hits))
        accuracy = 100 * sum(hits) / len(hits) if hits else float("nan")
        return f"{name:10} {accuracy:6.2f} % ({100 * low:.2f} to {100 * high:.2f}), {sum(hits)} of {len(hits)}"

    correct = [(int(label), bool(label == guess)) for label, guess in zip(labels, predicted, strict=True)]
    lines = [f"Accuracy on {len(correct)} test images, with 95 % intervals:", line("all", [hit for _, hit in correct])]
    lines += [line(name, [hit for label, hit in correct if label == index]) for index, name in enumerate(classes)]
    return "\n".join(lines)


def _save(state: Path, run: Mapping[str, Any], network: nn.Layer, optimizer: Momentum, rows: list[Row]) -> None:
    content = {"run": run, "weights": network.state_dict(), "optimizer": optimizer.state_dict(), "rows": rows}
    checkpoint.save(content, state)


def _restore(state: Path, run: Mapping[str, Any], network: nn.Layer, optimizer: Momentum) -> list[Row]:
    """Load the state into network and optimizer, and return the rows of the finished epochs."""
    content = checkpoint.load(state)
    if content.get("run") != run:
        raise InputError(
            f"{state}: belongs to a run with another recipe or other images, expected {run['recipe']}; choose "
            "another --save_dir"
        )
    checkpoint.load_state_dict(network, content["weights"], str(state))
    optimizer.set_state_dict(content["optimizer"])
    return content["rows"]
