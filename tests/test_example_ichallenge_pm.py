"""examples/ichallenge_pm.py on small trees in iChallenge-PM's own format."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from miniature import Miniature
from PIL import Image
from sklearn.metrics import roc_auc_score

from chexnet.backbones import NETWORKS
from chexnet.errors import InputError
from chexnet.lists import read_list
from chexnet.metrics.proportions import wilson
from chexnet.predictions import Predictions

sys.path.insert(0, str(ROOT / "examples"))

import ichallenge_pm
from ichallenge_pm_lists import read_labels, write_lists

SCRIPT = ROOT / "examples" / "ichallenge_pm.py"
HEADER = ["ID", "imgName", "Label", "Fovea_X", "Fovea_Y"]
TRAINING = [f"{letter}{number:04d}.jpg" for letter in "PHN" for number in range(1, 5)]
VALIDATION = {f"V{number:04d}.jpg": number % 2 for number in range(1, 9)}


def photograph(path: Path, positive: bool, seed: int) -> None:
    """A dark red disc on black, with a bright patch where the retina has become thin."""
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
    path.write_text("".join(",".join(map(str, row)) + "\r\n" for row in rows))
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
    """12 images to train on, in a folder within its own name as the archives unpack, 8 to validate on, labels.csv."""
    root = tmp_path / "palm"
    for seed, name in enumerate(TRAINING):
        photograph(root / "PALM-Training400" / "PALM-Training400" / name, name[0] == "P", seed)
    for seed, (name, label) in enumerate(VALIDATION.items(), start=100):
        photograph(root / "PALM-Validation400" / name, bool(label), seed)
    write_csv(root / "labels.csv", table(VALIDATION))
    return root


def test_from_the_original_xlsx_to_scores_from_another_folder(palm, tmp_path):
    labels = write_xlsx(palm / "PALM-Validation-GT" / "PM_Label_and_Fovea_Location.xlsx", table(VALIDATION))
    flags = ["--network", "lenet", "--epochs", "1", "--device", "cpu"]
    command = [sys.executable, str(SCRIPT), "--data", "palm", "--labels", str(labels), *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "=> 12 images to train on, 8 to validate on" in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-4].startswith("Accuracy at 0.5 on 8 validation images: ")
    assert lines[-4].endswith("who always gives the more frequent label: 50.00 %")
    assert lines[-3].startswith("AUROC: ")
    assert "that it does not learn for lenet on colour" in lines[-2]
    final = tmp_path / lines[-1].partition(": ")[2]
    assert final.is_file()
    assert final.name == "final.pdparams"  # the best epoch's was chosen by the images that it would be scored on
    facts = json.loads(final.with_suffix(".json").read_text())
    assert (facts["backbone"], facts["classes"]) == ("lenet", ["Pathologic myopia"])
    config = json.loads((final.parent / "config.json").read_text())
    recipe = {
        "optimizer": "momentum",
        "learning_rate": 0.001,
        "scaling": "symmetric",
        "batch_size": 10,
        "resize": 224,
        "crop": 224,
        "init": "random",
        "decay_epochs": [],
    }
    assert config | recipe == config


def test_a_network_learns_from_the_lists_and_the_scores_are_its(palm, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(NETWORKS, "lenet", Miniature)
    args = ["--data", str(palm), "--labels", str(palm / "labels.csv"), "--network", "lenet", "--epochs", "12"]
    args += ["--learning_rate", "0.03", "--save_dir", str(tmp_path / "run"), "--device", "cpu"]
    assert ichallenge_pm.main(args) == 0
    printed = capsys.readouterr().out
    assert "AUROC: 1.0000 (95 % interval" in printed
    assert ichallenge_pm.main(args) == 2
    assert "holds another run" in capsys.readouterr().err


def test_the_defaults_are_the_texts():
    flags = ichallenge_pm.build_parser().parse_args(["--data", "a", "--labels", "b"])
    assert (flags.epochs, flags.batch_size, flags.learning_rate) == (5, 10, 0.001)


@pytest.mark.parametrize("nested", [True, False])
def test_the_lists_say_what_names_and_labels_say(palm, tmp_path, nested):
    folder = palm / "PALM-Training400"
    if not nested:
        (folder / "PALM-Training400").rename(palm / "moved")
        folder.rmdir()
        (palm / "moved").rename(folder)
    lists = write_lists(palm, palm / "labels.csv", tmp_path / "run")
    assert lists.classes.read_text() == "Pathologic myopia\n"
    train, val = read_list(lists.train, 1), read_list(lists.val, 1)
    inside = "PALM-Training400/" * (1 + nested)
    assert dict(zip(train.names, train.labels.ravel().tolist(), strict=True)) == {
        f"{inside}{name}": int(name.startswith("P")) for name in TRAINING
    }
    assert dict(zip(val.names, val.labels.ravel().tolist(), strict=True)) == {
        f"PALM-Validation400/{name}": label for name, label in VALIDATION.items()
    }


def test_csv_and_xlsx_say_the_same_in_any_order_of_columns(tmp_path):
    turned = [row[::-1] for row in table(VALIDATION)]
    for number, rows in enumerate((table(VALIDATION), turned)):
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
def test_a_table_that_cannot_be_names_the_row(tmp_path, write, rows, message):
    path = write(tmp_path / f"labels.{write.__name__.partition('_')[2]}", rows)
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}{message}")


def break_xlsx(palm: Path) -> None:
    (palm / "labels.xlsx").write_bytes(b"PK\x03\x04 truncated")


def remove_label(palm: Path) -> None:
    write_csv(palm / "labels.csv", table({name: label for name, label in VALIDATION.items() if name != "V0003.jpg"}))


def another_name(name: str):
    return lambda palm: photograph(palm / "PALM-Training400" / "PALM-Training400" / name, True, 0)


def unpacked_half(palm: Path) -> None:
    (palm / "PALM-Training400" / "PALM-Training400").rename(palm / "elsewhere")
    (palm / "PALM-Training400" / "PALM-Training400.zip").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        (another_name("X0001.jpg"), "labels.csv", "X0001.jpg: the name says nothing of the label"),
        (another_name("p0001.jpg"), "labels.csv", "p0001.jpg: the name says nothing of the label"),
        (another_name("P0001 (1).jpg"), "labels.csv", "P0001 (1).jpg: the name says nothing of the label"),
        (lambda palm: (palm / "PALM-Validation400").rename(palm / "x"), "labels.csv", "no such folder, expected the"),
        (unpacked_half, "labels.csv", "holds PALM-Training400.zip, expected images; unpack it there"),
        (remove_label, "labels.csv", "1 images without a label in"),
        (
            lambda palm: (palm / "PALM-Validation400" / "V0004.jpg").unlink(),
            "labels.csv",
            "1 labels without an image in",
        ),
        (lambda palm: None, "none.csv", "none.csv: the label file cannot be read: No such file"),
        (lambda palm: None, "none.xlsx", "none.xlsx: not readable as XLSX"),
        (break_xlsx, "labels.xlsx", "labels.xlsx: not readable as XLSX"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(palm, tmp_path, capsys, change, labels, message):
    if labels.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    change(palm)
    args = ["--data", str(palm), "--labels", str(palm / labels), "--save_dir", str(tmp_path / "run")]
    assert ichallenge_pm.main(args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_broken_photograph_is_named(palm, tmp_path, capsys):
    (palm / "PALM-Training400" / "PALM-Training400" / "H0002.jpg").write_bytes(b"\xff\xd8\xff")
    args = ["--data", str(palm), "--labels", str(palm / "labels.csv"), "--network", "lenet", "--device", "cpu"]
    assert ichallenge_pm.main([*args, "--save_dir", str(tmp_path / "run")]) == 2
    assert "H0002.jpg: cannot be decoded" in capsys.readouterr().err


def test_without_openpyxl_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match="pip install openpyxl, or save the file as CSV"):
        read_labels(tmp_path / "labels.xlsx")


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_scores_are_those_of_a_plain_count(share):
    rng = np.random.default_rng(0)
    labels = (rng.random(50) < share).astype(np.uint8)
    probabilities = np.append(0.5, (labels[1:] * 0.3 + rng.random(49)) / 1.3).astype(np.float32)
    names = tuple(map(str, range(50)))
    said = ichallenge_pm.format_scores(Predictions("list", names, labels[:, None], probabilities[:, None], ("x",)))
    right = sum((one >= 0.5) == bool(label) for label, one in zip(labels, probabilities, strict=True))
    low, high = wilson(right, 50)
    assert f"50 validation images: {2 * right:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f})" in said
    assert f"more frequent label: {2 * max(labels.sum(), 50 - labels.sum()):.2f} %" in said
    assert f"AUROC: {roc_auc_score(labels, probabilities):.4f}" in said


def test_help_speaks_of_gray_and_names_the_folders():
    told = ichallenge_pm.build_parser().format_help()
    assert "gray" in told
    assert "PALM-Training400" in told
