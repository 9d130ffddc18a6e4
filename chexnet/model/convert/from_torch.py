"""PyTorch -> Paddle."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet.config import NORMALIZATIONS
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import checkpoint
from chexnet.model.convert import conversion_report, layouts, torch_files, weight_names, weight_search
from chexnet.model.convert.conversion_checks import (
    Arrays,
    check_output,
    check_unchanged,
    checked,
    compare,
    count_values,
    writing,
)
from chexnet.model.convert.conversion_report import Conversion
from chexnet.model.convert.layouts import Choices, Layout

IMAGENET_CLASSES = 1000

_NO_CHOICES = Choices()


def from_torch(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    allow_pickle: bool = False,
    choices: Choices = _NO_CHOICES,
) -> Conversion:
    """Converts a PyTorch file to a weight file of Paddle with its metadata, or writes nothing.

    Args:
        source: a CheXNet or another DenseNet-121, in any spelling of `names.RENAMES` and under any prefix: a
            checkpoint, a bare state dict, a whole pickled module or a `.safetensors` file, of float16, bfloat16,
            float32 or float64.
        output: where to write, `.pdparams` or `.safetensors`; an older file there is replaced.
        allow_pickle: run the code in the file, which is seldom needed. Only for trusted files.
        choices: what the file does not say.

    Returns:
        The report. `output` holds float32 arrays: 606 for a whole model, 604 for a backbone.

    Raises:
        InputError: the source cannot be read or would run code; a tensor is missing, left over, of another
            shape or not finite (one message names some of all); it takes a choice; or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    checkpoint.check_suffix(output)
    check_output(source, output)
    checkpoint.check_metadata_file(output)
    source_sha256 = sha256(source)
    converted = read_torch(source, allow_pickle, choices)
    check_unchanged(source, source_sha256)
    file, found, known, state = converted.file, converted.found, converted.layout, converted.state
    program = "CheXNet" if known else "ImageNet DenseNet-121" if found.head else "DenseNet-121 without a head"
    if known and known.certain:
        program = f"CheXNet of {known.program}"
    ignored = conversion_report.ignored(file, found, converted.untrained)
    if not known and found.head:
        ignored[found.head] = f"the {IMAGENET_CLASSES} ImageNet classes; train.py starts a head of its own"
    next_step = ["python", "eval.py", "--ckpt", str(output)] if known else ["python", "train.py", "--init", str(output)]
    if choices.normalization and not known:
        next_step += ["--normalization", layouts.NORMALIZATIONS[choices.normalization][0]]
    layout = conversion_report.layout(file, found, program)
    metadata = _metadata(known, {"file": source.name, "sha256": source_sha256, "layout": layout})
    with writing(output) as temporary:
        output_sha256 = checkpoint.save_weights(state, temporary, metadata=metadata)
        compare(output, state, checkpoint.read_weights(temporary))
    checkpoint.write_metadata_file(output, {**metadata, checkpoint.WEIGHTS_SHA256: output_sha256})
    return Conversion(
        source=str(source),
        output=str(output),
        layout=layout,
        tensors=len(state),
        values=count_values(state),
        ignored=ignored,
        notes=conversion_report.notes(file, found, known, converted.channels),
        source_sha256=source_sha256,
        output_sha256=output_sha256,
        next_step=shlex.join(next_step),
    )


@dataclass(frozen=True)
class Converted:
    """A DenseNet-121 of PyTorch in Paddle's names and layouts.

    Attributes:
        file: what was read.
        found: where in it.
        layout: what is known of it; None for a backbone.
        untrained: names of outputs that were left out.
        channels: of its first convolution; the arrays have 3.
        state: name -> float32 array.
    """

    file: torch_files.TorchFile
    found: weight_search.Found
    layout: Layout | None
    untrained: tuple[str, ...]
    channels: int
    state: Arrays


def read_torch(source: str | os.PathLike[str], allow_pickle: bool = False, choices: Choices = _NO_CHOICES) -> Converted:
    """Reads a PyTorch file as `from_torch` does, and writes nothing."""
    source = Path(source)
    file = torch_files.read(source, allow_pickle)
    try:
        return _converted(source, file, weight_search.find(file.content, source, choices.key), choices)
    except InputError as error:
        raise InputError(_with_unknown(str(error), file)) from error


def _converted(source: Path, file: torch_files.TorchFile, found: weight_search.Found, choices: Choices) -> Converted:
    table = list(weight_names.backbone())
    stem = table[0]
    there = found.backbone.get(stem.torch)
    channels = 1 if there is not None and tuple(there.shape[1:2]) == (1,) else 3
    outputs = found.weight.shape[0] if found.head else 0
    layout: Layout | None = None
    tensors = dict(found.backbone)
    if outputs and not (outputs == IMAGENET_CLASSES and choices.classes is None):
        table = list(weight_names.model(outputs))
        tensors |= {
            name: one
            for name, one in zip(weight_names.HEAD, (found.weight, found.bias), strict=True)
            if one is not None
        }
        if not found.left_over:  # else another network, whose outputs are no question yet
            layout = layouts.recognize(file, found, channels, outputs)
            layout = layouts.settle(layout, choices, channels, outputs, source)
            Preprocessing(layout.resize, layout.crop)
    wanted = {weight.torch: weight.shape for weight in table}
    wanted[stem.torch] = (stem.shape[0], channels, *stem.shape[2:])
    arrays = checked(source, wanted, tensors, found.spellings, found.left_over, found.prefix and found.key)
    normalization = layout.normalization if layout else layouts.normalization_of_backbone(choices, channels, source)
    arrays[stem.torch] = layouts.three_channels(arrays[stem.torch], normalization)
    untrained: tuple[str, ...] = ()
    if layout:
        kept = layouts.trained(found.thresholds if choices.classes is None else None, outputs)
        untrained = tuple(name for name, keep in zip(layout.classes, kept, strict=True) if not keep)
        layout = layouts.without(layout, untrained)
        arrays |= {name: arrays[name][kept] for name in weight_names.HEAD}
    prefix = weight_names.PREFIX if layout else ""
    state = {prefix + weight.paddle: weight_names.transpose(weight, arrays[weight.torch]) for weight in table}
    return Converted(file, found, layout, untrained, channels, state)


def _with_unknown(message: str, file: torch_files.TorchFile) -> str:
    """A refusal, with what the file has besides: it may be why."""
    if not file.unknown:
        return message
    return f"{message}. It asks for {weight_names.some(file.unknown)}, which was not run"


def _metadata(known: Layout | None, source: Mapping[str, str]) -> dict[str, Any]:
    """Where the weights come from, and what a whole model needs around it."""
    facts: dict[str, Any] = {"backbone": "densenet121"}
    if known:
        facts |= {"classes": list(known.classes), "resize": known.resize, "crop": known.crop}
        if known.crops is not None:
            facts["crops"] = known.crops
        if (normalization := layouts.NORMALIZATIONS[known.normalization][0]) != NORMALIZATIONS[0]:
            facts["normalization"] = normalization
    return {**facts, "source": dict(source)}
