"""`CheXNet`, what belongs to its weight files, and where its weights come from."""

from chexnet.model.description import Description, check_crop, describe
from chexnet.model.network import CheXNet
from chexnet.model.weights import backbone_of, initialise, load

__all__ = ["CheXNet", "Description", "backbone_of", "check_crop", "describe", "initialise", "load"]
