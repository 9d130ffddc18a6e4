"""Images with fewer bits than their files declare: every script warns once and scales them with --sample_bits."""

import importlib.util
import json
import re

import numpy as np
import paddle
import pytest
from conftest import ROOT
from PIL import Image
from raster_files import png

import eval as eval_script
import predict as predict_script
import train as train_script
from chexnet.config import EvalConfig
from chexnet.data import ChestXrayDataSet, find_bad_images
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.cache.manifest import MANIFEST
from chexnet.data.images.survey import SURVEY_SIZE, survey, survey_indices
from chexnet.data.lists import format_list, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.training import resume, train

EIGHT, TWELVE = Preprocessing(40, 32), Preprocessing(40, 32, sample_bits=12)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory):
    """Write ten 8-bit images, the same as 12-bit samples in 16-bit files, and lists of them."""
    root = tmp_path_factory.mktemp("radiographs")
    for name in ("right", "deep"):
        (root / name).mkdir()
    names = [f"{index}.png" for index in range(10)]
    for index, name in enumerate(names):
        gray = np.random.default_rng(index).integers(0, 256, (44, 44), dtype=np.uint16)
        gray[0, 0] = 255
        Image.fromarray(gray.astype(np.uint8)).save(root / "right" / name)
        (root / "deep" / name).write_bytes(png(gray * 16, 16, 0))
    labels = (np.arange(10)[:, None] + np.arange(14)) % 2
    (root / "train.txt").write_text(format_list(names[:6], labels[:6]))
    (root / "val.txt").write_text(format_list(names[6:], labels[6:]))
    rows = [f"{name},Mass,300,300,400,400,,,\n" for name in names]
    (root / "boxes.csv").write_text("Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + "".join(rows))
    return root


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """Save a small network; `ckpt(**metadata)` writes its metadata file and returns the path of its weights."""
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    paddle.seed(0)
    checkpoint.save_weights(CheXNet(14, "lenet").state_dict(), path)

    def with_metadata(**metadata):
        checkpoint.write_metadata_file(
            path, {"backbone": "lenet", "resize": 64, "crop": 64, "classes": CLASS_NAMES, **metadata}
        )
        return path

    return with_metadata


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def range_warning(prefix: str, count: int) -> re.Pattern[str]:
    """Return a pattern of the warning about `count` of `count` images."""
    return re.compile(rf"{re.escape(prefix)}.*4,080 of 65,535 in {count} of {count} images.*--sample_bits 12$")


def warnings_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if "highest sample" in line]


def test_the_survey_checks_a_few_images_spread_over_the_list():
    for count in (1, 2, 39, 40, 41, 1000):
        indices = survey_indices(count)
        assert len(set(indices)) == len(indices) == min(count, SURVEY_SIZE)
        assert (indices[0], indices[-1]) == (0, count - 1)


def test_the_survey_counts_the_images_that_it_read(radiographs, tmp_path):
    names = [f"{index}.png" for index in range(10)]
    deep = [radiographs / "deep" / name for name in names]
    assert survey([radiographs / "right" / name for name in names], 16) is None
    assert survey(deep, 12) is None
    assert range_warning("", 10).match(survey(deep, 16, workers=2))
    for index, name in enumerate(names):
        source = "deep" if index in (2, 5) else "right"
        (tmp_path / name).write_bytes((radiographs / source / name).read_bytes() if index else b"no image")
    assert "in 2 of 9 images" in survey([tmp_path / name for name in names], 16)


def test_training_and_evaluation_warn_once_per_list(radiographs, ckpt, capsys, tmp_path):
    path = ckpt()
    flags = ["--data_dir", str(radiographs / "deep"), "--test_list", str(radiographs / "train.txt"), "--device", "cpu"]
    flags += ["--ckpt", str(path), "--engine", "paddle", "--crops", "1"]
    assert eval_script.main(flags) == 0
    (warning,) = warnings_in(capsys.readouterr().out)
    assert range_warning(f"=> warning: {radiographs / 'train.txt'}: ", 6).match(warning)
    assert eval_script.main([*flags, "--sample_bits", "12", "--output_json", str(tmp_path / "result.json")]) == 0
    assert warnings_in(capsys.readouterr().out) == []
    assert json.loads((tmp_path / "result.json").read_text())["preprocessing"]["sample_bits"] == 12

    run = ["--data_dir", str(radiographs / "deep"), "--train_list", str(radiographs / "train.txt"), "--val_list",
           str(radiographs / "val.txt"), "--save_dir", str(tmp_path / "save"), "--batch_size", "3", "--epoch", "1",
           "--init", "random", "--backbone", "lenet", "--resize", "64", "--crop", "64",
           "--device", "cpu", "--num_workers", "1"]  # fmt: skip
    assert train_script.main(run) == 0
    first, second = warnings_in(capsys.readouterr().out)
    assert range_warning(f"=> warning: {radiographs / 'train.txt'}: ", 6).match(first)
    assert range_warning(f"=> warning: {radiographs / 'val.txt'}: ", 4).match(second)
    assert checkpoint.read_metadata_file(tmp_path / "save" / "best_model.pdparams")["sample_bits"] == 16


def test_localization_and_the_cache_warn_once(radiographs, ckpt, capsys, tmp_path):
    flags = ["--data_dir", str(radiographs / "deep"), "--boxes", str(radiographs / "boxes.csv"), "--ckpt", str(ckpt()),
             "--engine", "paddle", "--crops", "1", "--device", "cpu"]  # fmt: skip
    assert script("localize").main(flags) == 0
    (warning,) = warnings_in(capsys.readouterr().out)
    assert range_warning(f"=> warning: {radiographs / 'deep'}: ", 10).match(warning)
    assert script("localize").main([*flags, "--sample_bits", "12"]) == 0
    assert warnings_in(capsys.readouterr().out) == []

    flags = ["--data_dir", str(radiographs / "deep"), "--output_dir", str(tmp_path / "cache"), "--resize", "40",
             "--lists", str(radiographs / "train.txt"), str(radiographs / "val.txt")]  # fmt: skip
    assert script("build_cache").main(flags) == 0
    (warning,) = warnings_in(capsys.readouterr().out)
    assert range_warning(f"=> warning: {radiographs / 'deep'}: ", 10).match(warning)
    dark = ChestXrayDataSet(
        radiographs / "deep", radiographs / "val.txt", "center", EIGHT, image_cache=tmp_path / "cache"
    )
    assert "15 of 255 in 4 of 4 images" in dark.range_warning()
    flags[3] = str(tmp_path / "other")
    assert script("build_cache").main([*flags, "--sample_bits", "12"]) == 0
    printed = capsys.readouterr().out
    assert warnings_in(printed) == []
    assert printed.endswith(" --sample_bits 12\n")


def test_prediction_warns_about_each_image(radiographs, ckpt, capsys):
    flags = [str(radiographs / "deep" / "0.png"), "--ckpt", str(ckpt()), "--device", "cpu", "--crops", "1"]
    warning = re.compile(r"^  warning: .*4,080 of 65,535.*--sample_bits 12$", re.MULTILINE)
    assert predict_script.main(flags) == 0
    assert warning.search(capsys.readouterr().out)
    assert predict_script.main([*flags, "--sample_bits", "12"]) == 0
    deep = capsys.readouterr().out.splitlines()
    assert predict_script.main([str(radiographs / "right" / "0.png"), *flags[1:]]) == 0
    right = capsys.readouterr().out.splitlines()
    assert not warnings_in("\n".join(deep))
    found = [[line.split()[:2] for line in lines if line.startswith("  ")][:3] for lines in (deep, right)]
    assert [name for name, _ in found[0]] == [name for name, _ in found[1]]
    np.testing.assert_allclose(*[[float(number) for _, number in lines] for lines in found], atol=0.002)


def test_the_sample_bits_of_a_checkpoint_apply_unless_the_flag_is_given(radiographs, ckpt):
    where = {"data_dir": str(radiographs / "deep"), "test_list": str(radiographs / "val.txt"), "engine": "paddle"}
    results = []
    for metadata, bits in (({"sample_bits": 12}, None), ({}, 12), ({"sample_bits": 14}, 12), ({}, None)):
        lines = []
        config = EvalConfig(**where, ckpt=str(ckpt(**metadata)), crops=1, device="cpu", sample_bits=bits)
        results.append(evaluate(config, lines.append).probabilities)
        assert any("64 px from 64 px, samples of 12 bits" in line for line in lines) == (len(results) < 4)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert np.abs(results[0] - results[3]).max() > 1e-4
    with pytest.raises(InputError, match=r"1,023 \(sample_bits 10\)"):
        evaluate(EvalConfig(**where, ckpt=str(ckpt(sample_bits=10)), crops=1, device="cpu"))
    with pytest.raises(InputError, match=r"model\.json: sample_bits 17 .*8\.\.16"):
        evaluate(EvalConfig(**where, ckpt=str(ckpt(sample_bits=17)), crops=1, device="cpu"))


def test_a_cache_needs_the_same_sample_bits(radiographs, tmp_path):
    names = read_list(radiographs / "train.txt", 14).names
    build_cache(radiographs / "deep", names, tmp_path / "cache", TWELVE, workers=1)
    where = (radiographs / "deep", radiographs / "train.txt", "ten")
    cached = ChestXrayDataSet(*where, TWELVE, image_cache=tmp_path / "cache")
    files = ChestXrayDataSet(*where, TWELVE)
    right = ChestXrayDataSet(radiographs / "right", *where[1:], EIGHT)
    for index in range(len(files)):
        np.testing.assert_array_equal(cached[index][0], files[index][0])
        assert np.abs(files[index][0].astype(int) - right[index][0]).max() <= 1
    with pytest.raises(InputError, match=r"sample_bits 12.*sample_bits 16"):
        ImageCache(tmp_path / "cache", EIGHT)
    with pytest.raises(InputError, match="sample_bits 12"):
        build_cache(radiographs / "deep", names, tmp_path / "cache", EIGHT, workers=1)
    with pytest.raises(InputError, match=r"--resize 40 --sample_bits 12$"):
        cached.cache.rows(["other.png"], "list.txt", radiographs / "deep")


def test_a_cache_of_an_earlier_version_is_refused_with_its_version(radiographs, tmp_path):
    build_cache(radiographs / "right", ["0.png"], tmp_path, EIGHT, workers=0)
    header, _, rest = (tmp_path / MANIFEST).read_text().partition("\n")
    manifest = json.loads(header)
    del manifest["sample_bits"]
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "resize_version": 2}) + "\n" + rest)
    with pytest.raises(InputError, match="resize_version 2"):
        ImageCache(tmp_path, EIGHT)


def test_an_image_with_more_bits_is_refused_or_skipped(radiographs, tmp_path):
    preprocessing = Preprocessing(40, 32, sample_bits=11)
    dataset = ChestXrayDataSet(radiographs / "deep", radiographs / "val.txt", "center", preprocessing)
    with pytest.raises(InputError, match=r"6\.png: .*4,080.*2,047"):
        dataset[0]
    with pytest.raises(InputError, match=r"4 of 4 images.*2,047"):
        find_bad_images(radiographs / "deep", radiographs / "val.txt", preprocessing)
    assert find_bad_images(radiographs / "deep", radiographs / "val.txt", TWELVE) == ()


def test_a_resumed_run_keeps_its_sample_bits(small_run):
    config = small_run(epoch=1, decay_epochs=(), sample_bits=12)
    assert train(config).config.sample_bits == 12
    with pytest.raises(InputError, match=r"sample_bits 12.*14"):
        resume(None, {"save_dir": config.save_dir, "sample_bits": 14}, force=True)
    assert resume(None, {"save_dir": config.save_dir}).config.sample_bits == 12


@pytest.mark.parametrize("bits", ["7", "17", "twelve", "12.5"])
def test_invalid_sample_bits_are_refused(bits, capsys):
    with pytest.raises(SystemExit) as stop:
        train_script.main(["--sample_bits", bits])
    assert stop.value.code == 2
    assert "--sample_bits" in capsys.readouterr().err
