"""CheXNet: DenseNet-121 with one sigmoid output for each finding.

Rajpurkar et al., CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning,
arXiv:1711.05225, section 2.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from chexnet import checkpoint
from chexnet.backbones import densenet121
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.transforms import MEAN, STD, Preprocessing

PREFIX = "densenet121."
HEAD = "out."

STRIDE = 32
"""Pixels a side of the image for one place of the map before pooling: DenseNet halves them five times."""

MIN_SIDE = STRIDE
"""The smallest height and width."""


class CheXNet(nn.Layer):
    """Frontal chest radiographs -> probabilities of findings.

    Images are either uint8 [N, 1, H, W], gray as the data set gives them, which are normalised here on
    the device, or float32 [N, 3, H, W], normalised already. H and W are at least 32 and usually 224.

    For 14 outputs the state dict has 606 entries, named `densenet121.<paddle.vision name>`, with
    7,051,854 values; the head is `densenet121.out.0.{weight,bias}`.

    Args:
        out_size: number of findings.
    """

    def __init__(self, out_size: int = N_CLASSES) -> None:
        super().__init__()
        self.out_size = out_size
        self.densenet121 = densenet121(out_size)

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> probabilities in 0..1, float32 [N, out_size]."""
        return nn.functional.sigmoid(self.logits(images))

    def logits(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> logits, float32 [N, out_size], whatever precision the network computes in."""
        return self.classify(self.features(images))

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> the map before pooling, [N, 1024, H/32, W/32]."""
        return self.densenet121.features(self._normalised(images))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """What `features` gives -> logits, float32 [N, out_size]."""
        return self.densenet121.classify(features).astype("float32")

    def class_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> class activation maps in logit units, float32 [N, out_size, H/32, W/32].

        The features of each place weighted by the head's weights (Zhou et al., Learning Deep Features for
        Discriminative Localization, CVPR 2016; CheXNet, section 5). The head is linear, so a map's mean over
        all places plus the class's `bias` is its logit, up to rounding.
        """
        return self.densenet121.class_maps(self._normalised(images)).astype("float32")

    def bias(self) -> np.ndarray:
        """The head's bias, float32 [out_size]: what the logits are where all class maps are 0."""
        return self.densenet121.out[0].bias.astype("float32").numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, 1, H, W] -> probabilities float32 [N, out_size], in one pass, in evaluation mode."""
        self.eval()
        with paddle.no_grad():
            return self(paddle.to_tensor(images)).numpy()

    def predict_maps(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, 1, H, W] -> class maps float32 [N, out_size, H/32, W/32], as `predict` does."""
        self.eval()
        with paddle.no_grad():
            return self.class_maps(paddle.to_tensor(images)).numpy()

    def _normalised(self, images: paddle.Tensor) -> paddle.Tensor:
        if images.dtype != paddle.uint8:
            return images
        # The weights' precision, which is float16 under AMP O2, where evaluation runs outside autocast.
        dtype = self.densenet121.out[0].weight.dtype
        mean = paddle.to_tensor(MEAN, dtype="float32").reshape([1, 3, 1, 1])
        std = paddle.to_tensor(STD, dtype="float32").reshape([1, 3, 1, 1])
        return ((images.astype("float32") / 255.0 - mean) / std).astype(dtype)  # [N, 1, H, W] -> [N, 3, H, W]


def check_crop(crop: int) -> None:
    """Raises InputError if a square of `crop` pixels is too small for the network."""
    if crop < MIN_SIDE:
        raise InputError(f"crop {crop} is too small for the network, expected at least {MIN_SIDE} pixels")


def initialise(network: CheXNet, init: str) -> str:
    """Gives a new network its first weights and says in words where they come from.

    Args:
        network: filled in place, or left as it is if an error is raised.
        init: `random` keeps Paddle's random weights; `imagenet` takes Paddle's ImageNet backbone, which is
            downloaded into Paddle's own cache unless it is there; anything else is the path of a weight
            file (`.pdparams` or `.safetensors`) of a whole CheXNet or of a backbone, whose head (if any) is
            left out.

    Raises:
        InputError: the download failed, or the file is unreadable or does not fit.
    """
    if init == "random":
        return "random weights"
    path = _download_imagenet() if init == "imagenet" else Path(init)
    state = checkpoint.read_weights(path)
    if any(name.startswith(PREFIX) for name in state):
        checkpoint.assign(network, state, str(path))
        return f"all weights of {path}"
    backbone = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    own = network.densenet121.state_dict()
    head = {name: own[name].numpy() for name in own if name.startswith(HEAD)}
    checkpoint.assign(network.densenet121, {**backbone, **head}, str(path))
    return f"the backbone of {path}, random head"


def load(path: str | os.PathLike[str], out_size: int = N_CLASSES) -> CheXNet:
    """A CheXNet with the weights of a `.pdparams` or `.safetensors` file.

    Raises:
        InputError: the file is missing (with the three ways to get one), unreadable or does not fit.
    """
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such checkpoint. Three ways to get one: convert arnoweng's model.pth.tar with "
            "convert_torch_weights.py, download Paddle-CheXNet's model_paddle.pdparams, or train with train.py "
            "(pretrained_models/README.md says where and how). "
            "Just to see it work: --ckpt pretrained_models/phantom_densenet121.safetensors"
        )
    network = CheXNet(out_size)
    checkpoint.load_weights(network, path)
    return network


def preprocessing_of(path: str | os.PathLike[str]) -> Preprocessing:
    """How the images of a weight file are resized and cropped: what the JSON beside it says, else the defaults.

    Raises:
        InputError: the JSON is unreadable, names other classes than CLASS_NAMES, or sizes that cannot be.
    """
    facts = checkpoint.read_sidecar(path)
    sidecar = checkpoint.sidecar_path(path)
    classes = facts.get("classes", list(CLASS_NAMES))
    if classes != list(CLASS_NAMES):
        raise InputError(
            f"{sidecar}: the checkpoint was trained on other classes, {classes}, expected {list(CLASS_NAMES)}"
        )
    sizes = {name: facts[name] for name in ("resize", "crop") if name in facts}
    if not all(type(size) is int for size in sizes.values()):
        raise InputError(f"{sidecar}: resize and crop are {sizes}, expected whole numbers of pixels")
    try:
        preprocessing = Preprocessing(**sizes)
        check_crop(preprocessing.crop)
    except InputError as error:
        raise InputError(f"{sidecar}: {error}") from error
    return preprocessing


def _download_imagenet() -> Any:
    from paddle.utils.download import get_weights_path_from_url
    from paddle.vision.models import densenet

    try:
        return get_weights_path_from_url(*densenet.model_urls["densenet121"])
    except Exception as error:  # whatever the network or the file system raised
        raise InputError(
            "--init imagenet: the ImageNet weights could not be downloaded; connect to the internet, "
            "or convert torchvision's DenseNet-121 with convert_torch_weights.py and pass --init PATH, "
            "or train from scratch with --init random"
        ) from error
