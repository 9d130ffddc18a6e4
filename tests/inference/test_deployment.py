"""Exports: they equal the checkpoint, run without the library, and are complete or absent."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT
from PIL import Image

from chexnet.config import EXPORT_FORMATS
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference import Predictor, engines, graph_export
from chexnet.inference.deployment import DESCRIPTION, deploy
from chexnet.model import CheXNet, checkpoint
from chexnet.model.backbones import BACKBONES
from chexnet.phantom import draw

CLASSES = ("Edema", "Left <lung>", "Right lung")
RESIZE, CROP = 72, 64


def possible(form: str) -> str:
    if form == "onnx" and (why := engines.why_unavailable("onnxruntime")):
        pytest.skip(why)
    return form


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    """A network with spread probabilities and its own classes, sizes and normalization."""
    paddle.seed(5)
    network = CheXNet(len(CLASSES), "lenet")
    for layer in (body := network.backbone).conv1, body.conv2, body.conv3, body.fc1, body.fc2:
        layer.weight.set_value(layer.weight * 4)
    body.fc2.weight.set_value(body.fc2.weight - body.fc2.weight.mean(axis=0))
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save(network.state_dict(), path)
    facts = {"backbone": "lenet", "classes": CLASSES, "resize": RESIZE, "crop": CROP, "normalization": "minus_one_one"}
    checkpoint.write_metadata_file(path, {**facts, "notice": "Of a test."})
    return path


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_describes_itself_and_computes_what_the_checkpoint_does(ckpt, tmp_path, form):
    done = deploy(ckpt, tmp_path / "out", possible(form))
    facts = json.loads((tmp_path / "out" / DESCRIPTION).read_text())
    assert facts == done.description
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*facts["files"], DESCRIPTION}
    assert all(sha256(tmp_path / "out" / name) == digest for name, digest in facts["files"].items())
    assert done.graph.name == facts["graph"] in facts["files"]
    assert [facts[name] for name in ("classes", "backbone", "resize", "crop", "notice", "ckpt_sha256")] == [
        *(list(CLASSES), "lenet", RESIZE, CROP, "Of a test.", sha256(ckpt))
    ]
    noise = np.random.default_rng(1).random((7, 1, CROP, CROP))
    crops = (noise * np.linspace(0, 255, 7).reshape(7, 1, 1, 1)).astype(np.uint8)  # from black to bright
    expected = Predictor(ckpt, device="cpu").network.predict(crops)
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(engines.load_exported(done.graph).predict(crops), expected, atol=1e-5)


def test_the_code_of_the_documentation_gives_the_results_of_the_library(ckpt, tmp_path):
    """Run it in an interpreter without chexnet and Paddle."""
    deploy(ckpt, tmp_path / "exported", possible("onnx"))
    image = draw(["Mass"], 120, patient=1).image[:, 7:]  # sides that divide by nothing
    Image.fromarray(image).save(tmp_path / "chest.png")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
    hidden = "import sys\nsys.modules['paddle'] = sys.modules['chexnet'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", hidden + code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    expected = Predictor(ckpt, crops=1, device="cpu", images=1).predict(image)
    assert list(printed) == list(CLASSES)
    for name, text in printed.items():
        assert float(text) == pytest.approx(expected.probability(name), abs=6e-4)


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_that_computes_something_else_is_not_written(ckpt, tmp_path, monkeypatch, form):
    deploy(ckpt, tmp_path / "out", possible(form))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    name = {"paddle": "save_program", "onnx": "save_onnx"}[form]
    original = getattr(graph_export, name)

    def export_another(network, folder, crop):
        other = CheXNet(network.out_size, network.backbone_name)
        return original(other, folder, crop)

    monkeypatch.setattr(graph_export, name, export_another)
    with pytest.raises(InputError, match=r"model\.pdparams: .* differ by 0\.\d+"):
        deploy(ckpt, tmp_path / "out", form)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_other_files_is_not_touched(ckpt, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"'thesis\.tex'"):
        deploy(ckpt, tmp_path)
    with pytest.raises(InputError, match=r"'model\.pdparams'"):
        deploy(ckpt, ckpt.parent)
    assert ckpt.is_file()


def test_an_error_about_onnx_names_the_remedy(ckpt, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_export, "ONNX_POSSIBLE", False)
    with pytest.raises(InputError, match=r"--format onnx: .* Paddle 3, .* --format paddle"):
        deploy(ckpt, tmp_path / "out", "onnx")
    monkeypatch.setattr(graph_export, "ONNX_POSSIBLE", True)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--format onnx: .*: pip install onnxruntime paddle2onnx"):
        deploy(ckpt, tmp_path / "out", "onnx")


def test_the_script_prints_the_files_and_the_difference(ckpt, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("tool_export", ROOT / "tools/export.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(["--ckpt", str(ckpt), "--output_dir", str(tmp_path / "out")]) == 0
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".*out/model\.(json|pdmodel): lenet, 3 outputs, crops of 64 px", first)
    assert re.fullmatch(r"Verified: .*model\.pdparams by at most \d\.\de-\d\d\.", second)
    assert str(tmp_path / "out" / DESCRIPTION) in third
    assert tool.main(["--ckpt", str(ckpt), "--output_dir", str(tmp_path / "out"), "--backbone", "resnet50"]) == 2
    assert "the checkpoint is a lenet, not a resnet50" in capsys.readouterr().err


@pytest.mark.parametrize("backbone", ["resnext50_32x4d", "vgg16", "googlenet", "alexnet", "lenet"])
def test_every_kind_of_backbone_becomes_onnx(backbone, tmp_path):
    possible("onnx")
    paddle.seed(6)
    path = tmp_path / "a.safetensors"
    checkpoint.save_weights(CheXNet(2, backbone).state_dict(), path)
    side = BACKBONES[backbone].min_input_size + BACKBONES[backbone].grid.stride  # class maps of 2 x 2 cells
    checkpoint.write_metadata_file(path, {"backbone": backbone, "classes": ["a", "b"], "crop": side})
    facts = deploy(path, tmp_path / "out", "onnx").description
    assert facts["largest_difference"] < 1e-5
    path.unlink()
