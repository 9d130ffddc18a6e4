"""A page to drop an image on, for this machine. docs/predict.md describes it."""

from chexnet.web.server import serve
from chexnet.web.service import InferenceService

__all__ = ["InferenceService", "serve"]
