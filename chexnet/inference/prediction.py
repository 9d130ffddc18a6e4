"""Results of one image: probabilities, class maps and image-quality warnings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from chexnet.data.transforms import CropGeometry
from chexnet.errors import InputError
from chexnet.inference import cam, image_checks
from chexnet.inference.thresholds import Thresholds
from chexnet.metrics.platt import PlattScaling
from chexnet.model.feature_grid import FeatureGrid

MEANINGLESS = "meaningless"
"""Printed next to each number of an image that is not a frontal chest radiograph."""


@dataclass(frozen=True)
class PreparedImage:
    """An image with its crops, ready for the network.

    Attributes:
        name: see `Prediction`.
        gray: see `Prediction`.
        warnings: see `Prediction`.
        geometry: see `Prediction`.
        crops: uint8 [K, 1, crop, crop].
    """

    name: str
    gray: Image.Image
    warnings: tuple[str, ...]
    geometry: CropGeometry
    crops: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """Result of one image.

    Attributes:
        name: path of the image file, as passed by the caller; `array` for an array.
        gray: the image, mode L, at its original size.
        warnings: image-quality warnings, see `chexnet.inference.image_checks`.
        classes: names of the C findings.
        probabilities: float32 [C] in 0..1, averaged over the crops.
        maps: float32 [K, C, h, w], the class maps of the K crops, see `CheXNet.class_activation_maps`. Grad-CAM for a
            backbone without class maps, or None if the Predictor was made with `maps=False`.
        bias: float32 [C], see `CheXNet.bias`; 0 with Grad-CAM, whose maps do not add up to the logit.
        grid: positions of the map cells in the crops.
        geometry: positions of the crops in the image.
        cam_max: logit shown at full opacity, see `chexnet.inference.cam.heatmap_range`.
    """

    name: str
    gray: Image.Image
    warnings: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    maps: np.ndarray | None
    bias: np.ndarray
    grid: FeatureGrid
    geometry: CropGeometry
    cam_max: float

    def top_k(self, count: int) -> list[str]:
        """Return the `count` most probable findings, the most probable first."""
        return [self.classes[index] for index in np.argsort(-self.probabilities, kind="stable")[:count]]

    def present(self, thresholds: Thresholds) -> list[str]:
        """Return the findings at or above their threshold, the most probable first."""
        names = self.top_k(len(self.classes))
        return [name for name in names if thresholds.points[name].decides(self.probability(name))]

    def ranked(self, thresholds: Thresholds | None) -> list[str]:
        """Return all findings: the present ones, then the others, each group by decreasing probability."""
        present = self.present(thresholds) if thresholds else []
        return present + [name for name in self.top_k(len(self.classes)) if name not in present]

    def probability(self, finding: str) -> float:
        """Return the probability of one finding, 0..1."""
        return float(self.probabilities[self.classes.index(finding)])

    def calibrated(self, calibration: Mapping[str, PlattScaling]) -> dict[str, float]:
        """Return finding -> calibrated probability, with the digits of its float32 value.

        Args:
            calibration: Platt scaling of some or all findings, see `chexnet.inference.thresholds.Thresholds`.
        """
        return {
            name: float(str(np.float32(scaling.apply(self.probability(name))))) for name, scaling in calibration.items()
        }

    @property
    def meaningful(self) -> bool:
        """False if the warnings make the numbers meaningless, see `image_checks.is_meaningful`."""
        return image_checks.is_meaningful(self.warnings)

    def caption(self, finding: str) -> str:
        """Return the title of a picture: the finding and its probability, marked if the number is meaningless."""
        mark = "" if self.meaningful else f" ({MEANINGLESS})"
        return f"{finding} {self.probability(finding):.3f}{mark}"

    def cam(self, finding: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return the class map of one finding: float32 [H, W] in logit units, see `cam.upsample_to_image`.

        Args:
            finding: one of the classes.
            size: height and width of the result; None for the size of the image.

        Raises:
            InputError: the prediction has no maps.
        """
        if self.maps is None:
            raise InputError(f"{self.name}: has no class maps, expected a prediction of a Predictor with maps=True")
        geometry = self.geometry if size is None else replace(self.geometry, original=size)
        return cam.upsample_to_image(self.maps[:, self.classes.index(finding)], geometry, self.grid)

    def heatmap(self, finding: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return the class map of one finding as opacity: float32 [H, W] in 0..1, see `cam.to_opacity`.

        All findings and images share one scale.
        """
        bias = float(self.bias[self.classes.index(finding)])
        return cam.to_opacity(self.cam(finding, size), bias, self.cam_max)
