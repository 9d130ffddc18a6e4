"""`import chexnet` is light, complete and typed."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

import chexnet
from chexnet.model.backbones import BACKBONES

PUBLIC = {
    *("CheXNet", "load", "Predictor", "train", "resume", "evaluate", "localize", "TrainConfig", "EvalConfig"),
    *("ChestXrayDataSet", "list_backbones", "register_backbone", "CLASS_NAMES"),
}

BLOCKED = """
import sys
sys.modules.update(dict.fromkeys(("paddle", "numpy", "PIL")))
"""
"""Makes the import of these packages fail."""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_and_its_configurations_need_neither_paddle_nor_numpy():
    code = BLOCKED + "import chexnet; print(*dir(chexnet)); print(*chexnet.list_backbones()); chexnet.TrainConfig()"
    names, backbones = (line.split() for line in python(code).splitlines())
    assert set(names) >= PUBLIC
    assert set(backbones) == set(BACKBONES)
    assert len(python(BLOCKED + "import chexnet; print(*chexnet.CLASS_NAMES)").split()) == 14


def test_every_public_name_resolves_to_something_of_the_package():
    assert set(chexnet.__all__) == PUBLIC
    for name in PUBLIC - {"CLASS_NAMES"}:
        value = getattr(chexnet, name)
        assert value.__name__ == name
        assert value.__module__.startswith("chexnet.")
    with pytest.raises(AttributeError, match="nothing"):
        _ = chexnet.nothing


def test_submodules_stay_modules():
    code = "import chexnet; chexnet.CheXNet, chexnet.load, chexnet.train; import chexnet.model; print(chexnet.model)"
    assert python(code).startswith("<module 'chexnet.model'")


USE = """
import chexnet

network = chexnet.load("save/best_model.pdparams")
print(network.classes[0].upper(), network.preprocessing.crop + 1)
config = chexnet.TrainConfig(backbone="resnet50", epoch=2)
print(chexnet.train(config).best_auroc + 0.5, chexnet.Predictor("a.pdparams").predict("a.png").probabilities.shape)
"""


WRONG = """
import chexnet

chexnet.TrainConfig(epochs=2)
chexnet.fit
"""


def test_type_checkers_see_the_public_names(tmp_path):
    pytest.importorskip("mypy")
    files = {"use.py": USE, "wrong.py": WRONG}
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    # The types of other packages, which take most of the time to read, do not matter here.
    alone = ["--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent", "--cache-dir", os.devnull]
    command = [sys.executable, "-m", "mypy", *alone]
    paths = [tmp_path / name for name in files]
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert ["wrong.py:4:" in error for error in errors] == [True, False], done.stdout + done.stderr
    assert "wrong.py:5:" in errors[1]


def test_the_marker_of_a_typed_package_is_shipped():
    assert (ROOT / "chexnet" / "py.typed").is_file()  # the wheel has all files of the package, see test_commands.py
