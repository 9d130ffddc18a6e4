"""Checkpoints: a weight file with its metadata, and the network built from them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chexnet.files.shipped_weights import check_exists
from chexnet.model import checkpoint
from chexnet.model.model_config import ModelConfig, parse_model_config

if TYPE_CHECKING:
    from chexnet.model.network import CheXNet


@dataclass(frozen=True)
class Checkpoint:
    """A weight file and its metadata, read from the same bytes.

    Attributes:
        path: the weight file.
        sha256: SHA-256 of the file's bytes, in hexadecimal.
        weights: name -> array.
        metadata: metadata of the weights; empty if there is none.
        metadata_source: the file that holds the metadata: the weight file itself, or the JSON file of the same name.
        config: backbone, classes and preprocessing.
        disclaimer: one line for everybody who uses the weights; may be empty.
    """

    path: Path
    sha256: str
    weights: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any]
    metadata_source: Path
    config: ModelConfig
    disclaimer: str

    def build_network(self) -> "CheXNet":
        """Build a CheXNet in evaluation mode with these weights. Raises InputError if they do not fit."""
        from chexnet.model.initial_weights import check_fit, rename_to_chexnet
        from chexnet.model.network import CheXNet

        config = self.config
        check_fit(self.weights, config.backbone, len(config.classes), self.path)
        network = CheXNet(len(config.classes), config.backbone, config.preprocessing.scaling)
        weights = rename_to_chexnet(self.weights, network)
        check_fit(weights, config.backbone, len(config.classes), self.path)
        checkpoint.load_state_dict(network, weights, str(self.path))
        network.classes, network.preprocessing = config.classes, config.preprocessing
        network.eval()
        return network


def open_checkpoint(
    path: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> Checkpoint:
    """Read a weight file and its metadata, once.

    Args:
        path: `.pdparams` or `.safetensors` file.
        backbone: see `chexnet.model.load_model_config`.
        classes: see `chexnet.model.load_model_config`.
        sample_bits: see `chexnet.model.load_model_config`.

    Raises:
        InputError: the file is missing (the message lists three ways to get one) or unreadable; or as for
            `load_model_config` and `chexnet.model.checkpoint.open_weights`.
    """
    check_exists(path)
    file = checkpoint.open_weights(path)
    config = parse_model_config(file.metadata, file.metadata_source, backbone, classes, sample_bits)
    disclaimer = checkpoint.parse_disclaimer(file.metadata, file.metadata_source)
    return Checkpoint(file.path, file.sha256, file.weights, file.metadata, file.metadata_source, config, disclaimer)


def load(path: str | os.PathLike[str], backbone: str | None = None, classes: Sequence[str] | None = None) -> "CheXNet":
    """Load a CheXNet, in evaluation mode, with its `classes` and its `preprocessing`.

    Args:
        path: `.pdparams` or `.safetensors` file.
        backbone: name of the backbone, if the checkpoint does not name one; None for the default.
        classes: names of the outputs, if the checkpoint does not list them; None for the 14 of ChestX-ray14.

    Raises:
        InputError: as for `open_checkpoint`, or the weights do not fit.

    Example:
        >>> import tempfile, chexnet
        >>> from chexnet import CheXNet
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = folder.name + "/lenet.safetensors"
        >>> _ = checkpoint.save_weights(CheXNet(2, "lenet").state_dict(), path)
        >>> network = chexnet.load(path, backbone="lenet", classes=["Mass", "Nodule"])
        >>> network.classes, network.preprocessing.crop, network.training
        (('Mass', 'Nodule'), 224, False)
        >>> folder.cleanup()
    """
    return open_checkpoint(path, backbone, classes).build_network()
