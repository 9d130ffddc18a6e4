"""A local page that predicts the image dropped on it."""

from chexnet.web.server import serve
from chexnet.web.service import InferenceService

__all__ = ["InferenceService", "serve"]
