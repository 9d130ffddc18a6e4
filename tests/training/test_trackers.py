"""Trackers: what they are given, and VisualDL's file read back."""

import csv
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.metrics import auroc
from chexnet.training import resume, train
from chexnet.training.tracker_callback import PACKAGES, ROC_POINTS, check_installed, contact_sheet, roc_points


def history(save_dir: str) -> list[dict[str, float]]:
    with (Path(save_dir) / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_visualdl_has_the_history_the_roc_curves_and_a_contact_sheet(small_run):
    visualdl = pytest.importorskip("visualdl", reason="VisualDL is not installed")
    config = small_run(logger="visualdl")
    train(config)
    (written,) = (Path(config.save_dir) / "visualdl").iterdir()
    reader = visualdl.LogReader(file_path=str(written))
    rows = history(config.save_dir)
    for name in rows[0].keys() - {"epoch"}:
        records = reader.get_data("scalar", name) if not np.isnan(rows[0][name]) else []
        expected = [row[name] for row in rows if not np.isnan(row[name])]
        assert [record.value for record in records] == pytest.approx(expected)
        assert [record.id for record in records] == [1, 2][: len(expected)]
    for name in ("Atelectasis", "Pleural_Thickening"):
        curves = [record.roc_curve for record in reader.get_data("roc_curve", f"ROC_{name}")]
        for curve, row in zip(curves, rows, strict=True):
            area = np.trapezoid(curve.tpr, curve.fpr) if hasattr(np, "trapezoid") else np.trapz(curve.tpr, curve.fpr)
            assert area == pytest.approx(row[f"val_AUROC_{name}"])
            assert curve.TP[-1] == curve.FP[-1] == 3
    assert not reader.get_data("roc_curve", "ROC_Hernia")  # the validation list has no positives
    assert len(reader.get_data("image", "training_crops")) == 2


class Recorder:
    """Stands in for the clients of TensorBoard and of Weights & Biases."""

    def __init__(self, *arguments, **settings) -> None:
        self.settings, self.scalars, self.closed = settings, [], False
        Recorder.last = self

    def add_scalar(self, name, value, step):
        self.scalars.append((step, name, value))

    def log(self, values, step):
        self.scalars += [(step, name, value) for name, value in values.items()]

    def flush(self):
        pass

    def close(self):
        self.closed = True

    finish = close


@pytest.mark.parametrize("logger", ["tensorboard", "wandb"])
def test_other_trackers_are_given_each_quantity_of_the_history(small_run, monkeypatch, logger):
    client = types.ModuleType(PACKAGES[logger])
    client.__spec__ = types.SimpleNamespace(name=PACKAGES[logger])
    client.SummaryWriter = client.init = Recorder
    monkeypatch.setitem(sys.modules, PACKAGES[logger], client)
    config = small_run(logger=logger, save_every_steps=4, keep_states=99)
    train(config)
    recorded = Recorder.last
    expected = [
        (row["epoch"], name, pytest.approx(value))
        for row in history(config.save_dir)
        for name, value in row.items()
        if name != "epoch" and not np.isnan(value)
    ]
    assert recorded.scalars == expected
    assert recorded.closed
    if logger == "wandb":
        assert recorded.settings["config"]["batch_size"] == 2
    resume(Path(config.save_dir) / "after_epoch_01_step_000004.state", {"save_dir": f"{config.save_dir}-resumed"})
    assert {step for step, _, _ in Recorder.last.scalars} == {2}


@pytest.mark.parametrize("logger", PACKAGES)
def test_a_missing_tracker_is_named_with_the_command_that_installs_it(small_run, monkeypatch, logger):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = small_run(logger=logger)
    with pytest.raises(InputError, match=rf"--logger {logger}: .*pip install {PACKAGES[logger]}"):
        train(config)
    assert not Path(config.save_dir).exists()
    check_installed("none")


@given(labels=st.lists(st.booleans(), min_size=2, max_size=300), seed=st.integers(0, 99), levels=st.integers(1, 400))
def test_the_points_of_a_roc_curve_have_its_area(labels, seed, levels):
    labels = np.array([True, False, *labels], np.uint8)
    scores = np.random.default_rng(seed).integers(0, levels, len(labels)) / levels
    points = roc_points(labels, scores)
    assert points["tpr"][0] == points["fpr"][0] == 0
    assert points["tpr"][-1] == points["fpr"][-1] == 1
    assert len(points["tpr"]) <= ROC_POINTS
    steps = np.diff(points["fpr"]) * (np.array(points["tpr"])[1:] + np.array(points["tpr"])[:-1]) / 2
    whole = min(len(labels), len(set(scores.tolist())) + 1) <= ROC_POINTS
    assert steps.sum() == pytest.approx(auroc(labels, scores), abs=1e-9 if whole else 0.03)
    for counts in zip(*(points[name] for name in ("tp", "fp", "tn", "fn")), strict=True):
        assert sum(counts) == len(labels)


def test_a_contact_sheet_has_the_first_crops_of_the_epoch_in_rows(folder):
    images, list_file = folder(7)
    dataset = ChestXrayDataSet(images, list_file, "train", Preprocessing(40, 32))
    loader = BatchLoader(dataset, 3, shuffle=True, workers=0)
    sheet = contact_sheet(loader)
    assert sheet.shape == (128, 128)
    sixth = loader.order()[5]
    np.testing.assert_array_equal(sheet[32:64, 32:64], dataset[sixth][0][0])
    assert not sheet[64:].any()
