"""A small network and images of several shapes for the tests of dense evaluation."""

import numpy as np
import paddle
from PIL import Image

from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw

RESIZE, CROP = 106, 64
SHAPES = [(106, 106), (106, 167), (150, 106), (212, 290), (50, 61)]
"""Height and width: square, wide, tall, larger and smaller than the network's input; most no multiples of 32."""


def save_network(path, backbone: str = "densenet121", **metadata):
    """Save a random network with spread probabilities."""
    paddle.seed(3)
    network = CheXNet(14, backbone)
    with paddle.no_grad():
        scale = float(network.predict_cam(shape_image((RESIZE, RESIZE))[None, None]).std())
    head = network.backbone.classifier
    head.weight.set_value(head.weight / scale)
    head.bias.set_value(paddle.linspace(-2, 2, 14))
    checkpoint.save_weights(network.state_dict(), path)
    facts = {"backbone": backbone, "resize": RESIZE, "crop": CROP, "classes": CLASS_NAMES}
    checkpoint.write_metadata_file(path, {**facts, **metadata})
    return path


def shape_image(shape: tuple[int, int]) -> np.ndarray:
    """Return a phantom that is stretched to a shape, with different sides."""
    image = Image.fromarray(draw(["Mass"], 128, patient=sum(shape)).image)
    return np.asarray(image.resize(shape[::-1]))
