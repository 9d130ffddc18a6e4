"""Runs that end before their last epoch: numbers that are not finite, and an AUROC that no longer improves."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from miniature import Miniature
from paddle.callbacks import Callback

from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.training import checkpoint_callback, resume, run_state, train, training_callbacks


@pytest.mark.parametrize(
    ("calls", "where", "batch", "good"),
    [
        (6, "epoch 1, validation step 1", r"val0\.png, val1\.png", "after_epoch_00_step_000006.state"),
        (11, "epoch 2, step 3", r"train\d+\.png, train\d+\.png", "after_epoch_01_step_000002.state"),
    ],
)
def test_a_diverging_network_ends_the_run_with_step_images_and_last_state(
    small_run, monkeypatch, calls, where, batch, good
):
    healthy, count = Miniature.classify, iter(range(100))
    monkeypatch.setattr(
        Miniature,
        "classify",
        lambda self, features: healthy(self, features) * (math.nan if next(count) == calls else 1.0),
    )
    with pytest.raises(InputError, match=rf"{where}: .*\bnan\b.* 0\.0\d+, .*{batch};.*{good}"):
        train(small_run(save_every_steps=2))


def test_the_state_before_a_loss_that_is_not_finite_is_good(small_run, monkeypatch):
    """The images in the message are those of the batch, and the last good state can be resumed."""
    config = small_run(save_every_steps=1)
    healthy, calls = Miniature.classify, []

    def diverging(self, features):
        calls.append(features)
        return healthy(self, features) * (math.nan if len(calls) == 5 else 1.0)

    monkeypatch.setattr(Miniature, "classify", diverging)
    with pytest.raises(InputError) as caught:
        train(config)
    dataset = ChestXrayDataSet(config.data_dir, config.train_list, "train", Preprocessing(40, 32), config.seed)
    loader = BatchLoader(dataset, 2, shuffle=True, workers=0)
    assert ", ".join(loader.names(4)) in str(caught.value)
    newest = Path(config.save_dir) / "after_epoch_00_step_000004.state"
    assert str(newest) in str(caught.value)
    assert all(np.isfinite(value).all() for value in run_state.load(newest).weights.values())
    monkeypatch.setattr(Miniature, "classify", healthy)
    assert len(resume(newest, {}).history) == 2


def test_weights_that_are_not_finite_are_never_saved(small_run, monkeypatch):
    """The loss may be finite while the statistics of batch norm are not."""
    config = small_run()
    healthy = Miniature.classify

    def breaking(self, features):
        logits = healthy(self, features)
        self.norm._mean.set_value(np.full(8, math.nan, np.float32))
        return logits

    monkeypatch.setattr(Miniature, "classify", breaking)
    with pytest.raises(InputError, match=r"1 weights .*norm\._mean.*after_epoch_00\.state"):
        train(config)
    assert [path.name for path in run_state.paths(Path(config.save_dir))] == ["after_epoch_00.state"]


def test_early_stopping_keeps_the_best_epoch(small_run, monkeypatch):
    aurocs = iter([0.6, math.nan, 0.7, *[0.65] * 20])
    monkeypatch.setattr(checkpoint_callback, "draw_curves", lambda rows, path: None)
    original = training_callbacks.BestModel.on_eval_end
    monkeypatch.setattr(
        training_callbacks.BestModel,
        "on_eval_end",
        lambda self, logs: original(self, {**logs, "AUROC_avg": next(aurocs)}),
    )
    logged: list[str] = []
    config = small_run(epoch=30)
    result = train(config, logged.append)
    assert (result.best_epoch, result.best_auroc) == (3, 0.7)
    assert len(result.history) == 3 + config.early_stopping
    assert checkpoint.read_metadata_file(result.best_model)["epoch"] == 3
    assert "early stopping" in logged[-1]
    logged.clear()
    assert len(resume(None, {"save_dir": config.save_dir}, log=logged.append).history) == 3 + config.early_stopping


def test_steps_skipped_by_the_loss_scaler_are_counted(monkeypatch):
    progress = run_state.TrainProgress()
    counting = training_callbacks.AmpSkipCounter(progress, print)
    states = iter([
        {"scale": 8.0, "decr_count": 0},  # before the first step
        {"scale": 8.0, "decr_count": 0},  # not skipped
        {"scale": 8.0, "decr_count": 1},  # skipped, the scale is unchanged
        {"scale": 4.0, "decr_count": 0},  # skipped, the scale falls
        {"scale": 8.0, "decr_count": 0},  # not skipped, the scale rises
    ])  # fmt: skip
    counting.model = SimpleNamespace(scaler=SimpleNamespace(state_dict=lambda: next(states)))
    counting.on_train_begin()
    for _ in range(4):
        counting.on_train_batch_end(0)
    assert progress.skipped_steps == 2


def test_exhausted_memory_is_one_line_that_names_the_flags(small_run):
    class Exhausted(Callback):
        def on_train_batch_begin(self, step, logs=None):
            raise MemoryError("ResourceExhaustedError: \n\nOut of memory error on GPU 0. Cannot allocate 1.5GB memory")

    with pytest.raises(
        InputError, match=r"memory for a step of 2 images: .*--batch_size.*--accumulate.*--amp"
    ) as caught:
        train(small_run(), callbacks=[Exhausted()])
    assert "\n" not in str(caught.value)
