"""Runs of the miniature network with the flags of recipes: exact on resume, and as their definitions say."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import load_script
from faults.nursery import assert_same_outcome
from paddle.callbacks import Callback

from chexnet.config import RECIPE_NAMES, TrainConfig
from chexnet.config.training_recipes import FIELDS, RECIPES, recipe_config
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.training import resume, run_state, train

COMBINATIONS = {
    "chexnet": {"schedule": "plateau", "patience": 0, "select": "loss"},
    "zoogzog": {"augment": "resized_crop", "weight_decay": 0.1, "schedule": "plateau", "select": "loss"},
    "modern": {
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "augment": "resized_crop",
        "ema": 0.9,
    },
    "weighted": {
        "loss": "weighted_bce",
        "optimizer": "sgd",
        "augment": "affine",
        "no_flip": True,
        "clip_grad_norm": 0.1,
    },
    "frozen": {"loss": "focal", "freeze_backbone": 1, "ema": 0.5, "accumulate": 2, "schedule": "plateau"},
    "asl": {"loss": "asl", "warmup_epochs": 1, "optimizer": "adamw", "schedule": "plateau", "patience": 0},
}


class Watch(Callback):
    """Remember the weights and the learning rate after every step, and the gradients' effect on the backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[dict[str, np.ndarray]] = []
        self.rates: list[float] = []

    def on_train_begin(self, logs=None):
        self.weights.append(self._state())

    def on_train_batch_end(self, step, logs=None):
        self.weights.append(self._state())
        self.rates.append(self.model.optimizer.get_lr())

    def _state(self):
        return {name: value.numpy() for name, value in self.model.network.state_dict().items()}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_run_resumed_from_any_point_ends_with_the_same_bytes(small_run, tmp_path, name):
    config = small_run(epoch=3, save_every_steps=4, keep_states=99, **COMBINATIONS[name])
    train(config)
    states = [path for path in run_state.paths(Path(config.save_dir)) if "step" in path.name]
    assert len(states) == 3
    for state in states:
        folder = tmp_path / state.stem
        resume(state, {"save_dir": str(folder)})
        assert_same_outcome(folder, Path(config.save_dir))


def test_the_average_is_the_moving_average_of_the_weights_and_is_what_is_saved(small_run):
    watch, config = Watch(), small_run(ema=0.8, keep_states=99)
    train(config, callbacks=[watch])
    average = {name: value.astype(np.float64) for name, value in watch.weights[0].items()}
    for step, weights in enumerate(watch.weights[1:], start=1):
        decay = min(0.8, step / (step + 9))
        average = {name: decay * value + (1 - decay) * weights[name] for name, value in average.items()}
    final = checkpoint.read_weights(Path(config.save_dir) / "final.pdparams")
    for name, value in average.items():
        np.testing.assert_allclose(final[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
        assert not np.array_equal(final[name], watch.weights[-1][name]), name
    states = [run_state.load(path) for path in run_state.paths(Path(config.save_dir))]
    for name, value in watch.weights[-1].items():
        np.testing.assert_array_equal(states[-1].weights[name], value)  # training continues with the weights themselves
    best = checkpoint.read_weights(Path(config.save_dir) / "best_model.pdparams")
    of_best = states[states[-1].progress.best_epoch].average
    for name, value in of_best.items():
        np.testing.assert_array_equal(best[name], value)
    final_file = Path(config.save_dir) / "final.pdparams"
    before = final_file.read_bytes()
    final_file.unlink()
    resume(Path(config.save_dir), {})  # nothing is left to train
    assert final_file.read_bytes() == before


def test_a_state_without_the_average_of_its_run_is_refused(small_run):
    config = small_run(ema=0.8)
    train(config)
    newest = run_state.paths(Path(config.save_dir))[-1]
    content = checkpoint.load(newest)
    checkpoint.save({**content, "average": {}}, newest)
    with pytest.raises(InputError, match="average is invalid"):
        resume(Path(config.save_dir), {})


def test_a_frozen_backbone_stays_as_it_is_with_its_statistics(small_run):
    watch, config = Watch(), small_run(epoch=2, freeze_backbone=1, optimizer="adamw", weight_decay=0.1)
    train(config, callbacks=[watch])
    first, frozen, last = watch.weights[0], watch.weights[6], watch.weights[-1]
    for name in first:
        assert np.array_equal(first[name], frozen[name]) is not name.startswith("densenet121.out."), name
        assert not np.array_equal(frozen[name], last[name]), name


def test_the_rate_of_a_run_rises_in_the_warm_up_and_the_history_has_that_of_the_first_step(small_run):
    watch, config = Watch(), small_run(epoch=3, warmup_epochs=1, decay_epochs=(2,), learning_rate=0.6)
    rows = train(config, callbacks=[watch]).history
    assert watch.rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, *[0.6] * 6, *[0.06] * 6])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.6, 0.06])


def test_plateau_follows_the_validation_loss_of_the_history(small_run):
    config = small_run(epoch=6, schedule="plateau", patience=0, learning_rate=0.3, select="loss")
    result = train(config)
    rate, best = 0.3, np.inf
    for row in result.history:
        assert row["learning_rate"] == pytest.approx(rate)
        if row["val_loss"] < best * (1 - 1e-4):
            best = row["val_loss"]
        else:
            rate *= 0.1
    assert rate < 0.3  # otherwise this test shows nothing
    losses = [row["val_loss"] for row in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    metadata = checkpoint.read_metadata_file(result.best_model)
    assert metadata["val_AUROC_avg"] == result.history[result.best_epoch - 1]["val_AUROC_avg"]


@pytest.mark.parametrize(("select", "early_stopping", "epochs"), [("loss", 2, 4), ("auroc", 3, 5), ("loss", 0, 6)])
def test_early_stopping_waits_for_the_chosen_number_of_epochs(small_run, monkeypatch, select, early_stopping, epochs):
    """The second epoch is made the best one."""
    from chexnet.training.training_callbacks import BestModel

    monkeypatch.setattr(BestModel, "_is_better", lambda self, loss, auroc: self.progress.epoch == 2)
    config = small_run(epoch=6, select=select, early_stopping=early_stopping)
    result = train(config)
    assert (len(result.history), result.best_epoch) == (epochs, 2)


def test_weighted_training_prints_its_weights_and_leaves_a_notice(small_run):
    logged: list[str] = []
    result = train(small_run(loss="weighted_bce"), log=logged.append)
    assert any("Atelectasis 0.5000/0.5000" in line for line in logged)
    metadata = checkpoint.read_metadata_file(result.best_model)
    assert metadata["loss"] == "weighted_bce"
    assert metadata["class_weights"]["Hernia"] == {"positive": 0.5, "negative": 0.5}
    assert "not calibrated" in metadata["notice"]


def test_recipes_are_known_by_their_names_and_settings_are_fields():
    assert tuple(RECIPES) == RECIPE_NAMES
    assert recipe_config() == TrainConfig()
    for name, recipe in RECIPES.items():
        assert recipe.settings.keys() <= set(FIELDS)
        config = recipe_config(name, batch_size=7)
        assert {**vars(TrainConfig()), **recipe.settings, "recipe": name, "batch_size": 7} == vars(config)
    with pytest.raises(InputError, match=r"'chexnext', expected one of paddle-chexnet, chexnet, zoogzog"):
        recipe_config("chexnext")


def test_a_run_prints_its_recipe_and_what_overrides_it(small_run):
    logged: list[str] = []
    config = small_run(recipe="zoogzog", schedule="plateau", select="loss", weight_decay=1e-5, augment="resized_crop")
    train(config, log=logged.append)
    (recipe,) = (line for line in logged if line.startswith("=> recipe zoogzog: "))
    (overrides,) = (line for line in logged if line.startswith("=> overrides of the recipe: "))
    assert "batch_size 2, " in recipe
    assert "batch_size 2 (recipe: 16)" in overrides
    assert "weight_decay" not in overrides
    stored = (Path(config.save_dir) / "config.json").read_text()
    assert '"recipe": "zoogzog"' in stored


def test_every_flag_of_a_recipe_can_be_overridden():
    parser = load_script("train.py").build_parser()
    for recipe in RECIPES.values():
        for name in recipe.settings:
            default = getattr(TrainConfig, name)
            explicit = parser.explicit_args([f"--{name}", "off" if default is None else str(default)])
            assert explicit == {name: default}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 2}, r"--warmup_epochs 2: expected fewer than --epoch 2"),
        ({"loss": "hinge"}, r"loss is 'hinge'.*bce, weighted_bce, focal, asl"),
        ({"ema": 1.0}, r"ema is 1\.0, which --ema does not take"),
        ({"ema": 0}, r"ema is 0"),
        ({"clip_grad_norm": -1.0}, r"clip_grad_norm is -1\.0"),
        ({"no_flip": 1}, r"no_flip is 1"),
    ],
)
def test_an_impossible_configuration_is_one_line(small_run, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        train(small_run(**changes))
    assert "\n" not in str(caught.value)


def test_a_loss_or_an_augmentation_that_would_be_ignored_is_refused(small_run):
    with pytest.raises(InputError, match="loss: replaces --loss focal"):
        train(small_run(loss="focal"), loss=lambda logits, labels: logits.mean())
    for name in ("augment", "no_flip"):
        changes = {"augment": "affine"} if name == "augment" else {"no_flip": True}
        with pytest.raises(InputError, match=f"--{name}"):
            train(small_run(**changes), train_set=[])


def test_a_cosine_cannot_be_made_longer(small_run):
    config = small_run(schedule="cosine")
    train(config)
    with pytest.raises(InputError, match=r"epoch 2 \(now 3\); leave these flags out"):
        resume(Path(config.save_dir), {"epoch": 3}, force=True)


def test_every_recipe_trains(small_run):
    """With sizes for the miniature network; a resumed run keeps its recipe."""
    for name in RECIPE_NAMES:
        base = {field.name: getattr(small_run(), field.name) for field in dataclasses.fields(TrainConfig)}
        sizes = {
            key: base[key] for key in ("resize", "crop", "batch_size", "init", "num_workers", "device", "data_dir")
        }
        lists = {key: base[key] for key in ("train_list", "val_list")}
        folder = f"{base['save_dir']}-{name}"
        config = recipe_config(name, **sizes, **lists, save_dir=folder, epoch=6, keep_states=1)
        assert len(train(config).history) >= 1
        assert resume(Path(folder), {}).config.recipe == name
