"""Disks that fill up during writing: a small file system, or a limit on the size of files."""

import csv
import json
import re
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
from faults import nursery
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def test_a_full_disk_ends_the_run_and_leaves_its_states_intact(small_data, reference, tmp_path, tally):
    largest = max(path.stat().st_size for path in reference.folder.iterdir())
    rng = np.random.default_rng(4)
    tried = how_many(ci=8, full=100)
    for number in range(tried):
        folder = tmp_path / f"run{number}" / "save"
        folder.parent.mkdir()
        log = folder.parent / "log.txt"
        limit = int(rng.integers(600, largest))  # enough for the log
        assert nursery.run(config(small_data, folder), file_limit=limit, out=str(log)) == 2
        message = log.read_text().splitlines()[-2]
        assert message.startswith(str(folder))
        assert "File too large" in message
        for path in run_state.paths(folder):
            run_state.load(path)
        assert not list(folder.glob(".*.tmp-*"))
        assert nursery.run(config(small_data, folder)) == 0
        assert_same_outcome(folder, reference.folder)
    tally("disk full during a save", tried, tried, "nothing that was saved")


IMAGES = 16
"""Number of images, enough to exceed every output buffer."""


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A small network of the 14 classes, 251 KiB."""
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    paddle.seed(3)
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 72, "crop": 64, "classes": CLASS_NAMES})
    return path


def files_on(disk):
    return [path for path in disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize("export_format", EXPORT_FORMATS)
def test_an_export_to_a_full_disk_is_one_error_line_and_leaves_no_file(ckpt, small_disk, export_format):
    """The disk has no space, or too little for the program, the weights, the ONNX file or the end of them."""
    if export_format == "onnx" and (why := engines.why_unavailable("onnxruntime")):
        pytest.skip(why)
    for kib in (8, 60, 160, 252):
        disk = small_disk(kib)
        with pytest.raises(InputError, match=r"/out: .*No space left on device"):
            deploy(ckpt, disk / "out", export_format)
        assert files_on(disk) == []


@pytest.mark.parametrize("name", engines.ENGINES)
def test_a_full_temporary_folder_is_named(ckpt, tmp_path, small_disk, name, monkeypatch):
    if why := engines.why_unavailable(name):
        pytest.skip(why)
    write_png(tmp_path / "a.png")
    for kib in (8, 200):
        disk = small_disk(kib)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(InputError, match=f"{disk}.*: .*No space left on device"):
            list(predict_files(PredictConfig(ckpt=str(ckpt), engine=name, device="cpu"), [str(tmp_path / "a.png")]))
        assert files_on(disk) == []


def test_converting_weights_to_a_full_disk_is_one_error_line(tmp_path, small_disk):
    pytest.importorskip("torch")
    source = tmp_path / "model.pdparams"
    checkpoint.save_weights(CheXNet().state_dict(), source)
    disk = small_disk(1000)
    with pytest.raises(InputError, match=r"/model\.pth: .*No space left on device"):
        to_torch(source, disk / "model.pth")
    assert files_on(disk) == []


def test_releasing_weights_to_a_full_disk_is_one_error_line(ckpt, small_disk):
    disk = small_disk(64)
    with pytest.raises(InputError, match=r"/model\.safetensors: .*No space left on device"):
        checkpoint.export_weights(ckpt, disk / "model.safetensors")
    assert files_on(disk) == []


@pytest.fixture
def images(tmp_path):
    folder, _ = make_folder(tmp_path, IMAGES)
    return folder


@pytest.mark.parametrize("full", ["json", "csv", "cam"])
def test_predictions_are_complete_in_the_outputs_that_are_not_on_a_full_disk(ckpt, images, tmp_path, small_disk, full):
    disk = small_disk(16 if full == "cam" else 4)
    output = {name: str((disk if name == full else tmp_path) / "out") for name in ("json", "csv", "cam")}
    config = PredictConfig(
        ckpt=str(ckpt),
        crops=1,
        output_json=f"{output['json']}.json",
        output_csv=f"{output['csv']}.csv",
        cam=output["cam"],
        top=1,
        device="cpu",
    )
    done = []
    with pytest.raises(InputError, match=f"^{disk}.*: .*No space left on device") as error:
        done.extend(predict_files(config, [str(images)]))  # list() would return none of them
    assert len(str(error.value)) < 1000
    assert len(done) == IMAGES
    if full != "json":
        assert len(json.loads((tmp_path / "out.json").read_text())["images"]) == IMAGES
    if full != "csv":
        assert len(list(csv.DictReader((tmp_path / "out.csv").open()))) == IMAGES
    if full != "cam":
        assert len(list((tmp_path / "out").iterdir())) == IMAGES
        assert files_on(disk) == []


def test_files_are_complete_if_standard_output_is_full(ckpt, images, tmp_path, monkeypatch, capsys):
    import predict

    files = ["--output_json", str(tmp_path / "p.json"), "--output_csv", str(tmp_path / "p.csv")]
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert predict.main([str(images), "--ckpt", str(ckpt), "--device", "cpu", *files]) == 2
    assert capsys.readouterr().err.endswith("No space left on device\n")
    assert len(json.loads((tmp_path / "p.json").read_text())["images"]) == IMAGES
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == IMAGES


def test_evaluation_outputs_that_are_not_on_a_full_disk_are_complete(ckpt, tmp_path, small_disk, capsys):
    import eval as script

    folder, test_list = make_folder(tmp_path, 12)
    disk = small_disk(4)
    (disk / "in_the_way").write_bytes(bytes(4096))
    flags = ["--ckpt", ckpt, "--data_dir", folder, "--test_list", test_list, "--device", "cpu", "--crops", "1"]
    flags += ["--output_json", disk / "r.json", "--output_csv", tmp_path / "p.csv", "--engine", "paddle"]
    assert script.main([*map(str, flags)]) == 2
    output = capsys.readouterr()
    assert "AUROC of Hernia" in output.out
    assert re.fullmatch(rf"error: {disk / 'r.json'}: .*No space left on device", output.err.splitlines()[-1])
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 12
    assert [path.name for path in disk.iterdir()] == ["in_the_way"]
