"""Export a checkpoint for distribution: float16 weights with their metadata and a disclaimer."""

import os
from typing import Any

from chexnet.errors import InputError
from chexnet.files import check_writable
from chexnet.model.checkpoint.metadata_file import WEIGHTS_SHA256, metadata_path
from chexnet.model.checkpoint.safetensors_files import SAFETENSORS
from chexnet.model.checkpoint.weight_files import open_weights, save_checkpoint


def export_weights(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    disclaimer: str = "",
    map_limit: float | None = None,
    card: str = "",
) -> dict[str, Any]:
    """Write weights in float16 as `.safetensors` with their metadata, and the JSON file next to them.

    Rounding to float16 changes a weight by less than a thousandth of its value; numbers below 6e-8 become 0.

    Args:
        source: any weight file that this package reads.
        target: output file, whose name ends in `.safetensors`; replaced if it exists.
        disclaimer: one line for everybody who uses the weights, which predict.py prints on every use and draws into
            every picture. Empty keeps the disclaimer of `source`, if it has one.
        map_limit: see `chexnet.inference.cam.heatmap_range`; None keeps the value of `source`, if it has one.
        card: name of the model card that will be next to `target`, for the metadata; empty for none.

    Returns:
        The content of the JSON file of `target`: the metadata of `source`, the disclaimer (`notice`), the limit, the
        precision, and the SHA-256 of `source` and of `target`.

    Raises:
        InputError: `source` is not a weight file, a weight is too large for float16, the disclaimer is not one line, or
            `target` or its JSON file cannot be written, or belongs to `source`.
    """
    if disclaimer != " ".join(disclaimer.split()):
        raise InputError(f"the notice is {disclaimer!r}, expected one line with single spaces between words")
    check_writable(target, SAFETENSORS, protected=[source])
    check_writable(metadata_path(target), ".json", protected=[metadata_path(source)], others=[target])
    opened = open_weights(source)
    metadata = {**opened.metadata, "precision": "float16", "source_sha256": opened.sha256}
    if disclaimer:
        metadata["notice"] = disclaimer
    if map_limit is not None:
        metadata["map_limit"] = map_limit
    if card:
        metadata["card"] = card
    digest = save_checkpoint(opened.weights, target, metadata, "float16")
    return {**metadata, WEIGHTS_SHA256: digest}
