"""eval.py with several checkpoints, a validation list, a notice, images that were trained on, and a report."""

import csv
import json

import numpy as np
import pytest
from conftest import make_folder

import eval as eval_script
from chexnet import model
from chexnet.config import EvalConfig
from chexnet.data.audit import KEY, fingerprint
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.files import sha256
from chexnet.inference.engines import EngineSpec
from chexnet.inference.thresholds import read_thresholds
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.model import checkpoint

CROP = 32


class _Network:
    """Stands in for a CheXNet: which file it is from tells how it looks at an image."""

    def __init__(self, opened: model.Checkpoint) -> None:
        self.shift = int(str(opened.path)[-len("0.pdparams")])


class _Engine:
    """Probabilities from the bytes of a crop, other ones for each network."""

    preferred_batch_size = 20

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def predict(self, crops: np.ndarray) -> np.ndarray:
        pixels = crops.reshape(len(crops), -1)[:, 37 * self.shift :][:, :14]
        return (pixels.astype(np.float32) + 1) / 257


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Flags for a test list of 12 images, with two validation lists and three checkpoints beside it."""
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


def flags(data, *ckpts: int, **more: str) -> list[str]:
    given = ["--data_dir", str(data / "images"), "--test_list", str(data / "test.txt"), "--device", "cpu"]
    given += ["--crops", "1", "--ckpt", *(str(data / f"model{number}.pdparams") for number in ckpts)]
    return given + [part for name, value in more.items() for part in (f"--{name}", str(data / value))]


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


def test_an_ensemble_is_the_mean_of_its_members(data):
    alone = [evaluate(config(data, number)) for number in range(3)]
    together = evaluate(config(data, 0, 1, 2))
    assert not np.array_equal(alone[0].probabilities, alone[1].probabilities)
    expected = np.mean([one.probabilities for one in alone], axis=0)
    np.testing.assert_allclose(together.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(together.aurocs, class_aurocs(together.labels, together.probabilities))
    for member, one in zip(together.members, alone, strict=True):
        np.testing.assert_array_equal(member.aurocs, one.aurocs)
    np.testing.assert_array_equal(evaluate(config(data, 1)).probabilities, alone[1].probabilities)


def test_the_spread_is_printed_and_written(data, capsys):
    assert eval_script.main(flags(data, 0, 1, 2, output_json="r.json", output_csv="p.csv")) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads((data / "r.json").read_text())
    means = [one["mean"]["auroc"] for one in facts["members"]]
    sd = np.std(means, ddof=1)
    assert facts["spread"]["mean"]["auroc_sd"] == pytest.approx(sd)
    mass = [one["classes"]["Mass"]["auroc"] for one in facts["members"]]
    assert facts["spread"]["classes"]["Mass"]["auroc_sd"] == pytest.approx(np.std(mass, ddof=1))
    line = f"Each alone, average AUROC: {np.mean(means):.4f}, standard deviation {sd:.4f}"
    assert sum(line in one for one in lines) == 1
    assert f"  Mass                {np.mean(mass):.4f}, standard deviation {np.std(mass, ddof=1):.4f}" in lines
    assert [one["ckpt"] for one in facts["members"]] == [str(data / f"model{number}.pdparams") for number in range(3)]
    assert len({one["sha256"] for one in facts["members"]}) == 3
    rows = list(csv.DictReader((data / "p.csv").open()))
    assert len(rows) == 12


def test_one_checkpoint_speaks_of_no_others(data, capsys):
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


def test_members_cut_images_as_each_was_trained_to(data):
    checkpoint.write_metadata_file(data / "model1.pdparams", {"resize": 48, "crop": CROP})
    together = evaluate(config(data, 0, 1))
    alone = [evaluate(config(data, number)).probabilities for number in range(2)]
    np.testing.assert_allclose(together.probabilities, np.mean(alone, axis=0), rtol=1e-6)
    assert [one.preprocessing.resize for one in together.members] == [40, 48]


def test_the_last_member_is_looked_at_before_the_first_computes(data, monkeypatch):
    checkpoint.write_metadata_file(data / "model2.pdparams", {"resize": 40, "crop": 9})
    monkeypatch.setattr(EngineSpec, "compile", lambda *_: pytest.fail("computed"))
    with pytest.raises(InputError, match=r"model2\.json: crop 9 is too small"):
        evaluate(config(data, 0, 1, 2))


def test_a_notice_is_told(data, capsys):
    checkpoint.write_metadata_file(data / "model0.pdparams", {"resize": 40, "crop": CROP, "notice": "of phantoms only"})
    assert eval_script.main(flags(data, 0, output_json="r.json", output_dir="rep")) == 0
    assert f"=> {data / 'model0.pdparams'}: of phantoms only" in capsys.readouterr().out.splitlines()
    assert json.loads((data / "r.json").read_text())["notice"] == "of phantoms only"
    assert '<p class="notice">of phantoms only</p>' in (data / "rep" / "report.html").read_text()


def test_images_that_the_checkpoint_was_trained_on_are_counted(data, capsys):
    trained = [f"test_{index:03d}.png" for index in range(5)] + ["elsewhere.png"]
    facts = {"resize": 40, "crop": CROP, KEY: fingerprint(trained)}
    checkpoint.write_metadata_file(data / "model0.pdparams", facts)
    assert eval_script.main(flags(data, 0, output_json="r.json", output_dir="rep")) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("=> warning: ")]
    assert len(warned) == 1
    assert "5 of these 12 images were used for training; the patients of 12 of them are unknown" in warned[0]
    assert json.loads((data / "r.json").read_text())["seen"]["images"] == 5
    assert "5 of these 12 images were used for training" in (data / "rep" / "report.html").read_text()
    found = json.loads((data / "rep" / "metrics.json").read_text())
    assert found["run"]["seen"]["images"] == 5
    checkpoint.write_metadata_file(data / "model0.pdparams", {**facts, KEY: fingerprint(["elsewhere.png"])})
    assert eval_script.main(flags(data, 0)) == 0
    assert "=> warning" not in capsys.readouterr().out


def test_the_report_has_thresholds_of_the_validation_list(data, capsys):
    assert eval_script.main(flags(data, 0, output_dir="rep", val_list="val.txt", output_csv="p.csv")) == 0
    ckpt = data / "model0.pdparams"
    found = read_thresholds(data / "rep" / "thresholds.json", sha256(ckpt))
    assert found.chosen.endswith("on val.txt, 1 crop")
    validation = evaluate(config(data, 0, val_list="val.txt")).validation
    assert validation.names == tuple(f"val_{index:03d}.png" for index in range(10))
    column = CLASS_NAMES.index("Mass")
    assert found.points["Mass"].threshold in validation.probabilities[:, column].tolist()
    ckpt.write_bytes(b"other weights")
    with pytest.raises(InputError, match="chosen for weights with SHA-256"):
        read_thresholds(data / "rep" / "thresholds.json", sha256(ckpt))
    assert (data / "rep" / "predictions.csv").read_text() == (data / "p.csv").read_text()
    facts = json.loads((data / "rep" / "metrics.json").read_text())
    assert facts["run"]["sha256"].keys() == {"ckpt", "test_list", "val_list"}
    assert facts["operating_points"]["images"] == 10
    assert capsys.readouterr().out.splitlines()[-1] == f"=> report: {data / 'rep' / 'report.html'}"


@pytest.mark.parametrize(("ckpts", "val_list", "why"), [
    ((0,), "half.txt", "for Hernia"),
    ((0, 1), "val.txt", "predict.py uses one checkpoint"),
])  # fmt: skip
def test_why_there_are_no_thresholds_is_said(data, capsys, ckpts, val_list, why):
    assert eval_script.main(flags(data, *ckpts, output_dir="rep", val_list=val_list)) == 0
    assert not (data / "rep" / "thresholds.json").exists()
    assert why in capsys.readouterr().out


def test_what_is_left_out_of_either_list_is_said(data, capsys):
    make_folder(data, 150, "test.txt")
    make_folder(data, 120, "val.txt")
    for name in ("test_007.png", "val_011.png"):
        (data / "images" / name).unlink()
    assert eval_script.main([*flags(data, 0, output_dir="rep", val_list="val.txt"), "--on_bad_image", "skip"]) == 0
    output = capsys.readouterr().out
    for name, path in (("test_007.png", "test.txt"), ("val_011.png", "val.txt")):
        assert f"left out of {data / path}: 1 image (--on_bad_image skip)" in output
        assert f"note: Left out of {data / path}: {name}, no such image file." in output
    facts = json.loads((data / "rep" / "metrics.json").read_text())
    assert [facts["run"][key][0]["line"] for key in ("skipped", "validation_skipped")] == [8, 12]


def test_flags_that_cannot_be_are_refused_before_the_work(data, monkeypatch, capsys):
    monkeypatch.setattr(EngineSpec, "compile", lambda *_: pytest.fail("computed"))
    assert eval_script.main(flags(data, 0, val_list="val.txt")) == 2
    assert eval_script.main(flags(data, 0, output_dir="images")) == 2
    assert eval_script.main(flags(data, 0, output_dir="rep", val_list="test.txt")) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "error: --val_list: is for the report only; give --output_dir DIR too"
    assert "images: holds " in errors[1]
    assert "test.txt: is the same file as the test list" in errors[2]
