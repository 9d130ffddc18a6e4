"""eval.py with ensembles, a validation list, a disclaimer, training images in the test list, and a report."""

import csv
import json
import re

import numpy as np
import pytest
from conftest import make_folder

import eval as eval_script
from chexnet import model
from chexnet.config import EvalConfig
from chexnet.data.audit import KEY, fingerprint
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.evaluation.report import class_scores
from chexnet.files import sha256
from chexnet.inference.engines import EngineSpec
from chexnet.inference.thresholds import read_thresholds
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.model import checkpoint
from chexnet.model.feature_grid import FeatureGrid

CROP = 32


class _Network:
    """Network without class maps whose predictions depend on the number in its file name."""

    supports_cam = False
    out_size = 14
    grid = FeatureGrid(32, 0)

    def __init__(self, opened: model.Checkpoint) -> None:
        self.shift = int(str(opened.path)[-len("0.pdparams")])


class _Engine:
    """Engine that returns bytes of each crop as probabilities; the network selects the bytes."""

    preferred_batch_size = 20

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def predict(self, crops: np.ndarray) -> np.ndarray:
        pixels = crops.reshape(len(crops), -1)[:, 37 * self.shift :][:, :14]
        return (pixels.astype(np.float32) + 1) / 257


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Make a test list of 12 images, two validation lists and three checkpoints, and return their folder.

    Reports have few resamples, because no test checks their intervals.
    """
    monkeypatch.setattr(class_scores, "REPLICATES", 20)
    monkeypatch.setattr(model.Checkpoint, "build_network", lambda opened: _Network(opened))
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _Engine(network.shift))
    make_folder(tmp_path, 12, "test.txt")
    make_folder(tmp_path, 10, "val.txt")
    (tmp_path / "half.txt").write_text((tmp_path / "val.txt").read_text().replace("1\n", "0\n"))  # no Hernia
    for number in range(3):
        path = tmp_path / f"model{number}.pdparams"
        checkpoint.save_weights({"w": np.full(1, number)}, path)
        checkpoint.write_metadata_file(path, {"resize": 40, "crop": CROP})
    return tmp_path


def flags(data, *ckpts: int, **paths: str) -> list[str]:
    arguments = ["--data_dir", str(data / "images"), "--test_list", str(data / "test.txt"), "--device", "cpu"]
    arguments += ["--crops", "1", "--ckpt", *(str(data / f"model{number}.pdparams") for number in ckpts)]
    return arguments + [part for name, value in paths.items() for part in (f"--{name}", str(data / value))]


def config(data, *ckpts: int, val_list: str | None = None) -> EvalConfig:
    first, *others = (str(data / f"model{number}.pdparams") for number in ckpts)
    return EvalConfig(
        data_dir=str(data / "images"),
        test_list=str(data / "test.txt"),
        ckpt=first,
        crops=1,
        device="cpu",
        ensemble=tuple(others),
        val_list=val_list and str(data / val_list),
    )


def test_an_ensemble_averages_its_members(data):
    alone = [evaluate(config(data, number)) for number in range(3)]
    ensemble = evaluate(config(data, 0, 1, 2))
    assert not np.array_equal(alone[0].probabilities, alone[1].probabilities)
    expected = np.mean([result.probabilities for result in alone], axis=0)
    np.testing.assert_allclose(ensemble.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(ensemble.aurocs, class_aurocs(ensemble.labels, ensemble.probabilities))
    for member, result in zip(ensemble.members, alone, strict=True):
        np.testing.assert_array_equal(member.aurocs, result.aurocs)
    np.testing.assert_array_equal(evaluate(config(data, 1)).probabilities, alone[1].probabilities)


def test_the_spread_is_printed_and_written(data, capsys):
    assert eval_script.main(flags(data, 0, 1, 2, output_json="r.json", output_csv="p.csv")) == 0
    lines = capsys.readouterr().out.splitlines()
    content = json.loads((data / "r.json").read_text())
    means = [member["mean"]["auroc"] for member in content["members"]]
    sd = np.std(means, ddof=1)
    assert content["spread"]["mean"]["auroc_sd"] == pytest.approx(sd)
    mass = [member["classes"]["Mass"]["auroc"] for member in content["members"]]
    assert content["spread"]["classes"]["Mass"]["auroc_sd"] == pytest.approx(np.std(mass, ddof=1))
    summary = f"{np.mean(means):.4f}, standard deviation {sd:.4f}"
    assert sum(line.endswith(summary) and " 3 checkpoints" in line for line in lines) == 1
    assert f"  Mass                {np.mean(mass):.4f}, standard deviation {np.std(mass, ddof=1):.4f}" in lines
    assert [member["ckpt"] for member in content["members"]] == [
        str(data / f"model{number}.pdparams") for number in range(3)
    ]
    assert len({member["sha256"] for member in content["members"]}) == 3
    rows = list(csv.DictReader((data / "p.csv").open()))
    assert len(rows) == 12


def test_a_single_checkpoint_has_no_members(data, capsys):
    assert eval_script.main(flags(data, 0, output_json="r.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:5] == [
        "=> 1 crop of 32 px from 40 px",
        "=> loading checkpoint",
        "=> loaded checkpoint",
        "The final AUROCs:",
    ]
    assert lines[-1].startswith("The AUROC of Hernia is ")
    assert not {"members", "spread"} & json.loads((data / "r.json").read_text()).keys()


def test_each_member_has_its_own_preprocessing(data):
    checkpoint.write_metadata_file(data / "model1.pdparams", {"resize": 48, "crop": CROP})
    ensemble = evaluate(config(data, 0, 1))
    alone = [evaluate(config(data, number)).probabilities for number in range(2)]
    np.testing.assert_allclose(ensemble.probabilities, np.mean(alone, axis=0), rtol=1e-6)
    assert [member.preprocessing.resize for member in ensemble.members] == [40, 48]


def test_the_last_member_is_checked_before_the_first_is_scored(data, monkeypatch):
    checkpoint.write_metadata_file(data / "model2.pdparams", {"resize": 40, "crop": 9})
    monkeypatch.setattr(EngineSpec, "compile", lambda *_: pytest.fail("computed"))
    with pytest.raises(InputError, match=r"model2\.json: crop 9"):
        evaluate(config(data, 0, 1, 2))


def test_the_disclaimer_is_printed_and_written(data, capsys):
    checkpoint.write_metadata_file(data / "model0.pdparams", {"resize": 40, "crop": CROP, "notice": "of phantoms only"})
    assert eval_script.main(flags(data, 0, output_json="r.json", output_dir="rep")) == 0
    assert f"=> {data / 'model0.pdparams'}: of phantoms only" in capsys.readouterr().out.splitlines()
    assert json.loads((data / "r.json").read_text())["notice"] == "of phantoms only"
    assert '<p class="notice">of phantoms only</p>' in (data / "rep" / "report.html").read_text()


def test_training_images_in_the_test_list_are_counted(data, capsys):
    trained = [f"test_{index:03d}.png" for index in range(5)] + ["elsewhere.png"]
    metadata = {"resize": 40, "crop": CROP, KEY: fingerprint(trained)}
    checkpoint.write_metadata_file(data / "model0.pdparams", metadata)
    assert eval_script.main(flags(data, 0, output_json="r.json", output_dir="rep")) == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("=> warning: ")]
    path, _, overlap = warning.removeprefix("=> warning: ").partition(": ")
    assert path == str(data / "test.txt")
    assert re.search(r"\b5 of .*\b12 images", overlap)
    assert json.loads((data / "r.json").read_text())["seen"]["images"] == 5
    assert overlap in (data / "rep" / "report.html").read_text()
    found = json.loads((data / "rep" / "metrics.json").read_text())
    assert found["run"]["seen"]["images"] == 5
    checkpoint.write_metadata_file(data / "model0.pdparams", {**metadata, KEY: fingerprint(["elsewhere.png"])})
    assert eval_script.main(flags(data, 0)) == 0
    assert "=> warning" not in capsys.readouterr().out


def test_the_report_has_thresholds_from_the_validation_list(data, capsys):
    assert eval_script.main(flags(data, 0, output_dir="rep", val_list="val.txt", output_csv="p.csv")) == 0
    ckpt = data / "model0.pdparams"
    found = read_thresholds(data / "rep" / "thresholds.json", sha256(ckpt))
    assert found.chosen.endswith("on val.txt, 1 crop")
    known = (found.validation_list, found.validation_images, found.validation_sha256)
    assert known == ("val.txt", 10, sha256(data / "val.txt"))
    validation = evaluate(config(data, 0, val_list="val.txt")).validation
    assert validation.names == tuple(f"val_{index:03d}.png" for index in range(10))
    column = CLASS_NAMES.index("Mass")
    assert found.points["Mass"].threshold in validation.probabilities[:, column].tolist()
    ckpt.write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"thresholds\.json.*SHA-256"):
        read_thresholds(data / "rep" / "thresholds.json", sha256(ckpt))
    assert (data / "rep" / "predictions.csv").read_text() == (data / "p.csv").read_text()
    content = json.loads((data / "rep" / "metrics.json").read_text())
    assert content["run"]["sha256"].keys() == {"ckpt", "test_list", "val_list"}
    assert content["operating_points"]["images"] == 10
    assert capsys.readouterr().out.splitlines()[-1] == f"=> report: {data / 'rep' / 'report.html'}"


@pytest.mark.parametrize(("ckpts", "val_list", "reason"), [
    ((0,), "half.txt", "for Hernia"),
    ((0, 1), "val.txt", "ensemble"),
])  # fmt: skip
def test_missing_thresholds_are_explained(data, capsys, ckpts, val_list, reason):
    assert eval_script.main(flags(data, *ckpts, output_dir="rep", val_list=val_list)) == 0
    assert not (data / "rep" / "thresholds.json").exists()
    assert reason in capsys.readouterr().out


def test_skipped_images_of_both_lists_are_reported(data, capsys):
    make_folder(data, 150, "test.txt")
    make_folder(data, 120, "val.txt")
    for name in ("test_007.png", "val_011.png"):
        (data / "images" / name).unlink()
    assert eval_script.main([*flags(data, 0, output_dir="rep", val_list="val.txt"), "--on_bad_image", "skip"]) == 0
    output = capsys.readouterr().out
    for name, path in (("test_007.png", "test.txt"), ("val_011.png", "val.txt")):
        assert f"{data / path}: 1 image " in output
        assert f"{data / path}: {name}, " in output
    content = json.loads((data / "rep" / "metrics.json").read_text())
    assert [content["run"][key][0]["line"] for key in ("skipped", "validation_skipped")] == [8, 12]


def test_invalid_flags_are_errors_before_any_computation(data, monkeypatch, capsys):
    monkeypatch.setattr(EngineSpec, "compile", lambda *_: pytest.fail("computed"))
    assert eval_script.main(flags(data, 0, val_list="val.txt")) == 2
    assert eval_script.main(flags(data, 0, output_dir="images")) == 2
    assert eval_script.main(flags(data, 0, output_dir="rep", val_list="test.txt")) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: --val_list: ")
    assert "--output_dir" in errors[0]
    assert f"{data / 'images'}: " in errors[1]
    assert f"{data / 'test.txt'}: " in errors[2]
