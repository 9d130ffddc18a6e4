"""Every backbone, at its published size, in a whole run: training, evaluation, prediction and export."""

import os
import shutil

import numpy as np
import pytest
from miniature import small_config

from chexnet.config import EvalConfig, TrainConfig
from chexnet.config.backbone_registry import list_backbones
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.files import sha256
from chexnet.inference import Predictor
from chexnet.inference.deployment import deploy
from chexnet.labels import N_CLASSES
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES
from chexnet.training import resume, train


@pytest.mark.parametrize("backbone", list_backbones())
def test_train_resume_evaluate_predict_and_export(small_data, tmp_path, backbone):
    """Also with heat maps, and with a resumed run that ends in the same weights."""
    if backbone not in ("lenet", "googlenet") and os.environ.get("CHEXNET_BACKBONES") != "all":
        pytest.skip("CHEXNET_BACKBONES is not `all`; lenet and googlenet stand for the others")
    side = BACKBONES[backbone].min_input_size + BACKBONES[backbone].grid.stride
    changes = {"backbone": backbone, "save_every_steps": 4, "resize": side + 8, "crop": side, "keep_states": 4}
    config = TrainConfig(**{**vars(small_config(small_data, tmp_path / "whole")), **changes})
    result = train(config)
    assert checkpoint.read_metadata_file(result.best_model)["backbone"] == backbone
    resume(tmp_path / "whole" / "after_epoch_01_step_000004.state", {"save_dir": str(tmp_path / "on")})
    for name in ("best_model.pdparams", "final.pdparams"):
        assert sha256(tmp_path / "on" / name) == sha256(tmp_path / "whole" / name)
    with pytest.raises(InputError, match=rf"this run has backbone {backbone} \(now "):
        resume(tmp_path / "on", {"backbone": "alexnet" if backbone == "lenet" else "lenet"}, force=True)
    ckpt = str(result.best_model)
    scored = evaluate(EvalConfig(data_dir=config.data_dir, test_list=config.val_list, ckpt=ckpt, crops=1, device="cpu"))
    assert scored.probabilities.shape == (6, N_CLASSES)
    predicted = Predictor(ckpt, crops=1, device="cpu", images=1).predict(small_data / "images" / scored.names[0])
    np.testing.assert_allclose(predicted.probabilities, scored.probabilities[0], atol=1e-4)
    assert np.isfinite(predicted.cam("Mass")[10:-10, 10:-10]).all()  # the crop leaves an edge out
    assert deploy(ckpt, tmp_path / "exported", "paddle").description["backbone"] == backbone
    shutil.rmtree(tmp_path)  # gigabytes of VGG
