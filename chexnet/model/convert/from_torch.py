"""Conversion from PyTorch to Paddle."""

import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet.config import NORMALIZATIONS
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import checkpoint
from chexnet.model.convert import conversion_report, source_models, torch_files, weight_names
from chexnet.model.convert.conversion_checks import (
    Arrays,
    atomic_output,
    check_output,
    check_read_back,
    check_unchanged,
    collect_arrays,
    count_values,
)
from chexnet.model.convert.conversion_report import Conversion
from chexnet.model.convert.source_models import SOURCE_NORMALIZATIONS, ConversionOptions, SourceModel
from chexnet.model.convert.weight_search import FoundDenseNet, find_densenet

IMAGENET_CLASSES = 1000

_NO_OPTIONS = ConversionOptions()


def from_torch(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    allow_pickle: bool = False,
    options: ConversionOptions = _NO_OPTIONS,
) -> Conversion:
    """Convert a PyTorch file to a Paddle weight file with its metadata; if an error is raised, nothing is written.

    Args:
        source: a CheXNet or another DenseNet-121, in any spelling of `weight_names.RENAMES` and under any prefix: a
            checkpoint, a bare state dict, a whole pickled module or a `.safetensors` file, of float16, bfloat16,
            float32 or float64.
        output: output file, `.pdparams` or `.safetensors`; an existing file is replaced.
        allow_pickle: True runs the code in the file, which is seldom needed. Only for trusted files.
        options: properties that the file does not contain.

    Returns:
        The report. `output` holds float32 arrays: 606 for a whole model, 604 for a backbone.

    Raises:
        InputError: the source cannot be read or would run code; a tensor is missing, left over, of another shape or not
            finite (one message lists the first of each kind); an option is needed; or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    checkpoint.check_suffix(output)
    check_output(source, output)
    checkpoint.check_metadata_file(output)
    source_sha256 = sha256(source)
    converted = read_torch(source, allow_pickle, options)
    check_unchanged(source, source_sha256)
    file, found, model, state = converted.file, converted.found, converted.model, converted.state
    layout = conversion_report.describe_source(file, found, _program_name(converted))
    ignored = conversion_report.list_ignored(file, found, converted.untrained)
    if not model and found.head:
        ignored[found.head] = f"the {IMAGENET_CLASSES} ImageNet classes; train.py starts with a new head"
    metadata = _build_metadata(model, {"file": source.name, "sha256": source_sha256, "layout": layout})
    with atomic_output(output) as temporary:
        output_sha256 = checkpoint.save_weights(state, temporary, metadata=metadata)
        check_read_back(output, state, checkpoint.read_weights(temporary))
    checkpoint.write_metadata_file(output, {**metadata, checkpoint.WEIGHTS_SHA256: output_sha256})
    return Conversion(
        source=str(source),
        output=str(output),
        layout=layout,
        tensors=len(state),
        values=count_values(state),
        ignored=ignored,
        notes=conversion_report.list_notes(file, found, model, converted.channels),
        source_sha256=source_sha256,
        output_sha256=output_sha256,
        next_step=_next_step(output, model, options),
    )


def _program_name(converted: "ConvertedWeights") -> str:
    if converted.model and converted.model.certain:
        return f"CheXNet of {converted.model.program}"
    if converted.model:
        return "CheXNet"
    return "ImageNet DenseNet-121" if converted.found.head else "DenseNet-121 without a head"


def _next_step(output: Path, model: SourceModel | None, options: ConversionOptions) -> str:
    if model:
        return shlex.join(["python", "eval.py", "--ckpt", str(output)])
    command = ["python", "train.py", "--init", str(output)]
    if options.normalization:
        command += ["--normalization", SOURCE_NORMALIZATIONS[options.normalization][0]]
    return shlex.join(command)


@dataclass(frozen=True)
class ConvertedWeights:
    """A DenseNet-121 of PyTorch in Paddle's names and layouts.

    Attributes:
        file: content of the source.
        found: the network in it.
        model: preprocessing and classes; None for a backbone.
        untrained: names of outputs that were left out.
        channels: input channels of the source's first convolution; the converted one has 3.
        state: name -> float32 array.
    """

    file: torch_files.TorchFile
    found: FoundDenseNet
    model: SourceModel | None
    untrained: tuple[str, ...]
    channels: int
    state: Arrays


def read_torch(
    source: str | os.PathLike[str], allow_pickle: bool = False, options: ConversionOptions = _NO_OPTIONS
) -> ConvertedWeights:
    """Convert a PyTorch file as `from_torch` does, without writing a file."""
    source = Path(source)
    with closing(torch_files.read(source, allow_pickle)) as file:
        try:
            return _convert(source, file, find_densenet(file.content, source, options.key), options)
        except InputError as error:
            raise InputError(_add_unknown_classes(str(error), file)) from error


def _convert(
    source: Path, file: torch_files.TorchFile, found: FoundDenseNet, options: ConversionOptions
) -> ConvertedWeights:
    table = list(weight_names.backbone_weights())
    stem = table[0]
    stem_tensor = found.backbone.get(stem.torch)
    channels = 1 if stem_tensor is not None and tuple(stem_tensor.shape[1:2]) == (1,) else 3
    outputs = found.head_weight.shape[0] if found.head else 0
    model: SourceModel | None = None
    tensors = dict(found.backbone)
    if outputs and not (outputs == IMAGENET_CLASSES and options.classes is None):
        table = list(weight_names.model_weights(outputs))
        head = zip(weight_names.HEAD, (found.head_weight, found.head_bias), strict=True)
        tensors |= {name: tensor for name, tensor in head if tensor is not None}
        if not found.leftover:  # otherwise `collect_arrays` refuses the network, whatever its outputs mean
            model = source_models.recognize(file, found, channels, outputs)
            model = source_models.apply_options(model, options, channels, outputs, source)
            Preprocessing(model.resize, model.crop)
    expected = {weight.torch: weight.shape for weight in table}
    expected[stem.torch] = (stem.shape[0], channels, *stem.shape[2:])
    key = found.key if found.prefix else ""
    arrays = collect_arrays(source, expected, tensors, found.source_names, found.leftover, key)
    normalization = model.normalization if model else source_models.backbone_normalization(options, channels, source)
    arrays[stem.torch] = source_models.expand_stem(arrays[stem.torch], normalization)
    untrained: tuple[str, ...] = ()
    if model:
        thresholds = found.thresholds if options.classes is None else None
        trained = source_models.trained_outputs(thresholds, outputs)
        untrained = tuple(name for name, keep in zip(model.classes, trained, strict=True) if not keep)
        model = source_models.drop_classes(model, untrained)
        arrays |= {name: arrays[name][trained] for name in weight_names.HEAD}
    prefix = weight_names.PREFIX if model else ""
    state = {prefix + weight.paddle: weight_names.transpose(weight, arrays[weight.torch]) for weight in table}
    return ConvertedWeights(file, found, model, untrained, channels, state)


def _add_unknown_classes(message: str, file: torch_files.TorchFile) -> str:
    """Add the unknown classes in the file to an error message, because they may be the cause."""
    if not file.unknown:
        return message
    return f"{message}. It asks for {weight_names.summarize(file.unknown)}, which was not run"


def _build_metadata(model: SourceModel | None, source: Mapping[str, str]) -> dict[str, Any]:
    """Return the origin of the weights and, for a whole model, its classes and preprocessing."""
    metadata: dict[str, Any] = {"backbone": "densenet121"}
    if model:
        metadata |= {"classes": list(model.classes), "resize": model.resize, "crop": model.crop}
        if model.crops is not None:
            metadata["crops"] = model.crops
        if (normalization := SOURCE_NORMALIZATIONS[model.normalization][0]) != NORMALIZATIONS[0]:
            metadata["normalization"] = normalization
    return {**metadata, "source": dict(source)}
