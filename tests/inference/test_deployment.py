"""Exports: they equal the checkpoint, run without the library, and are complete or absent."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT, run_script
from exported_graphs import load_exported
from PIL import Image

from chexnet.config import EXPORT_FORMATS, InferenceConfig
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference import Predictor, engines, graph_export
from chexnet.inference.deployment import DESCRIPTION, deploy
from chexnet.model import CheXNet, checkpoint
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


@pytest.mark.parametrize(("form", "whole"), [("onnx", True), ("onnx", False), ("paddle", False)])
def test_an_export_describes_itself_and_computes_what_the_checkpoint_does(ckpt, tmp_path, form, whole):
    done = deploy(ckpt, tmp_path / "out", possible(form), whole_image=None if whole == (form == "onnx") else whole)
    facts = json.loads((tmp_path / "out" / DESCRIPTION).read_text())
    assert facts == done.description
    assert facts["whole_image"] is whole
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*facts["files"], DESCRIPTION}
    assert all(sha256(tmp_path / "out" / name) == digest for name, digest in facts["files"].items())
    assert done.graph.name == facts["graph"] in facts["files"]
    assert [facts[name] for name in ("classes", "backbone", "resize", "crop", "notice", "ckpt_sha256")] == [
        *(list(CLASSES), "lenet", RESIZE, CROP, "Of a test.", sha256(ckpt))
    ]
    engine = {"onnx": "onnxruntime", "paddle": "paddle"}[form]
    assert any(name.startswith(f"{engine} ") for name in facts["differences"])
    assert facts["largest_difference"] == max(facts["differences"].values()) < 1e-5
    if whole:
        assert facts["input"] == {"name": "image", "dtype": "uint8", "shape": ["height", "width"]}
        assert facts["outputs"] == {"probability": [len(CLASSES)]}
        return
    noise = np.random.default_rng(1).random((7, 1, CROP, CROP))
    crops = (noise * np.linspace(0, 255, 7).reshape(7, 1, 1, 1)).astype(np.uint8)  # from black to bright
    expected = Predictor(ckpt, device="cpu").network.predict(crops)
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(load_exported(done.graph).predict(crops), expected, atol=1e-5)


@pytest.mark.parametrize("crops", [10, 1])
def test_the_code_of_the_documentation_gives_the_results_of_the_library(ckpt, tmp_path, crops):
    """Run it in an interpreter without chexnet and Paddle."""
    config = InferenceConfig(ckpt=str(ckpt), crops=crops)
    deploy(config, tmp_path / "exported", possible("onnx"))
    image = draw(["Mass"], 120, patient=1).image[:, 7:]  # sides that divide by nothing
    Image.fromarray(image).save(tmp_path / "chest.png")
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)[0]
    hidden = "import sys\nsys.modules['paddle'] = sys.modules['chexnet'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", hidden + code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    expected = Predictor(config, device="cpu", images=1).predict(image)
    assert list(printed) == list(CLASSES)
    for name, text in printed.items():
        assert float(text) == pytest.approx(expected.probability(name), abs=5e-6)


def test_options_that_do_not_apply_are_refused(ckpt, tmp_path):
    for options in ({"maps": 64}, {"weights": "float16"}, {"channels": 3}, {"thresholds": "a.json"}):
        (name,) = options
        with pytest.raises(InputError, match=f"--{name}: needs --format onnx"):
            deploy(ckpt, tmp_path / "out", "paddle", **options)
    with pytest.raises(InputError, match="--whole_image: needs --format onnx"):
        deploy(ckpt, tmp_path / "out", "paddle", whole_image=True)
    possible("onnx")
    with pytest.raises(InputError, match=r"missing\.json: "):
        deploy(ckpt, tmp_path / "out", thresholds=str(tmp_path / "missing.json"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_that_computes_something_else_is_not_written(ckpt, tmp_path, monkeypatch, form):
    deploy(ckpt, tmp_path / "out", possible(form))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    name = {"paddle": "save_program", "onnx": "save_onnx"}[form]
    original = getattr(graph_export, name)

    def export_another(network, *rest):
        other = CheXNet(network.out_size, network.backbone_name)
        return original(other, *rest)

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
    with pytest.raises(InputError, match=r"--format onnx: .*: pip install onnx onnxruntime paddle2onnx|3.13"):
        deploy(ckpt, tmp_path / "out", "onnx")


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_the_script_prints_the_files_and_the_differences(ckpt, tmp_path, capsys, form):
    flags = ["--ckpt", str(ckpt), "--output_dir", str(tmp_path / "out"), "--format", possible(form)]
    assert run_script("tools/export.py", *flags) == 0
    first, *verified, last = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("=>")]
    takes = {"onnx": "whole images, 10 crops of 64 px", "paddle": "10 crops of 64 px"}[form]
    assert re.fullmatch(rf".*out/model\.(json|pdmodel|onnx): lenet, 3 outputs, {takes}", first)
    assert all(re.search(r"model\.pdparams by at most \d\.\de-\d\d\.$|not installed\.$", line) for line in verified)
    assert str(tmp_path / "out" / DESCRIPTION) in last
    assert run_script("tools/export.py", *flags, "--backbone", "resnet50") == 2
    assert "the checkpoint is a lenet, not a resnet50" in capsys.readouterr().err
