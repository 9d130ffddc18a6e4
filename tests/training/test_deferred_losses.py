"""On a GPU, losses and probabilities stay there until they are used. Here the CPU replaces it."""

import csv
import math
from pathlib import Path

import numpy as np
import paddle
import pytest
from miniature import Miniature
from paddle.callbacks import Callback

from chexnet.config import TrainConfig
from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.training import resume, run_state, train, training_callbacks
from chexnet.training.training_step import TrainingModel

LOGGED = 3
"""Steps between two log lines in these tests; the steps of an epoch are 1 to 6, those of a validation 1 to 3."""


@pytest.fixture
def deferred(monkeypatch):
    """Defer losses as on a GPU; returns the numbers of losses that were fetched at once."""
    fetched = []
    original_init, original_take = TrainingModel.__init__, TrainingModel.take_losses

    def init(self, *args):
        original_init(self, *args)
        self.fetch_always = False

    def take(self):
        losses = original_take(self)
        fetched.append(len(losses))
        return losses

    monkeypatch.setattr(TrainingModel, "__init__", init)
    monkeypatch.setattr(TrainingModel, "take_losses", take)
    monkeypatch.setattr(training_callbacks, "LOG_FREQUENCY", LOGGED)
    return fetched


class Shown(Callback):
    """Records the loss that Paddle gives to callbacks."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, step, logs=None):
        self.losses.append(logs["loss"][0])


def outcome(folder: Path) -> tuple[bytes, list[dict[str, str]], tuple[object, ...]]:
    """Return the final weights, the history without times, and the state of the metric and the losses."""
    rows = [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in csv.DictReader((folder / "history.csv").open(encoding="utf-8"))
    ]
    progress = run_state.newest(folder, print)[1].progress
    return (folder / "final.pdparams").read_bytes(), rows, (progress.loss_sum, progress.samples, progress.best_epoch)


def test_a_run_is_the_same_whenever_its_losses_are_fetched(small_run, tmp_path, request):
    immediate, shown = small_run(save_dir=str(tmp_path / "immediate")), Shown()
    train(immediate, callbacks=[shown])
    fetched = request.getfixturevalue("deferred")
    late, shown_late = small_run(save_dir=str(tmp_path / "deferred"), save_every_steps=4, keep_states=9), Shown()
    train(late, callbacks=[shown_late])
    assert outcome(tmp_path / "deferred") == outcome(tmp_path / "immediate")
    # Steps 1-3 and 4-6, of which the state saved after step 4 fetches one; then the three of the validation.
    assert [count for count in fetched if count] == [3, 1, 2, 3] * 2
    losses = np.array(shown_late.losses)
    np.testing.assert_array_equal(np.isnan(losses).reshape(2, 6), [[True, True, False] * 2] * 2)
    np.testing.assert_array_equal(losses[2::3], np.array(shown.losses)[2::3])

    resume(tmp_path / "deferred/after_epoch_00_step_000004.state", {"save_dir": str(tmp_path / "resumed")})
    assert outcome(tmp_path / "resumed") == outcome(tmp_path / "immediate")


@pytest.mark.parametrize(
    ("calls", "every", "where", "newest"),
    [
        (1, 0, "epoch 1, step 2", "after_epoch_00.state"),  # noticed in step 3, the next one that is logged
        (1, 2, "epoch 1, step 2", "after_epoch_00.state"),  # noticed before the state of step 2 is saved
        (3, 2, "epoch 1, step 4", "after_epoch_00_step_000002.state"),
        (7, 0, "epoch 1, validation step 2", "after_epoch_00.state"),
    ],
)
def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved(
    small_run, deferred, monkeypatch, calls, every, where, newest
):
    """The message names the step and the images of the batch, although later steps have run."""
    config: TrainConfig = small_run(save_every_steps=every, keep_states=9)
    healthy, done = Miniature.classify, []

    def diverging(self, features):
        done.append(features)
        return healthy(self, features) * (math.nan if len(done) == calls + 1 else 1.0)

    monkeypatch.setattr(Miniature, "classify", diverging)
    with pytest.raises(InputError, match=f"{where}: the loss is nan .*{newest}") as caught:
        train(config)
    if "validation" not in where:
        dataset = ChestXrayDataSet(config.data_dir, config.train_list, "train", Preprocessing(40, 32), config.seed)
        assert ", ".join(BatchLoader(dataset, 2, shuffle=True, workers=0).names(calls)) in str(caught.value)
    for path in run_state.paths(Path(config.save_dir)):
        state = run_state.load(path)
        assert math.isfinite(state.progress.loss_sum)
        assert all(np.isfinite(value).all() for value in state.weights.values())


def test_probabilities_are_copied_when_the_metric_is_computed(small_run, deferred, monkeypatch):
    copied = []
    original = paddle.Tensor.numpy

    def recorded(self, *args):
        copied.append(self.shape)
        return original(self, *args)

    monkeypatch.setattr(paddle.Tensor, "numpy", recorded)
    config = small_run(epoch=1)

    counts = []

    class Counter(Callback):
        def on_train_batch_end(self, step, logs=None):
            counts.append(copied.count([2, 14]))

    train(config, callbacks=[Counter()])
    assert counts == [0, 0, 3, 3, 3, 6]


def test_gradients_are_released(small_run):
    """Setting them to zero is one kernel for each of the 364 parameters of DenseNet-121."""
    seen = []

    class Gradients(Callback):
        def on_train_batch_end(self, step, logs=None):
            seen.append({parameter.grad is None for parameter in self.model.network.parameters()})

    train(small_run(epoch=1), callbacks=[Gradients()])
    assert seen == [{True}] * 6
