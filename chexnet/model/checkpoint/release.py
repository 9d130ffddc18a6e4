"""A checkpoint for passing on: half the size, with what it is and is not."""

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
) -> dict[str, Any]:
    """Writes weights in float16, in the format of safetensors, with their metadata, and the JSON beside them.

    Rounding to float16 changes a weight by less than a thousandth of itself; numbers below 6e-8 become 0.

    Args:
        source: any weight file of this software.
        target: the file, which ends in `.safetensors`, replaced if it exists.
        notice: what everybody has to know who uses the weights, a line that predict.py shows on every use and in
            every picture; empty to keep that of `source`, if it has one.
        map_limit: see `chexnet.inference.cam.heatmap_range`; None to keep that of `source`, if it has one.

    Returns:
        What the JSON beside `target` says: the metadata of `source`, the notice, the limit, the precision, and the
        SHA-256 of `source` and of `target`.

    Raises:
        InputError: `source` is no weight file, a weight is too large for float16, the notice is more than a line, or
            `target` or its JSON cannot be written, or is that of `source`.
    """
    if disclaimer != " ".join(disclaimer.split()):
        raise InputError(f"the notice is {disclaimer!r}, expected one line, words apart by one space")
    check_writable(target, SAFETENSORS, protected=[source])
    check_writable(metadata_path(target), ".json", protected=[metadata_path(source)], others=[target])
    opened = open_weights(source)
    facts = {**opened.metadata, "precision": "float16", "source_sha256": opened.sha256}
    if disclaimer:
        facts["notice"] = disclaimer
    if map_limit is not None:
        facts["map_limit"] = map_limit
    digest = save_checkpoint(opened.weights, target, facts, "float16")
    return {**facts, WEIGHTS_SHA256: digest}
