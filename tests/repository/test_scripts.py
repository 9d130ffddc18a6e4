"""The scripts as a user runs them: output and errors."""

import importlib.util
import json
import subprocess
import sys

import paddle  # noqa: F401  not inside a test: its progress bar keeps the standard output of the import
import pytest
from conftest import ROOT

from chexnet import cli


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_the_defaults_are_those_of_the_earlier_paddle_chexnet():
    train = vars(script("train").build_parser().parse_args([]))
    assert (
        train
        | {
            "data_dir": "dataset/images",
            "train_list": "dataset/labels/train_list.txt",
            "val_list": "dataset/labels/val_list.txt",
            "save_dir": "save",
            "batch_size": 128,
            "learning_rate": 0.001,
            "epoch": 20,
            "decay_epochs": (10, 15, 18),
            "decay_factor": 0.1,
            "init": "imagenet",
            "resize": 256,
            "crop": 224,
            "amp": "off",
        }
        == train
    )
    evaluation = vars(script("eval").build_parser().parse_args([]))
    assert (
        evaluation
        | {
            "data_dir": "dataset/images",
            "test_list": "dataset/labels/test_list.txt",
            "batch_size": 128,
            "ckpt": "pretrained_models/model_paddle.pdparams",
        }
        == evaluation
    )


def test_a_flag_with_its_default_value_is_explicit():
    parser = script("train").build_parser()
    assert parser.explicit_args(["--resume", "--epoch", "20", "--decay_epochs", "1,2"]) == {
        "resume": "",
        "epoch": 20,
        "decay_epochs": (1, 2),
    }
    assert parser.explicit_args([]) == {}


def test_train_then_eval_from_another_folder(folder, tmp_path):
    images, train_list = folder(6, "train.txt")
    _, val_list = folder(4, "val.txt")
    common = ["--data_dir", images, "--batch_size", "2", "--num_workers", "1", "--device", "cpu"]
    sizes = ["--resize", "40", "--crop", "32", "--init", "random", "--epoch", "1", "--save_dir", "run"]
    small = ["--train_list", train_list, "--val_list", val_list, *sizes, "--backbone", "lenet"]
    trained = run("train", *common, *small, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    lines = trained.stdout.splitlines()
    assert lines[0].startswith("=> Paddle")
    assert "Epoch 1/1" in lines
    step = next(line for line in lines if line.startswith("step 3/3"))
    assert "- loss: " in step
    assert "- AUROC_Atelectasis: " in step
    assert "- AUROC_avg: " in step
    assert step.endswith("/step")
    assert "Next: python eval.py" in lines[-1]

    outputs = ["--output_json", "r.json", "--output_csv", "p.csv", "--compare"]
    scored = run("eval", *common, "--test_list", val_list, "--ckpt", "run/best_model.pdparams", *outputs, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    lines = scored.stdout.splitlines()
    assert ", float32, CPU, " in lines[0]
    assert lines[1] == "=> 10 crops of 32 px from 40 px"
    assert lines[2:4] == ["=> loading checkpoint", "=> loaded checkpoint"]
    mean = json.loads((tmp_path / "r.json").read_text())["mean"]["auroc"]
    assert lines[4:6] == ["The final AUROCs:", f"The average AUROC is {mean:.3f}"]
    assert lines[6].startswith("The AUROC of Atelectasis is ")
    assert "Paddle-CheXNet" in scored.stdout
    assert "4/4" in scored.stderr
    assert (tmp_path / "p.csv").read_text().count("\n") == 5


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train", ["--decay_epochs", "10,5"], "'10,5'"),
        ("train", ["--decay_epochs", "ten"], "'ten'"),
        ("train", ["--batch_size", "0"], "'0'"),
        ("train", ["--learning_rate", "nan"], "'nan'"),
        ("train", ["--seed", "4294967296"], "2**32"),
        ("train", ["--amp", "O3"], "invalid choice: 'O3'"),
        ("eval", ["--crops", "5"], "invalid choice: 5"),
        ("eval", ["--chekpoint", "x"], "unrecognized arguments: --chekpoint x"),
    ],
)
def test_a_bad_flag_is_one_line_and_code_2(name, arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        script(name).main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def break_list(images, lists):
    lists.write_text("a.png 0 1\n")


def break_image(images, lists):
    (images / "list_001.png").write_bytes(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_list, "list.txt:1: 2 labels after the name, expected 14"),
        (break_image, "list_001.png: cannot be decoded"),
        (lambda images, lists: lists.write_text(""), "the list is empty"),
        (lambda images, lists: lists.unlink(), "the list file cannot be read"),
        (lambda images, lists: (images / "list_000.png").unlink(), "1 of 3 images are missing"),
        (lambda images, lists: None, "model.pdparams: not a readable Paddle weight file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, tmp_path, capsys, change, message):
    images, lists = folder(3)
    ckpt = tmp_path / "model.pdparams"
    change(images, lists)
    common = ["--data_dir", str(images), "--device", "cpu"]
    if "weight file" in message:
        ckpt.write_bytes(b"\x80\x04truncated")
        code = script("eval").main([*common, "--test_list", str(lists), "--ckpt", str(ckpt)])
    else:
        sizes = ["--resize", "40", "--crop", "32", "--init", "random", "--save_dir", str(tmp_path / "save")]
        names = ["--train_list", str(lists), "--val_list", str(lists)]
        code = script("train").main([*common, *names, *sizes, "--epoch", "1"])
    assert code == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert message in error[0]


def test_debug_shows_the_traceback(tmp_path):
    done = run("eval", "--ckpt", tmp_path / "none.pdparams", "--debug")
    assert "Traceback" in done.stderr
    done = run("eval", "--ckpt", tmp_path / "none.pdparams", "--device", "cpu")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unwritable_output_is_detected_before_the_work(tmp_path, capsys):
    (tmp_path / "folder.json").mkdir()
    ckpt = str(tmp_path / "model.pdparams")
    for output, message in (("folder.json", "is a folder"), ("model.json", "read by this run"), ("a.txt", "ends in")):
        assert script("eval").main(["--output_json", str(tmp_path / output), "--ckpt", ckpt]) == 2
        assert message in capsys.readouterr().err


def test_ctrl_c_prints_one_word(capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    assert cli.run(cli.Parser("x"), interrupted, []) == 130
    assert capsys.readouterr().err == "interrupted\n"
