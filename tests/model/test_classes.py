"""Other classes than the 14, and a single class: from training to the report, with the unchanged scripts."""

import csv
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from chexnet.config import EvalConfig
from chexnet.data.lists import class_names, format_list
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.evaluation.predictions import read_predictions
from chexnet.model import checkpoint
from chexnet.phantom import draw

ONE = "Pathological <myopia> & more"
TWO = ("Opacity/left", "OPACITY:left")  # equal in file names


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"script_{Path(name).stem}", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lists(root: Path, names: tuple[str, ...]) -> None:
    """Write `train.txt`, `val.txt` and `test.txt` of phantoms, and `classes.txt`."""
    (root / "images").mkdir()
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    for number, part in enumerate(("train", "val", "test")):
        labels = (np.arange(8)[:, None] + np.arange(len(names))) % 2
        files = [f"{part}{index}.png" for index in range(8)]
        for index, file in enumerate(files):
            found = ["Mass"] if labels[index, 0] else []
            Image.fromarray(draw(found, 64, patient=10 * number + index).image).save(root / "images" / file)
        (root / f"{part}.txt").write_text(format_list(files, labels))


@pytest.fixture(scope="module", params=[(ONE,), TWO], ids=["one column", "two columns"])
def trained(request, tmp_path_factory):
    """A folder with lists and the output of train.py."""
    root = tmp_path_factory.mktemp("classes")
    lists(root, request.param)
    flags = ["--train_list", root / "train.txt", "--val_list", root / "val.txt", "--save_dir", root / "save"]
    flags += ["--backbone", "lenet", "--init", "random", "--epoch", "1", "--batch_size", "4"]
    flags += ["--resize", "64", "--crop", "60", "--classes_file", root / "classes.txt"]
    assert run("train", root, *flags) == 0
    return root


def run(name: str, root: Path, *flags: object) -> int:
    common = ["--num_workers", "1", "--device", "cpu"]
    data = ["--data_dir", str(root / "images")] if name in ("train", "eval") else []
    return script(name).main([*map(str, flags), *data, *(common if "/" not in name else [])])


def test_custom_classes_work_from_training_to_the_report(trained, tmp_path, capsys):
    names = class_names(trained / "classes.txt")
    ckpt = trained / "save" / "best_model.pdparams"
    metadata = checkpoint.read_metadata_file(ckpt)
    assert (metadata["backbone"], metadata["classes"]) == ("lenet", list(names))
    header = (trained / "save" / "history.csv").read_text().splitlines()[0]
    assert [column for column in next(csv.reader([header])) if column.startswith("val_AUROC")] == [
        *(f"val_AUROC_{name}" for name in names),
        "val_AUROC_avg",
    ]
    capsys.readouterr()

    files = {"output_json": "r.json", "output_csv": "p.csv", "output_dir": "rep", "val_list": trained / "val.txt"}
    outputs = [part for name, value in files.items() for part in (f"--{name}", tmp_path / value)]
    assert run("eval", trained, "--ckpt", ckpt, "--test_list", trained / "test.txt", "--compare", *outputs) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("The final AUROCs:")
    assert lines[start + 1].startswith("The average AUROC is ")
    for line, name in zip(lines[start + 2 :], names, strict=False):
        assert re.fullmatch(rf"The AUROC of {re.escape(name)} is (0\.\d+|1\.0)", line)
    assert lines[start + 2 + len(names)].startswith("Nothing to compare with: ")
    result = json.loads((tmp_path / "r.json").read_text())
    assert list(result["classes"]) == list(names)
    found = read_predictions(tmp_path / "p.csv", classes=names)
    assert found.probabilities.shape == (8, len(names))
    metrics = json.loads((tmp_path / "rep" / "metrics.json").read_text())
    assert (list(metrics["classes"]), metrics["published"]) == (list(names), [])
    page = (tmp_path / "rep" / "report.html").read_text()
    assert "<myopia>" not in page
    assert f"mean AUROC over {len(names)} of {len(names)} findings" in page

    outputs = ["--output_json", tmp_path / "a.json", "--output_csv", tmp_path / "a.csv", "--cam", tmp_path / "cam"]
    points = ["--thresholds", tmp_path / "rep" / "thresholds.json"]
    image = trained / "images" / "test1.png"
    assert run("predict", trained, image, "--ckpt", ckpt, *outputs, *points) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["classes"] == list(names)
    assert list(result["images"][0]["probabilities"]) == list(result["images"][0]["decisions"]) == list(names)
    pictures = [Path(path) for path in result["images"][0]["cam"].values()]
    assert len({path.name.lower() for path in pictures}) == len(names)
    assert all(path.parent == tmp_path / "cam" and path.is_file() for path in pictures)
    assert (
        run("tools/export", trained, "--ckpt", ckpt, "--format", "paddle", "--output_dir", tmp_path / "exported") == 0
    )
    assert json.loads((tmp_path / "exported" / "description.json").read_text())["classes"] == list(names)
    both = [
        "--predictions",
        tmp_path / "p.csv",
        "--output_dir",
        tmp_path / "again",
        "--classes_file",
        trained / "classes.txt",
    ]
    assert run("tools/report", trained, *both) == 0
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["classes"].keys() == set(names)


def test_another_number_of_label_columns_is_refused(trained, tmp_path, capsys):
    count = len(class_names(trained / "classes.txt"))
    other = tmp_path / "three.txt"
    other.write_text("test1.png 0 1 1\n")
    ckpt = trained / "save" / "best_model.pdparams"
    assert run("eval", trained, "--ckpt", ckpt, "--test_list", other) == 2
    message = rf"three\.txt:1: 3 labels .* {count}: .*--classes_file"
    assert re.search(message, capsys.readouterr().err)
    assert run("train", trained, "--train_list", trained / "train.txt", "--save_dir", tmp_path / "save") == 2
    assert f"train.txt:1: {count} labels" in capsys.readouterr().err


def test_names_that_contradict_the_checkpoint_are_refused(trained, tmp_path):
    ckpt = str(trained / "save" / "best_model.pdparams")
    (tmp_path / "other.txt").write_text("Cat\nDog\nFish\n")
    config = EvalConfig(data_dir=str(trained / "images"), test_list=str(trained / "test.txt"), ckpt=ckpt, device="cpu")
    with pytest.raises(InputError, match=r"best_model\.pdparams: .* has \d classes, .* 3 of --classes_file"):
        evaluate(EvalConfig(**{**vars(config), "classes_file": str(tmp_path / "other.txt")}))
    with pytest.raises(InputError, match=r"lenet, not a resnet50; .*--backbone"):
        evaluate(EvalConfig(**{**vars(config), "backbone": "resnet50"}))


def test_without_metadata_the_flags_give_backbone_and_classes(trained, tmp_path):
    """The weights do not fit where these are wrong."""
    kept = trained / "save" / "best_model.pdparams"
    bare = tmp_path / "bare.pdparams"
    checkpoint.save_weights(checkpoint.read_weights(kept), bare)
    count = len(class_names(trained / "classes.txt"))
    shared = {"data_dir": str(trained / "images"), "test_list": str(trained / "test.txt"), "device": "cpu", "crops": 1}
    named = {"classes_file": str(trained / "classes.txt")}
    result = evaluate(EvalConfig(ckpt=str(bare), backbone="lenet", **named, **shared))
    assert result.probabilities.shape == (8, count)
    with pytest.raises(InputError, match=r"backbone lenet, expected .* densenet121"):
        evaluate(EvalConfig(ckpt=str(bare), **named, **shared))
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    with pytest.raises(InputError, match=rf"bare\.pdparams: .*{count} outputs, expected 3"):
        evaluate(EvalConfig(ckpt=str(bare), backbone="lenet", classes_file=str(tmp_path / "three.txt"), **shared))


def test_checkpoints_of_other_classes_are_not_averaged(trained, tmp_path):
    ckpt = trained / "save" / "best_model.pdparams"
    other = tmp_path / "other.pdparams"
    names = [f"other {index}" for index in range(len(class_names(trained / "classes.txt")))]
    file = checkpoint.open_weights(ckpt)
    checkpoint.save_weights(file.weights, other, metadata={**file.metadata, "classes": names})
    config = EvalConfig(
        data_dir=str(trained / "images"), test_list=str(trained / "test.txt"), ckpt=str(ckpt), ensemble=(str(other),)
    )
    with pytest.raises(InputError, match=r"other\.pdparams: has \d classes, other 0"):
        evaluate(config)


@pytest.mark.parametrize("text", ["a\na\n", "a\n\nb\n", "avg\n", "a\tb\n"])
def test_invalid_class_names_are_refused_with_their_line(tmp_path, text):
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(InputError, match=r"c\.txt:[12]: the class is "):
        class_names(tmp_path / "c.txt")


def test_a_resumed_run_must_have_the_same_class_names(trained, tmp_path, capsys):
    """Even if the path of the file is the same."""
    names = (trained / "classes.txt").read_text()
    try:
        (trained / "classes.txt").write_text(names.replace("E", "F").replace("P", "F"))
        assert run("train", trained, "--resume", "--save_dir", trained / "save") == 2
        assert "classes" in capsys.readouterr().err
    finally:
        (trained / "classes.txt").write_text(names)
    assert run("train", trained, "--resume", "--save_dir", trained / "save") == 0
