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

MAX_CACHED = 8
"""Number of recent predictions that are kept for drawing their heat maps."""


class InferenceService:
    """A predictor with its operating points and its most recent predictions.

    It is thread-safe; images are predicted one after the other.

    Args:
        predictor: the predictor.
        thresholds: operating points for decisions, if any.
    """

    def __init__(self, predictor: Predictor, thresholds: Thresholds | None = None) -> None:
        self.predictor = predictor
        self.thresholds = thresholds
        self._cached: OrderedDict[str, Prediction] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Refuse further images; the current one is still predicted."""
        self._closed = True

    def info(self) -> dict[str, Any]:
        """Return the description of the network that the page shows."""
        return {
            "ckpt": self.predictor.ckpt.name,
            "notice": self.predictor.disclaimer,
            "engine": self.predictor.engine,
            "classes": list(self.predictor.classes),
            "chosen": self.thresholds.chosen if self.thresholds else "",
        }

    def predict(self, content: bytes) -> dict[str, Any]:
        """Predict the content of an image file; return a JSON object, the findings in the order of `Prediction.ranked`.

        Raises:
            InputError: the image cannot be read, see `chexnet.data.images.read`; or `close` was called.
        """
        with temporary_folder() as folder:
            path = folder / "image"
            path.write_bytes(content)
            try:
                with self._lock:
                    if self._closed:
                        raise InputError("the server is shutting down; start it again")
                    prediction = self.predictor.predict(path)
            except InputError as error:
                raise InputError(str(error).replace(str(path), "the image")) from error
        key = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._cached[key] = prediction
            self._cached.move_to_end(key)
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
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
            key: entry `image` of the result of `predict`.
            finding: index of the class; None for the image alone.

        Raises:
            KeyError: the image is no longer cached, or the class does not exist.
        """
        with self._lock:
            prediction = self._cached[key]
        if finding is not None and not 0 <= finding < len(prediction.classes):
            raise KeyError(finding)
        size = overlays.panel_size(prediction.gray)
        gray = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)
        if finding is None:
            return _png(gray)
        name = prediction.classes[finding]
        heatmap = prediction.heatmap(name, size)
        return _png(
            overlays.render_panel(
                gray, heatmap, prediction.cam_max, prediction.caption(name), self.predictor.disclaimer
            )
        )

    def _finding(self, prediction: Prediction, name: str) -> dict[str, Any]:
        """Return the entry of one finding, with its decision if there are operating points."""
        probability = prediction.probability(name)
        entry: dict[str, Any] = {
            "name": name,
            "place": prediction.classes.index(name),
            "probability": round(probability, 6),
        }
        if self.thresholds:
            point = self.thresholds.points[name]
            entry |= {
                "present": point.decides(probability),
                "threshold": point.threshold,
                "sensitivity": point.sensitivity,
                "specificity": point.specificity,
            }
        return entry


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
