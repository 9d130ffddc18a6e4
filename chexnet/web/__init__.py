"""Serve a local web page that predicts the images dropped on it."""

from chexnet.web.server import serve
from chexnet.web.service import InferenceService

__all__ = ["InferenceService", "serve"]
