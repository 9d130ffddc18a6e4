"""The network with maps of the earlier Paddle-CheXNet, for lines that were written against it."""

import numpy as np
import paddle

from chexnet.errors import InputError
from chexnet.model.maps import enlarged, for_display
from chexnet.model.network import CheXNet


class CheXNetCAM(CheXNet):
    """A CheXNet that gives its maps together with its probabilities; see `CheXNet` for the arguments.

    The maps are those of the rest of this software, see `chexnet.cam.for_display`: all findings and images share one
    scale, and what is absent stays dark. The earlier class stretched every map to its own minimum and maximum, so that
    an absent finding glowed as well.
    """

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Square images, as `CheXNet` takes them -> probabilities float32 [N, C], and maps uint8 [N, C, H, W].

        Raises:
            InputError: the images are not square.
        """
        height, width = images.shape[2:]
        if height != width:
            raise InputError(f"images of {height} x {width} pixels, expected square ones")
        with paddle.no_grad():
            maps = self.class_maps(images).numpy()
        shown = [
            [
                for_display(enlarged(one, height, self.grid), bias)
                for one, bias in zip(of_image, self.bias(), strict=True)
            ]
            for of_image in maps
        ]
        probabilities = paddle.nn.functional.sigmoid(self.logits(images))
        return probabilities, paddle.to_tensor(np.round(255 * np.array(shown)).astype(np.uint8))
