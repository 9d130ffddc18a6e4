"""Settings and checks of a GPU when a checkpoint is loaded."""

import pytest

from chexnet.config import InferenceConfig
from chexnet.errors import InputError
from chexnet.inference import Predictor, load_for_scoring
from chexnet.model import CheXNet, checkpoint


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpu") / "lenet.pdparams"
    checkpoint.save_checkpoint(CheXNet(2, "lenet").state_dict(), path, {"backbone": "lenet", "classes": ["A", "B"]})
    return str(path)


def test_a_precision_is_refused_before_the_checkpoint_is_read(fake_gpu):
    fake_gpu.capability = (7, 0)
    with pytest.raises(InputError, match="--precision bfloat16: GPU Fake "):
        Predictor("missing.pdparams", precision="bfloat16")
    with pytest.raises(InputError, match="--tf32 on: "):
        Predictor("missing.pdparams", tf32="on")


def test_evaluation_searches_for_fast_algorithms_and_prediction_does_not(fake_gpu, ckpt):
    load_for_scoring(InferenceConfig(ckpt=ckpt), [ckpt], lambda line: None)
    assert fake_gpu.settings["FLAGS_cudnn_exhaustive_search"]
    Predictor(ckpt)
    assert not fake_gpu.settings["FLAGS_cudnn_exhaustive_search"]


@pytest.mark.parametrize("tf32", ["on", "off"])
def test_results_say_whether_float32_is_tf32(fake_gpu, ckpt, tf32):
    predictor = Predictor(ckpt, tf32=tf32)
    assert ("float32 with TF32, GPU Fake" in predictor.engine) == (tf32 == "on")
