"""States from untrusted sources, with a correct checksum: each field is checked, and no file is written."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature import Miniature, small_config

from chexnet.config import TrainConfig
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES
from chexnet.training import resume, run_state, train

NAN = float("nan")


@pytest.fixture(scope="module")
def run(small_data, tmp_path_factory) -> Path:
    """Folder of a run that was interrupted in its second epoch."""
    config = small_config(small_data, tmp_path_factory.mktemp("run") / "save")
    config = TrainConfig(**{**vars(config), "save_every_steps": 4, "keep_states": 99})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "densenet121", Miniature)
        train(config)
    folder = Path(config.save_dir)
    (folder / "after_epoch_02.state").unlink()
    return folder


@pytest.fixture
def folder(run, tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(BACKBONES, "densenet121", Miniature)
    return Path(shutil.copytree(run, tmp_path / "deep" / "copy"))


CONFIG: dict[str, list[Any]] = {
    "format": ["/../../stolen", "json", "../best_model.pdparams", "", None, 3, ["pdparams"]],
    "backbone": ["__class__", "../x", None],
    "device": ["gpu; rm", 0],
    "amp": ["O3", True],
    "normalization": ["none", None],
    "optimizer": ["rmsprop", {}],
    "on_bad_image": ["ignore"],
    "batch_size": [0, -1, True, 2.0, 10**400, "2"],
    "epoch": [0, 10**5000, "3"],
    "crop": [-1, 10**9, 4096, 33.0],
    "resize": [10**9, 0],
    "num_workers": [-1, 10**9, None],
    "keep_states": [0, -1],
    "save_every_steps": [-2, 0.5],
    "save_every_minutes": [NAN, -1.0, "10", float("inf")],
    "learning_rate": [NAN, 0.0, float("inf"), 10**400, "0.1"],
    "decay_factor": [-0.1, None],
    "decay_epochs": [(2, 1), [1], (0,), ("1",), (1, 1), (True, 2)],
    "seed": [2**32, -1, 0.5],
    "data_dir": [None, b"x", "a\0b"],
    "image_cache": [3, b"x"],
    "classes_file": [["a"], 1],
    "init": [None, 3],
}


def other_shape(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value[..., None] for name, value in weights.items()}


BOMB: Any = ()
for _ in range(60):
    BOMB = (BOMB, BOMB)  # few objects, but 2**60 items when traversed


CONTENT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an unknown field": lambda content: content["config"].update(extra=1),
    "a field that is a bomb": lambda content: content["config"].update(data_dir=BOMB),
    "a choice that is a bomb": lambda content: content["config"].update(format=BOMB),
    "epochs that are a bomb": lambda content: content["config"].update(decay_epochs=BOMB),
    "a fingerprint with a bomb": lambda content: content["trained_on"].update(more=BOMB),
    "a row with a bomb": lambda content: content["progress"]["rows"][0].update(x=BOMB),
    "an epoch before the first": lambda content: content["progress"].update(epoch=-1),
    "an epoch without a history": lambda content: content["progress"].update(epoch=10**30),
    "a step before the first": lambda content: content["progress"].update(step=-4),
    "a best epoch in the future": lambda content: content["progress"].update(best_epoch=9),
    "best weights of another network": lambda content: content["progress"].update(best_weights={"x": np.ones(2)}),
    "best weights of another shape": lambda content: content["progress"].update(
        best_weights=other_shape(content["progress"]["best_weights"])
    ),
    "best weights that are text": lambda content: content["progress"].update(best_weights={"x": "y"}),
    "a loss that is not a number": lambda content: content["progress"].update(loss_sum=NAN),
    "rows of text": lambda content: content["progress"].update(rows=["x"]),
    "rows with other columns": lambda content: content["progress"]["rows"][0].pop("val_AUROC_avg"),
    "rows with formulas": lambda content: content["progress"]["rows"][0].update({"epoch": "=HYPERLINK()"}),
    "rows whose names break lines": lambda content: content["progress"]["rows"][0].update({"a\nb": 1.0}),
    "weights that are numbers": lambda content: content["weights"].update(x=3),
    "weights of another network": lambda content: content.update(weights={"x": np.ones(2)}),
    "weights of another shape": lambda content: content.update(weights=other_shape(content["weights"])),
    "an optimizer of text": lambda content: content["optimizer"].update(x="y"),
    "a schedule of text": lambda content: content["optimizer"].update(LR_Scheduler={"last_lr": "x"}),
    "a schedule that is a list": lambda content: content["optimizer"].update(LR_Scheduler=[1]),
    "moments of another shape": lambda content: content.update(
        optimizer={
            name: value[..., None].repeat(2, -1) if isinstance(value, np.ndarray) else value
            for name, value in content["optimizer"].items()
        }
    ),
    "a scaler of text": lambda content: content["scaler"].update(scale="x"),
    "metric samples of another shape": lambda content: content.update(
        seen={"labels": np.ones((3, 14)), "probabilities": np.ones((2, 14))}
    ),
    "metric samples of other classes": lambda content: content.update(
        seen={"labels": np.ones((3, 2)), "probabilities": np.ones((3, 2))}
    ),
    "input hashes of numbers": lambda content: content["identity"].update(Paddle=3),
    "one list of skipped images": lambda content: content["skipped"].pop("val"),
    "skipped images with missing fields": lambda content: content["skipped"].update(val=[{"image": "a", "line": 0}]),
    "skipped images that are not in the list": lambda content: content["skipped"].update(
        val=[{"image": "../../etc/passwd", "line": 1, "reason": ""}]
    ),
    "skipped lines before the first": lambda content: content["skipped"].update(
        val=[{"image": "a", "line": -1, "reason": ""}]
    ),
    "an incomplete fingerprint": lambda content: content.update(trained_on={"format": 1, "images": b"x"}),
    "an extra part": lambda content: content.update(also=1),
    "a missing part": lambda content: content.pop("scaler"),
}


def assert_refused(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Change the newest state and assert that it is refused in one line, without any change to other files."""
    newest = run_state.paths(folder)[-1]
    content = checkpoint.load(newest)
    change(content)
    data = pickle.dumps(content, 4) + b"\n"
    newest.write_bytes(data + f"chexnet schema 1 sha256 {hashlib.sha256(data).hexdigest()}\n".encode())
    root = folder.parent.parent
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(InputError) as caught:
        resume(folder, {"data_dir": content["config"]["data_dir"]} if isinstance(content.get("config"), dict) else {})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before
    return str(caught.value)


@pytest.mark.parametrize(("name", "index"), [(name, index) for name in CONFIG for index in range(len(CONFIG[name]))])
def test_a_field_is_checked_like_its_flag(name, index, folder):
    value = CONFIG[name][index]
    message = assert_refused(folder, lambda content: content["config"].update({name: value}))
    assert name in message or "crop" in message
    assert ".state" in message or name in ("crop", "resize")


@pytest.mark.parametrize("name", CONTENT)
def test_content_that_no_run_saves_is_refused(name, folder):
    assert_refused(folder, CONTENT[name])


def test_a_state_is_resumed_in_its_own_folder_only(folder, tmp_path):
    """The `save_dir` in the state is ignored."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "best_model.json").write_text("years of work")
    newest = run_state.paths(folder)[-1]
    content = checkpoint.load(newest)
    content["config"]["save_dir"] = str(victim)
    checkpoint.save(content, newest)
    resume(folder, {})
    assert os.listdir(victim) == ["best_model.json"]
    assert (victim / "best_model.json").read_text() == "years of work"
    assert (folder / "final.pdparams").exists()
