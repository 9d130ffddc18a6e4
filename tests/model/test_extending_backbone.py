"""A custom backbone: the code of docs/extending.md trains, resumes, evaluates, predicts and exports."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, load_script
from exported_graphs import load_exported
from miniature import small_config

import chexnet
from chexnet.config import TrainConfig
from chexnet.data.images import read
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference.deployment import deploy
from chexnet.model.backbones import BACKBONES, Backbone, GlobalPoolBackbone


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The code of docs/extending.md as a file."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    section = page.partition("\n## A backbone\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path_factory.mktemp("outside") / "my_net.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(small_data, source) -> TrainConfig:
    settings = vars(small_config(small_data, source.parent / "save"))
    return TrainConfig(**{**settings, "backbone": "my_net", "save_every_steps": 4, "keep_states": 4})


@pytest.fixture(scope="module")
def trained(source, config) -> Path:
    """The output folder of a training run in a separate process, started by the file."""
    flags = []
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            flags += [f"--{field.name}", text]
    done = subprocess.run(
        [sys.executable, source, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(config.save_dir)


@pytest.fixture
def registered(source) -> Iterator[type[Backbone]]:
    """The class in the file, registered in this process until the test ends."""
    spec = importlib.util.spec_from_file_location("my_net", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.MyNet
    del BACKBONES["my_net"]


def test_a_custom_backbone_resumes_evaluates_predicts_and_exports(registered, trained, config, tmp_path, small_data):
    chexnet.resume(trained / "after_epoch_01_step_000004.state", {"save_dir": str(tmp_path / "resumed")})
    assert sha256(tmp_path / "resumed/final.pdparams") == sha256(trained / "final.pdparams")
    ckpt, image = trained / "best_model.pdparams", small_data / "images" / "val1.png"
    network = chexnet.load(ckpt)
    assert isinstance(network.backbone, registered)

    scored = chexnet.evaluate(
        chexnet.EvalConfig(data_dir=config.data_dir, test_list=config.val_list, ckpt=str(ckpt), crops=1, device="cpu")
    )
    resized = network.preprocessing.resize_image(read(image))
    crop = network.preprocessing.center_crop(resized)[None]
    expected = network.predict(crop)[0]
    np.testing.assert_allclose(scored.probabilities[scored.names.index("val1.png")], expected, atol=1e-4)

    prediction = chexnet.Predictor(ckpt, crops=1, device="cpu").predict(image)
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)
    heatmap = prediction.cam("Mass")[10:-10, 10:-10]  # the crop leaves a margin out
    assert np.isfinite(heatmap).all()
    assert load_script("predict.py").main([str(image), "--ckpt", str(ckpt), "--cam", str(tmp_path / "cam")]) == 0
    assert list((tmp_path / "cam").glob("*.png"))

    exported = deploy(ckpt, tmp_path / "exported", "paddle")
    np.testing.assert_allclose(load_exported(exported.graph).predict(crop)[0], expected, atol=1e-4)


def test_the_scripts_accept_it(registered):
    for script in ("train.py", "eval.py"):
        assert load_script(script).build_parser().parse_args(["--backbone", "my_net"]).backbone == "my_net"


def test_an_unregistered_backbone_is_an_error_with_the_remedy(trained, config, small_data, tmp_path):
    ckpt = str(trained / "best_model.pdparams")
    settings = {**vars(config), "save_dir": str(tmp_path / "save")}
    uses = [
        lambda: chexnet.load(ckpt),
        lambda: chexnet.Predictor(ckpt),
        lambda: chexnet.resume(trained, {}),
        lambda: chexnet.train(TrainConfig(**settings)),
        lambda: chexnet.train(TrainConfig(**{**settings, "backbone": "lenet", "init": ckpt})),
        lambda: chexnet.CheXNet(backbone="my_net"),
    ]
    for use in uses:
        with pytest.raises(InputError, match=r"'my_net', expected one of densenet121, .*@register_backbone"):
            use()
    assert not (tmp_path / "save").exists()


def test_a_name_belongs_to_one_class(registered):
    class Other(GlobalPoolBackbone):
        head_prefixes = ("classifier.",)

    for name in ("my_net", "densenet121"):
        with pytest.raises(ValueError, match=name):
            chexnet.register_backbone(name)(Other)
    assert BACKBONES["my_net"] is registered
    again = type("MyNet", (registered,), {"__module__": registered.__module__, "__qualname__": "MyNet"})
    assert chexnet.register_backbone("my_net")(again) is again  # a notebook cell that is run again
    assert isinstance(chexnet.CheXNet(2, "my_net").backbone, again)


@pytest.mark.parametrize("name", ["my-net", "my.net", "", "5"])
def test_a_name_is_an_identifier(name):
    with pytest.raises(ValueError, match="identifier"):
        chexnet.register_backbone(name)
    assert name not in chexnet.list_backbones()


def test_a_class_without_the_interface_is_refused():
    class Headless(Backbone):
        """A backbone without `head_prefixes`."""

    for backbone, missing in ((Headless, "head_prefixes"), (dict, "features")):
        with pytest.raises(TypeError, match=missing):
            chexnet.register_backbone("headless")(backbone)
    assert "headless" not in chexnet.list_backbones()
