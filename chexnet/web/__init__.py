"""A page to drop an image on, for this machine. docs/predict.md describes it."""

from chexnet.web.looks import Looks
from chexnet.web.server import serve

__all__ = ["Looks", "serve"]
