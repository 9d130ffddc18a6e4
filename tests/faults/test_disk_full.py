"""A disk that fills up while a run writes to it: a small file system, or a limit on the size of files."""

import csv
import json
import sys
import tempfile

import numpy as np
import paddle
import pytest
from conftest import make_folder, write_png

from chexnet.config import EXPORT_FORMATS, PredictConfig
from chexnet.errors import InputError
from chexnet.inference import engines, predict_files
from chexnet.inference.deployment import deploy
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.model.convert import to_torch
from chexnet.training import run_state
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def test_a_full_disk_ends_the_run_in_one_line_with_the_last_state_intact(
    small_data, nursery, reference, tmp_path, tally
):
    largest = max(path.stat().st_size for path in reference.folder.iterdir())
    rng = np.random.default_rng(4)
    tried = how_many(ci=8, full=100)
    for number in range(tried):
        folder = tmp_path / f"run{number}" / "save"
        folder.parent.mkdir()
        said = folder.parent / "said.txt"
        limit = int(rng.integers(600, largest))  # room for what is said
        assert nursery.run(config(small_data, folder), file_limit=limit, out=str(said)) == 2
        message = said.read_text().splitlines()[-2]
        assert message.startswith(str(folder))
        assert ": cannot be written: File too large" in message
        for path in run_state.paths(folder):
            run_state.load(path)
        assert not list(folder.glob(".*.tmp-*"))
        assert nursery.run(config(small_data, folder)) == 0
        assert_same_outcome(folder, reference.folder)
    tally("disk full during a save", tried, tried, "nothing that was saved")


IMAGES = 16
"""So many that no buffer holds what is written of them."""


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A small network of the 14 classes, 251 KiB."""
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    paddle.seed(3)
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 72, "crop": 64, "classes": CLASS_NAMES})
    return path


def left_on(disk):
    return [path for path in disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_onto_a_full_disk_is_a_line_and_leaves_nothing(ckpt, small_disk, form):
    """Room for nothing, for half of the program, of the weights, of the ONNX file, for all but the end of them."""
    if form == "onnx" and (why := engines.why_unavailable("onnxruntime")):
        pytest.skip(why)
    for kib in (8, 60, 252, 280) if form == "onnx" else (8, 60, 160, 252):
        disk = small_disk(kib)
        with pytest.raises(InputError, match=r"/out: cannot be written: No space left on device"):
            deploy(ckpt, disk / "out", form)
        assert left_on(disk) == []


@pytest.mark.parametrize("name", engines.ENGINES)
def test_a_full_folder_for_temporary_files_is_named(ckpt, tmp_path, small_disk, name, monkeypatch):
    if why := engines.why_unavailable(name):
        pytest.skip(why)
    write_png(tmp_path / "a.png")
    for kib in (8, 200):
        disk = small_disk(kib)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(InputError, match=f"{disk}.*: cannot be written: No space left on device"):
            list(predict_files(PredictConfig(ckpt=str(ckpt), engine=name, device="cpu"), [str(tmp_path / "a.png")]))
        assert left_on(disk) == []


def test_a_full_disk_under_converted_weights_is_a_line(tmp_path, small_disk):
    pytest.importorskip("torch")
    source = tmp_path / "model.pdparams"
    checkpoint.save_weights(CheXNet().state_dict(), source)
    disk = small_disk(1000)
    with pytest.raises(InputError, match=r"/model\.pth: cannot be written: No space left on device"):
        to_torch(source, disk / "model.pth")
    assert left_on(disk) == []


def test_released_weights_on_a_full_disk_are_a_line(ckpt, small_disk):
    disk = small_disk(64)
    with pytest.raises(InputError, match=r"/model\.safetensors: cannot be written: No space left on device"):
        checkpoint.export_weights(ckpt, disk / "model.safetensors")
    assert left_on(disk) == []


@pytest.fixture
def images(tmp_path):
    folder, _ = make_folder(tmp_path, IMAGES)
    return folder


@pytest.mark.parametrize("full", ["json", "csv", "cam"])
def test_a_full_disk_under_one_output_of_predictions_costs_no_other(ckpt, images, tmp_path, small_disk, full):
    disk = small_disk(16 if full == "cam" else 4)
    at = {name: str((disk if name == full else tmp_path) / "out") for name in ("json", "csv", "cam")}
    config = PredictConfig(
        ckpt=str(ckpt),
        crops=1,
        output_json=f"{at['json']}.json",
        output_csv=f"{at['csv']}.csv",
        cam=at["cam"],
        top=1,
        device="cpu",
    )
    done = []
    said = f"^{disk}.*: cannot be written: No space left on device.*; the rest is written$"
    with pytest.raises(InputError, match=said) as end:
        done.extend(predict_files(config, [str(images)]))  # list() would forget all of them
    assert len(str(end.value)) < 1000
    assert len(done) == IMAGES
    if full != "json":
        assert len(json.loads((tmp_path / "out.json").read_text())["images"]) == IMAGES
    if full != "csv":
        assert len(list(csv.DictReader((tmp_path / "out.csv").open()))) == IMAGES
    if full != "cam":
        assert len(list((tmp_path / "out").iterdir())) == IMAGES
        assert left_on(disk) == []


def test_full_standard_output_costs_no_file(ckpt, images, tmp_path, monkeypatch, capsys):
    import predict

    files = ["--output_json", str(tmp_path / "p.json"), "--output_csv", str(tmp_path / "p.csv")]
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert predict.main([str(images), "--ckpt", str(ckpt), "--device", "cpu", *files]) == 2
    assert capsys.readouterr().err == "error: standard output: cannot be written: No space left on device\n"
    assert len(json.loads((tmp_path / "p.json").read_text())["images"]) == IMAGES
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == IMAGES


def test_a_full_disk_under_one_output_of_an_evaluation_costs_no_other(ckpt, tmp_path, small_disk, capsys):
    import eval as script

    folder, test_list = make_folder(tmp_path, 12)
    disk = small_disk(4)
    (disk / "in_the_way").write_bytes(bytes(4096))
    flags = ["--ckpt", ckpt, "--data_dir", folder, "--test_list", test_list, "--device", "cpu", "--crops", "1"]
    flags += ["--output_json", disk / "r.json", "--output_csv", tmp_path / "p.csv", "--engine", "paddle"]
    assert script.main([*map(str, flags)]) == 2
    said = capsys.readouterr()
    assert "The AUROC of Hernia is" in said.out
    assert said.err.splitlines()[-1] == f"error: {disk / 'r.json'}: cannot be written: No space left on device"
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 12
    assert [path.name for path in disk.iterdir()] == ["in_the_way"]
