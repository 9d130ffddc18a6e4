"""Configurations, table, plot and resuming of benchmarks/recipes.py, with runs that are not trained."""

import json

import pytest
from PIL import Image

from benchmarks import recipes
from benchmarks.recipes import DEFAULT, FLAGS, SCALED, VARIANTS, Run, config_of, draw, main, table
from chexnet.config import RECIPE_NAMES
from chexnet.config.training_recipes import recipe_config

RUNS = {DEFAULT: [Run(0.8, 0.2, 3, 10.0), Run(0.9, 0.3, 4, 20.0)], "--no_flip": [Run(0.7, 0.1, 1, 5.0)]}


def test_every_recipe_and_every_flag_has_the_same_budget():
    assert set(SCALED) == set(RECIPE_NAMES)
    for variant in VARIANTS:
        config = config_of(variant, 1, "folder")
        assert (config.epoch, config.seed, config.backbone, config.init) == (recipes.EPOCHS, 1, "small", "random")
        assert config.recipe == (variant if variant in RECIPE_NAMES else DEFAULT)
        expected = vars(recipe_config(config.recipe)) | FLAGS.get(variant, {})
        for name in ("optimizer", "loss", "schedule", "learning_rate", "batch_size", "ema", "augment", "no_flip"):
            assert getattr(config, name) == expected[name], (variant, name)
    folders = {config_of(variant, seed, "folder").save_dir for variant in VARIANTS for seed in range(3)}
    assert len(folders) == 3 * len(VARIANTS)


def test_the_table_has_means_and_spreads():
    *_, first, second = table(RUNS).splitlines()
    assert first == f"| {DEFAULT} | 0.8500 ± 0.0707 | 0.2500 ± 0.0707 | 15 |"
    assert second == "| `--no_flip` | 0.7000 | 0.1000 | 5 |"


def test_the_plot_is_a_picture(tmp_path):
    draw(RUNS, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size[0] == 1210


@pytest.fixture
def without_training(monkeypatch):
    """Runs give a number that depends on their seed. Returns the cells that were run."""
    cells = []

    def instead(function, variant, seed, folder):
        cells.append((variant, seed))
        return Run(0.5 + seed / 10, 0.1, 1, 1.0)

    monkeypatch.setattr(recipes, "in_subprocess", instead)
    monkeypatch.setattr(recipes, "_draw_phantoms", lambda folder: None)
    return cells


def test_runs_of_an_interrupted_comparison_are_not_repeated(tmp_path, without_training):
    prefix = str(tmp_path / "comparison")
    assert main(["--output_prefix", prefix, "--variants", DEFAULT, "--seeds", "2", "--jobs", "1"]) == 0
    assert main(["--output_prefix", prefix, "--variants", DEFAULT, "zoogzog", "--seeds", "2", "--jobs", "1"]) == 0
    assert without_training == [(DEFAULT, 0), (DEFAULT, 1), ("zoogzog", 0), ("zoogzog", 1)]
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert stored["runs"]["zoogzog"]["1"]["auroc"] == 0.6
    assert "zoogzog" in (tmp_path / "comparison.md").read_text()


def test_a_comparison_of_other_sizes_is_not_continued(tmp_path, without_training, monkeypatch, capsys):
    prefix = str(tmp_path / "comparison")
    assert main(["--output_prefix", prefix, "--variants", DEFAULT, "--seeds", "1"]) == 0
    monkeypatch.setattr(recipes, "EPOCHS", 3)
    assert main(["--output_prefix", prefix, "--variants", DEFAULT, "--seeds", "1"]) == 2
    assert "epochs" in capsys.readouterr().err
