"""The command `chexnet`: the same scripts under one name."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, load_script

from chexnet.cli import commands

SCRIPTS = {"train.py", "eval.py", "predict.py", "convert_torch_weights.py", *map(str, ROOT.glob("tools/*.py"))}


def chexnet(*arguments, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "chexnet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_every_script_is_a_command():
    assert {ROOT / script for script in commands.SCRIPTS.values()} == {ROOT / script for script in SCRIPTS}


def test_the_help_lists_every_command_with_its_purpose():
    lines = chexnet("--help").stdout.splitlines()
    for name, script in commands.SCRIPTS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.split(None, 1)[1] == load_script(script).__doc__.split("\n")[0]


def test_a_command_is_its_script(tmp_path):
    done = chexnet("phantom", "--output_dir", "data", "--images", "40", "--size", "32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "labels" / "test_list.txt").is_file()
    assert "Next: chexnet train " in done.stdout
    assert ".py" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evl"], ["'evl'", "eval?"]),
        (["predict", "missing.png"], ["missing.png"]),
        (["eval", "--ckpt", "missing.pdparams"], ["missing.pdparams", "chexnet convert", "chexnet train"]),
        (["train", "--epochs", "3"], ["--epoch"]),
    ],
)
def test_errors_are_one_line_that_names_commands(arguments, words, tmp_path):
    done = chexnet(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if all(word in line for word in words)]
    assert ".py" not in error.replace(str(ROOT), "")


def test_usage_and_examples_name_the_command():
    text = chexnet("predict", "--help").stdout
    assert text.startswith("usage: chexnet predict")
    assert "    chexnet predict examples/" in text
    assert "predict.py" not in text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("python tools/export.py --ckpt a", "chexnet export --ckpt a"),
        ("see train.py --resume.", "see chexnet train --resume."),
        ("run: python train.py", "run: chexnet train"),
        (
            "/data/train.py, my_train.py, train.py.bak, train.pyc",
            "/data/train.py, my_train.py, train.py.bak, train.pyc",
        ),
    ],
)
def test_scripts_in_messages_become_commands(text, named, monkeypatch):
    assert commands.name_commands(text) == text
    monkeypatch.setattr(sys, "argv", ["chexnet eval"])
    assert commands.name_commands(text) == named


def test_a_wheel_contains_the_scripts_and_the_weights_for_trying(tmp_path):
    pytest.importorskip("hatchling", reason="pip install hatchling")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    names = zipfile.ZipFile(tmp_path / done.stdout.split()[-1]).namelist()
    scripts = {f"chexnet/scripts/{Path(script).name}" for script in commands.SCRIPTS.values()}
    assert scripts == {name for name in names if name.startswith("chexnet/scripts/")}
    shipped = {f"chexnet/pretrained_models/{path.name}" for path in (ROOT / "pretrained_models").glob("phantom_*")}
    assert shipped <= set(names)
    assert {"chexnet/py.typed", "chexnet/web/page/index.html", "chexnet/known_lists.json"} <= set(names)
    assert not [name for name in names if "node_modules" in name]
    assert not [name for name in names if name.startswith(("tests/", "train.py", "tools/"))]
