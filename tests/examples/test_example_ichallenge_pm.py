"""examples/ichallenge_pm.py on small data sets in iChallenge-PM's format."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT
from miniature import Miniature
from PIL import Image
from sklearn.metrics import roc_auc_score

from chexnet.errors import InputError
from chexnet.metrics.proportions import wilson

sys.path.insert(0, str(ROOT / "examples"))

import ichallenge_pm
from classification import Classifier
from ichallenge_pm_data import read_folder, read_labels

SCRIPT = ROOT / "examples" / "ichallenge_pm.py"
HEADER = ["ID", "imgName", "Label", "Fovea_X", "Fovea_Y"]
TRAINING = [f"{letter}{number:04d}.jpg" for letter in "PHN" for number in range(1, 5)]
VALIDATION = {f"V{number:04d}.jpg": number % 2 for number in range(1, 9)}


def photograph(path: Path, positive: bool, seed: int) -> None:
    """Write an image of a dark red disc on black, with a bright patch if positive."""
    rows, columns = np.mgrid[:60, :66]
    disc = (rows - 30) ** 2 + (columns - 33) ** 2 < 28**2
    patch = (rows - 30) ** 2 + (columns - 26) ** 2 < 12**2
    pixels = np.zeros((60, 66, 3)) + disc[..., None] * (110, 45, 20) + (positive * patch)[..., None] * (120, 160, 120)
    pixels += np.random.default_rng(seed).integers(0, 20, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def table(labels: dict[str, int]) -> list[list[object]]:
    rows = [[row, name, label, 1157.74 + row, 1019.87] for row, (name, label) in enumerate(labels.items(), start=1)]
    return [HEADER, *rows]


def write_csv(path: Path, rows: list[list[object]]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\r\n" for row in rows), encoding="utf-8")
    return path


def write_xlsx(path: Path, rows: list[list[object]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook.save(path)
    return path


@pytest.fixture
def palm(tmp_path) -> Path:
    """A data set of 12 training images, 8 validation images and labels.csv, with the nested folder of the archives."""
    root = tmp_path / "palm"
    for seed, name in enumerate(TRAINING):
        photograph(root / "PALM-Training400" / "PALM-Training400" / name, name[0] == "P", seed)
    for seed, (name, label) in enumerate(VALIDATION.items(), start=100):
        photograph(root / "PALM-Validation400" / name, bool(label), seed)
    write_csv(root / "labels.csv", table(VALIDATION))
    return root


def run(palm: Path, save_dir: Path, *flags: str) -> int:
    common = ["--data_dir", str(palm), "--labels", str(palm / "labels.csv"), "--save_dir", str(save_dir)]
    return ichallenge_pm.main([*common, "--device", "cpu", *flags])


def test_from_the_original_xlsx_to_scores_from_another_folder(palm, tmp_path):
    labels = write_xlsx(palm / "PALM-Validation-GT" / "PM_Label_and_Fovea_Location.xlsx", table(VALIDATION))
    flags = ["--backbone", "lenet", "--epoch", "2", "--device", "cpu"]
    command = [sys.executable, str(SCRIPT), "--data_dir", "palm", "--labels", str(labels), *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "=> 12 images to train on, 8 to validate on"
    epoch = r"epoch %d/2 learning rate 0.001: train loss [\d.]+ accuracy [\d.]+, test loss [\d.]+ accuracy ([\d.]+)"
    accuracies = [re.fullmatch(epoch % (number + 1), lines[number + 1])[1] for number in range(2)]
    accuracy = re.match(r"Accuracy at 0.5 on 8 validation images: ([\d.]+) %", lines[3])[1]
    assert float(accuracy) == 100 * float(accuracies[-1])
    assert lines[3].endswith("always giving the more frequent label: 50.00 %")
    assert lines[4].startswith("AUROC: ")
    folder = tmp_path / "save" / "ichallenge_pm"
    metadata = json.loads((folder / "network.json").read_text())
    recipe = {
        "network": "lenet_sigmoid",
        "epochs": 2,
        "batch_size": 10,
        "learning_rate": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "decay_epochs": [],
        "augment": False,
    }
    assert metadata | recipe == metadata
    with Image.open(folder / "photographs.png") as picture:
        assert picture.width > picture.height
    assert {path.name for path in folder.iterdir()} == {
        *("network.json", "network.pdparams", "history.csv", "curves.png", "photographs.png")
    }


def test_a_network_learns_from_color(tmp_path, monkeypatch, capsys):
    """Red and green have the same luma, so nothing could be learned from gray photographs."""
    red, green = (170, 60, 60), (40, 126, 60)
    assert abs(np.dot(red, (0.299, 0.587, 0.114)) - np.dot(green, (0.299, 0.587, 0.114))) < 5
    root = tmp_path / "palm"
    for name in [*TRAINING, *VALIDATION]:
        positive = name[0] == "P" or VALIDATION.get(name, 0)
        folder = "PALM-Validation400" if name[0] == "V" else "PALM-Training400"
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), red if positive else green).save(root / folder / name, quality=95)
    write_csv(root / "labels.csv", table(VALIDATION))
    monkeypatch.setattr(ichallenge_pm, "build", lambda network, activation: Classifier(Miniature(1), [0.5], [0.5]))
    assert run(root, tmp_path / "run", "--epoch", "12", "--learning_rate", "0.03") == 0
    assert "AUROC: 1.0000 (95 % interval" in capsys.readouterr().out
    assert run(root, tmp_path / "run") == 2
    assert "network.pdparams: exists already" in capsys.readouterr().err


def test_the_defaults_are_the_tutorials():
    flags = ichallenge_pm.build_parser().parse_args(["--data_dir", "a", "--labels", "b"])
    assert (flags.epoch, flags.batch_size, flags.learning_rate, flags.activation) == (5, 10, 0.001, "sigmoid")


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        ("lenet", 19_233_841),
        ("alexnet", 71_916_929),
        ("vgg16", 134_264_641),
        ("googlenet", 5_974_577),
        ("resnet50", 23_510_081),
    ],
)
def test_the_networks_have_as_many_parameters_as_the_tutorials(network, parameters):
    built = ichallenge_pm.build(network, "sigmoid")
    assert sum(int(weight.size) for weight in built.parameters() if not weight.stop_gradient) == parameters


@pytest.mark.parametrize("network", ["lenet", "alexnet", "googlenet"])
def test_networks_take_pixels_scaled_to_minus_one_to_one(network):
    built = ichallenge_pm.build(network, "sigmoid")
    built.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224), dtype=np.uint8)
    with paddle.no_grad():
        logits = built(paddle.to_tensor(pixels)).numpy()
        scaled = paddle.to_tensor(pixels.astype(np.float32) / 127.5 - 1)
        expected = built.body.classify(built.body.features(scaled)).numpy()
    np.testing.assert_allclose(logits[:, 1:], expected, atol=1e-4)
    np.testing.assert_allclose(built.predict(pixels)[:, 1:], 1 / (1 + np.exp(-expected)), atol=1e-5)


def test_the_loss_of_two_logits_equals_the_binary_cross_entropy_of_one():
    logit = np.array([[-3.0], [0.2], [5.0]], np.float32)
    labels = np.array([[0], [1], [0]], np.int64)
    pair = np.concatenate([np.zeros_like(logit), logit], axis=1)
    loss = paddle.nn.CrossEntropyLoss()(paddle.to_tensor(pair), paddle.to_tensor(labels))
    binary = paddle.nn.functional.binary_cross_entropy_with_logits(
        paddle.to_tensor(logit), paddle.to_tensor(labels.astype(np.float32))
    )
    assert float(loss) == pytest.approx(float(binary), abs=1e-6)


def test_relu_is_for_lenet_only(palm, tmp_path, capsys):
    assert run(palm, tmp_path / "run", "--backbone", "lenet", "--activation", "relu", "--epoch", "1") == 0
    assert "Published accuracy" not in capsys.readouterr().out
    assert run(palm, tmp_path / "other", "--backbone", "alexnet", "--activation", "relu") == 2
    assert re.match("error: --activation relu: .*alexnet", capsys.readouterr().err)


@pytest.mark.parametrize("nested", [True, False])
def test_images_and_labels_equal_those_of_the_files(palm, nested):
    folder = palm / "PALM-Training400"
    if not nested:
        (folder / "PALM-Training400").rename(palm / "moved")
        folder.rmdir()
        (palm / "moved").rename(folder)
    train, val = read_folder(palm, palm / "labels.csv", lambda done, total: None)
    assert train.labels.tolist() == [int(name.startswith("P")) for name in sorted(TRAINING)]
    assert val.labels.tolist() == [VALIDATION[name] for name in sorted(VALIDATION)]
    folder = palm / "PALM-Training400" / ("PALM-Training400" * nested)
    for pixels, name in zip(train.pixels, sorted(TRAINING), strict=True):
        with Image.open(folder / name) as image:
            resized = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(pixels, resized.transpose(2, 0, 1))


def test_csv_and_xlsx_give_the_same_labels_in_any_order_of_columns(tmp_path):
    reversed_columns = [row[::-1] for row in table(VALIDATION)]
    for number, rows in enumerate((table(VALIDATION), reversed_columns)):
        assert read_labels(write_csv(tmp_path / f"{number}.csv", rows)) == VALIDATION
        assert read_labels(write_xlsx(tmp_path / f"{number}.xlsx", rows)) == VALIDATION


def test_a_csv_with_a_byte_order_mark_and_empty_lines_is_read(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfimgName,Label\r\nV0001.jpg,1\r\n\r\n,\r\nV0002.jpg, 0\r\n")
    assert read_labels(path) == {"V0001.jpg": 1, "V0002.jpg": 0}


@pytest.mark.parametrize("write", [write_csv, write_xlsx])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["ID", "imgName"], [1, "V0001.jpg"]], ":1: 0 columns 'Label', expected one"),
        ([["imgName", "Label", "Label"], ["V0001.jpg", 0, 1]], ":1: 2 columns 'Label', expected one"),
        ([HEADER, [1, "V0001.jpg", 2]], ":2: Label of V0001.jpg is '2', expected 0 or 1"),
        ([HEADER, [1, "V0001.jpg", 1], [2, "V0002.jpg", ""]], ":3: Label of V0002.jpg is '', expected 0 or 1"),
        ([HEADER, [1, "V0001.jpg"]], ":2: Label of V0001.jpg is '', expected 0 or 1"),
        ([HEADER, [1, "V0001.jpg", 1], [2, "V0001.jpg", 1]], ":3: imgName is 'V0001.jpg', expected the name of an"),
        ([HEADER, [1, "", 1]], ":2: imgName is '', expected the name"),
        ([], ":1: 0 columns 'imgName', expected one"),
    ],
)
def test_an_invalid_table_is_refused_with_its_row(tmp_path, write, rows, message):
    path = write(tmp_path / f"labels.{write.__name__.partition('_')[2]}", rows)
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}{message}")


def break_xlsx(palm: Path) -> None:
    (palm / "labels.xlsx").write_bytes(b"PK\x03\x04 truncated")


def remove_label(palm: Path) -> None:
    write_csv(palm / "labels.csv", table({name: label for name, label in VALIDATION.items() if name != "V0003.jpg"}))


def add_photograph(name: str):
    return lambda palm: photograph(palm / "PALM-Training400" / "PALM-Training400" / name, True, 0)


def unpack_only_outer_archive(palm: Path) -> None:
    (palm / "PALM-Training400" / "PALM-Training400").rename(palm / "elsewhere")
    (palm / "PALM-Training400" / "PALM-Training400.zip").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        (add_photograph("X0001.jpg"), "labels.csv", "X0001.jpg: "),
        (add_photograph("p0001.jpg"), "labels.csv", "p0001.jpg: "),
        (add_photograph("P0001 (1).jpg"), "labels.csv", "P0001 (1).jpg: "),
        (lambda palm: (palm / "PALM-Validation400").rename(palm / "x"), "labels.csv", "PALM-Validation400"),
        (unpack_only_outer_archive, "labels.csv", "PALM-Training400.zip"),
        (remove_label, "labels.csv", "1 images without a label in"),
        (
            lambda palm: (palm / "PALM-Validation400" / "V0004.jpg").unlink(),
            "labels.csv",
            "1 labels without an image in",
        ),
        (lambda palm: None, "none.csv", "none.csv: "),
        (lambda palm: None, "none.xlsx", "none.xlsx: "),
        (break_xlsx, "labels.xlsx", "labels.xlsx: "),
    ],
)
def test_invalid_input_is_one_error_line_and_nothing_is_written(palm, tmp_path, capsys, change, labels, message):
    if labels.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    change(palm)
    args = ["--data_dir", str(palm), "--labels", str(palm / labels), "--save_dir", str(tmp_path / "run")]
    assert ichallenge_pm.main(args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_broken_photograph_is_named(palm, tmp_path, capsys):
    (palm / "PALM-Training400" / "PALM-Training400" / "H0002.jpg").write_bytes(b"\xff\xd8\xff")
    args = ["--data_dir", str(palm), "--labels", str(palm / "labels.csv"), "--backbone", "lenet", "--device", "cpu"]
    assert ichallenge_pm.main([*args, "--save_dir", str(tmp_path / "run")]) == 2
    assert "H0002.jpg: " in capsys.readouterr().err


def test_without_openpyxl_the_message_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match="pip install openpyxl"):
        read_labels(tmp_path / "labels.xlsx")


@pytest.mark.parametrize("prevalence", [0.3, 0.7])
def test_scores_equal_a_plain_count(prevalence):
    rng = np.random.default_rng(0)
    labels = (rng.random(50) < prevalence).astype(np.uint8)
    probabilities = np.append(0.5, (labels[1:] * 0.3 + rng.random(49)) / 1.3).astype(np.float32)
    text = ichallenge_pm.format_scores(labels.tolist(), probabilities.tolist())
    correct = sum((probability >= 0.5) == bool(label) for label, probability in zip(labels, probabilities, strict=True))
    low, high = wilson(correct, 50)
    assert f"50 validation images: {2 * correct:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f})" in text
    assert f"more frequent label: {2 * max(labels.sum(), 50 - labels.sum()):.2f} %" in text
    assert f"AUROC: {roc_auc_score(labels, probabilities):.4f}" in text
