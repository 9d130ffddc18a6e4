"""Evaluation: scores against a slow reference, output files, skipped images and errors."""

import csv
import dataclasses
import json
import math
import re
import shutil

import numpy as np
import paddle
import pytest
from conftest import make_folder

import eval as eval_script
from chexnet.config import EvalConfig
from chexnet.data import ChestXrayDataSet
from chexnet.data.cache import build_cache
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation import evaluate, format_comparison, format_result
from chexnet.inference.engines import EngineSpec
from chexnet.known_lists import OFFICIAL_SPLIT, SHARED_SPLIT
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.model import CheXNet, checkpoint


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 40, "crop": 32})
    return path


@pytest.mark.parametrize("crops", [10, 1])
def test_evaluation_equals_a_slow_reference(folder, ckpt, crops):
    """The reference predicts one crop of one image at a time; the benchmarks' baseline does it with DenseNet-121."""
    images, lists = folder(5, sizes=[(48, 40), (60, 90)])
    calls = []
    config = EvalConfig(
        data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), batch_size=2, crops=crops, device="cpu"
    )
    result = evaluate(config, progress=lambda done, total: calls.append((done, total)))

    network = CheXNet(backbone="lenet")
    checkpoint.load_weights(network, ckpt)
    dataset = ChestXrayDataSet(images, lists, "ten" if crops == 10 else "center", Preprocessing(40, 32))
    for index, name in enumerate(dataset.list.names):
        each = [network.predict(crop[None])[0] for crop in dataset[index][0].reshape(-1, 1, 32, 32)]
        assert len(each) == crops
        np.testing.assert_allclose(result.probabilities[index], np.mean(each, axis=0), atol=1e-6)
        assert result.names[index] == name
    np.testing.assert_array_equal(result.aurocs, class_aurocs(result.labels, result.probabilities))
    assert result.mean == pytest.approx(result.aurocs.mean())
    assert calls[-1] == (5, 5)
    assert calls == sorted(set(calls))


def test_each_checkpoint_is_scored_with_its_own_crops(folder, tmp_path):
    """The number comes from the checkpoint's metadata, unless the configuration sets it."""
    images, lists = folder(4, sizes=[(60, 90)])
    network = CheXNet(14, "lenet")
    paths = [tmp_path / "one.pdparams", tmp_path / "ten.pdparams"]
    for path, crops in zip(paths, ({"crops": 1}, {}), strict=True):
        checkpoint.save_weights(network.state_dict(), path)
        checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 40, "crop": 32, **crops})

    def score(ckpt, **options):
        config = EvalConfig(
            data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), device="cpu", engine="paddle", **options
        )
        return evaluate(config)

    single, ten = score(paths[0]), score(paths[1])
    assert (single.config.crops, ten.config.crops) == (1, 10)
    np.testing.assert_array_equal(single.probabilities, score(paths[1], crops=1).probabilities)
    assert np.abs(single.probabilities - ten.probabilities).max() > 1e-6
    both = score(paths[0], ensemble=(str(paths[1]),))
    assert both.config.crops is None
    np.testing.assert_allclose(both.probabilities, (single.probabilities + ten.probabilities) / 2, atol=1e-6)


def test_the_first_line_is_the_engine(folder, ckpt):
    images, lists = folder(2)
    lines = []
    config = EvalConfig(
        data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), crops=1, device="cpu", engine="paddle"
    )
    result = evaluate(config, lines.append)
    assert re.fullmatch(rf"=> paddle {re.escape(paddle.__version__)}, float32, CPU, \d+ threads?", lines[0])
    assert lines[0] == f"=> {result.engine}"


@pytest.fixture(scope="module")
def result(tmp_path_factory, ckpt):
    images, lists = make_folder(tmp_path_factory.mktemp("result"), 4)
    # Hernia, the last column, loses its positives.
    lists.write_text("\n".join(line[:-1] + "0" for line in lists.read_text().splitlines()))
    return evaluate(EvalConfig(data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), crops=1, device="cpu"))


def test_an_undefined_class_is_named_and_never_a_number(result, tmp_path):
    assert result.undefined == ["Hernia"]
    assert result.mean == pytest.approx(result.aurocs[:13].mean())
    lines = format_result(result).splitlines()
    assert lines[0] == "The final AUROCs:"
    assert lines[1].startswith(f"The average AUROC is {result.mean:.3f}")
    assert "over 13 of 14 classes" in lines[1]
    assert "Hernia" in lines[1]
    assert lines[2:] == [
        *(
            f"The AUROC of {name} is {value}"
            for name, value in zip(CLASS_NAMES[:13], result.aurocs.tolist(), strict=False)
        ),
        "The AUROC of Hernia is undefined",
    ]
    result.write_json(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    assert content["classes"]["Hernia"] == {"auroc": None, "positives": 0}
    assert content["mean"] == {"auroc": result.mean, "classes": 13}
    assert content["images"] == 4
    assert content["skipped"] == []
    assert content["engine"] == result.engine
    assert content["preprocessing"] == {"resize": 40, "crop": 32, "scaling": "imagenet", "sample_bits": 16}


def test_the_csv_of_predictions_reproduces_the_aurocs(result, tmp_path):
    result.write_csv(tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(result.names)
    assert list(rows[0])[:2] == ["image", "prob_Atelectasis"]
    labels, scores = (
        np.array([[float(row[f"{kind}_{name}"]) for name in CLASS_NAMES] for row in rows], np.float32)
        for kind in ("label", "prob")
    )
    np.testing.assert_array_equal(scores, result.probabilities)
    np.testing.assert_array_equal(class_aurocs(labels, scores), result.aurocs)


def test_the_comparison_has_published_columns_with_their_split(result):
    lines = format_comparison(result).splitlines()
    names = ["Wang", "Yao", "CheXNet", "arnoweng", "improved", "Paddle-CheXNet", "zoogzog", "jrzech"]
    assert lines[0].split() == ["this", "run", *names, "medical_mae", "EVA-X-B"]
    assert lines[1].split() == ["split", "yours", *["own"] * 3, *["shared"] * 5, *["official"] * 2]
    cells = {line.split()[0]: line.split()[1:] for line in lines[2:17]}
    assert cells["Emphysema"][1:7] == ["0.8150", "0.8290", "0.9371", "0.9254", "0.9343", "0.9302"]
    assert cells["Emphysema"][0] == f"{result.aurocs[10]:.4f}"
    assert cells["Hernia"][0] == "-"
    assert [cells["mean"][0], *cells["mean"][6:9]] == [f"{result.mean:.4f}", "0.8468", "0.8508", "0.8383"]
    assert all("not comparable" in line for line in lines[-3:])


@pytest.mark.parametrize(
    ("split", "first"), [(SHARED_SPLIT, ["arnoweng", "improved"]), (OFFICIAL_SPLIT, ["medical_mae", "EVA-X-B"])]
)
def test_the_comparison_begins_with_the_columns_of_the_same_split(result, monkeypatch, split, first):
    monkeypatch.setattr("chexnet.evaluation.result.split_of", lambda names: split)
    lines = format_comparison(result).splitlines()
    assert lines[0].split()[:4] == ["this", "run", *first]
    own, *others = lines[-3:]
    assert own.startswith(f"{split}: the same test images")
    assert all("not comparable" in line for line in others)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"resize": "big"}, "resize"),
        ({"resize": True, "crop": True}, "resize"),
        ({"resize": 10**9, "crop": 32}, "4096"),
        ({"resize": 30, "crop": 32}, r"crop 32.*1\.\.30"),
        ({"resize": 40, "crop": 16}, "crop 16"),
        ({"classes": ["Cat", "Cat"]}, "2.*'Cat'"),
    ],
)
def test_an_invalid_metadata_file_is_named(folder, ckpt, tmp_path, metadata, message):
    images, lists = folder(2)
    copy = tmp_path / "copy.pdparams"
    copy.write_bytes(ckpt.read_bytes())
    checkpoint.write_metadata_file(copy, metadata)
    with pytest.raises(InputError, match=rf"copy\.json.*{message}"):
        evaluate(EvalConfig(data_dir=str(images), test_list=str(lists), ckpt=str(copy), device="cpu"))


def test_a_list_of_other_findings_names_the_way_to_evaluate_them(folder, ckpt):
    images, lists = folder(2)
    lists.with_name("classes.txt").write_text("\n".join(f"finding {number}" for number in range(14)))
    with pytest.raises(InputError, match=r"label 1 is 'finding 0'.*tools/report\.py --map"):
        evaluate(EvalConfig(data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), device="cpu"))


class _PixelEngine:
    """Engine that returns the first bytes of each crop, so that any difference is visible."""

    preferred_batch_size = 20

    def predict(self, crops: np.ndarray) -> np.ndarray:
        return crops.reshape(len(crops), -1)[:, :14].astype(np.float32) / 255


def test_ten_crops_from_the_cache_equal_those_from_the_files(folder, ckpt, tmp_path, monkeypatch):
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _PixelEngine())
    images, lists = folder(5, sizes=[(48, 40), (60, 90), (33, 80)])
    build_cache(images, read_list(lists).names, tmp_path / "cache", Preprocessing(40, 32), workers=1)
    config = EvalConfig(data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), batch_size=2, device="cpu")
    from_files = evaluate(config)
    shutil.rmtree(images)
    from_cache = evaluate(dataclasses.replace(config, image_cache=str(tmp_path / "cache")))
    np.testing.assert_array_equal(from_cache.probabilities, from_files.probabilities)


@pytest.fixture
def with_bad_images(folder):
    """Return folder and list of 200 images, one of them an HTML page and one missing."""
    images, lists = folder(200)
    (images / "list_120.png").write_bytes(b"<html>")
    (images / "list_031.png").unlink()
    return images, lists


def test_skipping_images_equals_a_list_without_them(with_bad_images, ckpt, tmp_path, monkeypatch):
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _PixelEngine())
    images, lists = with_bad_images
    config = EvalConfig(
        data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), crops=1, device="cpu", on_bad_image="skip"
    )
    calls = []
    result = evaluate(config, progress=lambda done, total: calls.append((done, total)))
    assert [(image.image, image.line) for image in result.skipped] == [("list_031.png", 32), ("list_120.png", 121)]
    assert calls[:200] == [(done, 200) for done in range(1, 201)]
    assert calls[-1] == (198, 198)

    lines = lists.read_text().splitlines(keepends=True)
    (tmp_path / "shorter.txt").write_text("".join(lines[:31] + lines[32:120] + lines[121:]))
    expected = evaluate(
        EvalConfig(data_dir=str(images), test_list=str(tmp_path / "shorter.txt"), ckpt=str(ckpt), crops=1, device="cpu")
    )
    assert expected.skipped == ()
    assert result.names == expected.names
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    np.testing.assert_array_equal(result.aurocs, expected.aurocs)


def test_skipped_images_are_in_the_json_and_printed_last(with_bad_images, ckpt, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _PixelEngine())
    images, lists = with_bad_images
    flags = ["--data_dir", str(images), "--test_list", str(lists), "--ckpt", str(ckpt), "--device", "cpu"]
    outputs = ["--output_json", str(tmp_path / "r.json"), "--output_csv", str(tmp_path / "p.csv"), "--compare"]
    assert eval_script.main([*flags, *outputs, "--on_bad_image", "skip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{lists}: 2 images" in lines[-3]
    assert "list_031.png (line 32): " in lines[-2]
    assert "list_120.png (line 121): " in lines[-1]
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["images"] == 198
    assert [list(image.items())[:2] for image in content["skipped"]] == [
        [("image", "list_031.png"), ("line", 32)],
        [("image", "list_120.png"), ("line", 121)],
    ]
    assert content["skipped"][0]["reason"] == lines[-2].partition("(line 32): ")[2]
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 199


def test_a_bad_image_is_an_error_by_default(with_bad_images, ckpt, monkeypatch, capsys):
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _PixelEngine())
    images, lists = with_bad_images
    flags = ["--data_dir", str(images), "--test_list", str(lists), "--ckpt", str(ckpt), "--device", "cpu"]
    assert eval_script.main(flags) == 2
    assert "1 of 200 images" in capsys.readouterr().err
    shutil.copy(images / "list_030.png", images / "list_031.png")
    assert eval_script.main(flags) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {images / 'list_120.png'}: ")
    assert error.endswith("--on_bad_image skip")


class _NaNEngine:
    preferred_batch_size = 1

    def predict(self, crops: np.ndarray) -> np.ndarray:
        return np.full((len(crops), 14), math.nan, np.float32)


def test_probabilities_that_are_not_finite_are_an_error(folder, ckpt, monkeypatch):
    images, lists = folder(2)
    monkeypatch.setattr(EngineSpec, "compile", lambda self, network, crop, maps: _NaNEngine())
    with pytest.raises(InputError, match=r"model\.pdparams: .*probabilities"):
        evaluate(EvalConfig(data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), crops=1, device="cpu"))
