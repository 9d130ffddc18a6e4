"""Conversion from Paddle to PyTorch."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from chexnet.config import present_names
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import checkpoint
from chexnet.model.convert import torch_files, weight_names
from chexnet.model.convert.conversion_checks import (
    Arrays,
    atomic_output,
    check_output,
    check_read_back,
    collect_arrays,
    count_values,
    to_array,
)
from chexnet.model.convert.conversion_report import Conversion


def to_torch(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Conversion:
    """Convert a CheXNet in Paddle's names to PyTorch; if an error is raised, nothing is written.

    Args:
        source: a whole model of 606 tensors, `.pdparams` or `.safetensors`.
        output: output file: `.safetensors`, or any other suffix for `{'state_dict': ...}` in PyTorch's format. Names
            are `densenet121.features...` and `densenet121.classifier.0.*`, as in arnoweng's `DenseNet121` without
            DataParallel.

    Returns:
        The report.

    Raises:
        InputError: the source cannot be read or is not a whole CheXNet; torch is needed and missing; or the output
            cannot be written.
    """
    source, output = Path(source), Path(output)
    if output.suffix == ".pdparams":
        raise InputError(f"{output}: --reverse writes a PyTorch file, expected a name like model.pth")
    check_output(source, output)
    opened = checkpoint.open_weights(source)
    weights = opened.weights
    bias = weights.get(f"{weight_names.PREFIX}out.0.bias")
    table = [
        weight._replace(torch=weight_names.PREFIX + weight.torch, paddle=weight_names.PREFIX + weight.paddle)
        for weight in (
            weight_names.model_weights() if bias is None or bias.ndim != 1 else weight_names.model_weights(len(bias))
        )
    ]
    expected = {weight.paddle: weight.paddle_shape for weight in table}
    leftover = [name for name in weights if name not in expected]
    arrays = collect_arrays(source, expected, weights, leftover=leftover)
    state = {weight.torch: weight_names.transpose(weight, arrays[weight.paddle]) for weight in table}
    with atomic_output(output) as temporary:
        torch_files.write(state, temporary)
        check_read_back(output, state, _read_back(temporary))
        output_sha256 = sha256(temporary)
    if output.suffix == checkpoint.SAFETENSORS:
        expression = f"safetensors.torch.load_file({str(output)!r})"
    else:
        expression = f"torch.load({str(output)!r}, weights_only=True)['state_dict']"
    return Conversion(
        source=str(source),
        output=str(output),
        layout="CheXNet in Paddle",
        tensors=len(state),
        values=count_values(state),
        ignored={},
        notes=_preprocessing_notes(opened.metadata),
        source_sha256=opened.sha256,
        output_sha256=output_sha256,
        next_step=f"model.load_state_dict({expression})",
    )


def _read_back(path: Path) -> Arrays:
    with closing(torch_files.read(path)) as file:
        content = file.content
        return {name: to_array(value) for name, value in content.get("state_dict", content).items()}


def _preprocessing_notes(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the preprocessing and the classes, which the PyTorch program has to use as well, one line each."""
    known = present_names(metadata)
    names = ("resize", "crop", "crops", "normalization", "classes")
    return tuple(f"its {name}: {known[name]}" for name in names if name in known)
