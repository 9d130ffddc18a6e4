"""A weight file and what belongs to it, as a network."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.files.shipped_weights import check_exists
from chexnet.model import checkpoint
from chexnet.model.initial_weights import check_fit, whole
from chexnet.model.model_config import ModelConfig, parse_model_config
from chexnet.model.network import CheXNet


@dataclass(frozen=True)
class Checkpoint:
    """A weight file and what belongs to it, all of it of the same bytes.

    Attributes:
        path: the weight file.
        sha256: of its bytes, in hexadecimal.
        weights: name -> array.
        metadata: what belongs to it; empty if nothing is known.
        metadata_source: the file that says it: the weight file itself, or the JSON beside it.
        description: its backbone, classes and preprocessing.
        notice: what everybody has to know who uses it, one line; may be empty.
    """

    path: Path
    sha256: str
    weights: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any]
    metadata_source: Path
    description: ModelConfig
    disclaimer: str

    def network(self) -> CheXNet:
        """Build a CheXNet in evaluation mode with these weights. Raises InputError if they do not fit."""
        known = self.description
        check_fit(self.weights, known.backbone, len(known.classes), self.path)
        network = CheXNet(len(known.classes), known.backbone, known.preprocessing.scaling)
        weights = whole(self.weights, network)
        check_fit(weights, known.backbone, len(known.classes), self.path)
        checkpoint.load_state_dict(network, weights, str(self.path))
        network.classes, network.preprocessing = known.classes, known.preprocessing
        network.eval()
        return network


def open_checkpoint(
    path: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> Checkpoint:
    """Reads a weight file and its metadata, once.

    Args:
        path: `.pdparams` or `.safetensors` file.
        backbone: see `describe`.
        classes: likewise.
        sample_bits: likewise.

    Raises:
        InputError: the file is missing (with the three ways to get one) or unreadable; or as for `describe` and
            `chexnet.model.checkpoint.open_weights`.
    """
    check_exists(path)
    file = checkpoint.open_weights(path)
    description = parse_model_config(file.metadata, file.metadata_source, backbone, classes, sample_bits)
    disclaimer = checkpoint.disclaimer_in(file.metadata, file.metadata_source)
    return Checkpoint(
        file.path, file.sha256, file.weights, file.metadata, file.metadata_source, description, disclaimer
    )


def load(path: str | os.PathLike[str], backbone: str | None = None, classes: Sequence[str] | None = None) -> CheXNet:
    """Load a CheXNet, in evaluation mode, that knows its `classes` and its `preprocessing`.

    Args:
        path: `.pdparams` or `.safetensors` file.
        backbone: name of the backbone, if the checkpoint does not say; None for the default.
        classes: names of the outputs, if the checkpoint does not say; None for the 14 of ChestX-ray14.

    Raises:
        InputError: as for `open_checkpoint`, or the weights do not fit.

    Example:
        >>> import tempfile, chexnet
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = folder.name + "/lenet.safetensors"
        >>> _ = checkpoint.save_weights(CheXNet(2, "lenet").state_dict(), path)
        >>> network = chexnet.load(path, backbone="lenet", classes=["Mass", "Nodule"])
        >>> network.classes, network.preprocessing.crop, network.training
        (('Mass', 'Nodule'), 224, False)
        >>> folder.cleanup()
    """
    return open_checkpoint(path, backbone, classes).network()
