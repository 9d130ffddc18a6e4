"""Predict the images that the web page uploads, and draw their heat maps."""

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image

from chexnet.errors import InputError
from chexnet.files import temporary_folder
from chexnet.inference import Prediction, Predictor, overlays
from chexnet.inference.thresholds import Thresholds

KEPT = 8
"""Number of recent predictions that are kept for their pictures."""


class InferenceService:
    """A predictor with its operating points and its most recent predictions.

    Several threads may call it; images are predicted one after the other.

    Args:
        predictor: the predictor.
        thresholds: operating points to decide by; None decides nothing.
    """

    def __init__(self, predictor: Predictor, thresholds: Thresholds | None = None) -> None:
        self.predictor = predictor
        self.thresholds = thresholds
        self._kept: OrderedDict[str, Prediction] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Finish the current image and refuse all others."""
        self._closed = True

    def info(self) -> dict[str, Any]:
        """Return what the page shows before the first image."""
        return {
            "ckpt": self.predictor.ckpt.name,
            "notice": self.predictor.disclaimer,
            "engine": self.predictor.engine,
            "classes": list(self.predictor.classes),
            "chosen": self.thresholds.chosen if self.thresholds else "",
        }

    def predict(self, content: bytes) -> dict[str, Any]:
        """Predict the content of an image file; return a JSON object, findings in the order of `Prediction.ranked`.

        Raises:
            InputError: as `chexnet.data.images.read`, with "the image" in place of a file name; or `close` was called.
        """
        with temporary_folder() as folder:
            path = folder / "image"
            path.write_bytes(content)
            try:
                with self._lock:
                    if self._closed:
                        raise InputError("the server ends; start it again")
                    prediction = self.predictor.predict(path)
            except InputError as error:
                raise InputError(str(error).replace(str(path), "the image")) from error
        key = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._kept[key] = prediction
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        thresholds = self.thresholds if prediction.meaningful else None
        return {
            "image": key,
            "width": prediction.gray.width,
            "height": prediction.gray.height,
            "warnings": list(prediction.warnings),
            "meaningful": prediction.meaningful,
            "findings": [self._finding(prediction, name) for name in prediction.ranked(thresholds)],
        }

    def render(self, key: str, finding: int | None) -> bytes:
        """Return a PNG of a predicted image, alone or with the heat map of one class.

        Args:
            key: `image` of the result of `look`.
            finding: index of the class; None for the image alone.

        Raises:
            KeyError: the image is not kept any more, or there is no such class.
        """
        with self._lock:
            prediction = self._kept[key]
        if finding is not None and not 0 <= finding < len(prediction.classes):
            raise KeyError(finding)
        size = overlays.panel_size(prediction.gray)
        gray = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)
        if finding is None:
            return _png(gray)
        name = prediction.classes[finding]
        shown = prediction.heatmap(name, size)
        return _png(
            overlays.render_panel(gray, shown, prediction.cam_max, prediction.caption(name), self.predictor.disclaimer)
        )

    def _finding(self, prediction: Prediction, name: str) -> dict[str, Any]:
        probability = prediction.probability(name)
        facts: dict[str, Any] = {
            "name": name,
            "place": prediction.classes.index(name),
            "probability": round(probability, 6),
        }
        if self.thresholds:
            point = self.thresholds.points[name]
            facts |= {
                "present": point.decides(probability),
                "threshold": point.threshold,
                "sensitivity": point.sensitivity,
                "specificity": point.specificity,
            }
        return facts


def _png(picture: Image.Image) -> bytes:
    packed = io.BytesIO()
    picture.save(packed, "PNG", compress_level=1)
    return packed.getvalue()
