"""The CAM network of the earlier Paddle-CheXNet, for code written for that version."""

import numpy as np

from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.model.class_maps import to_opacity, upsample
from chexnet.model.network import CheXNet


class CheXNetCAM(CheXNet):
    """A CheXNet that returns class activation maps together with the probabilities; see `CheXNet` for the arguments.

    The maps have the scale of `chexnet.model.class_maps.to_opacity`, the same for all findings and images, so that an
    absent finding stays dark. The earlier class stretched each map to its own minimum and maximum, so that an absent
    finding glowed as well.
    """

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Compute probabilities float32 [N, C] and maps uint8 [N, C, H, W] of square images, as `CheXNet` takes them.

        Raises:
            InputError: the images are not square.
        """
        height, width = images.shape[2:]
        if height != width:
            raise InputError(f"images of {height} x {width} pixels, expected square images")
        with paddle.no_grad():
            maps = self.class_activation_maps(images).numpy()
        opacity = [
            [
                to_opacity(upsample(class_map, (height, width), self.grid), bias)
                for class_map, bias in zip(image_maps, self.bias(), strict=True)
            ]
            for image_maps in maps
        ]
        probabilities = paddle.nn.functional.sigmoid(self.logits(images))
        return probabilities, paddle.to_tensor(np.round(255 * np.array(opacity)).astype(np.uint8))
