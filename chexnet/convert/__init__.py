"""PyTorch weights of CheXNet or DenseNet-121 -> Paddle's names and layouts, and back.

Two things become Paddle files. A network with a head becomes a whole model for eval.py and train.py. An ImageNet
DenseNet-121 with 1000 outputs, torchvision's or timm's, or one without a head, becomes a backbone file for
`train.py --init`: its 604 backbone tensors under `paddle.vision`'s own names, without prefix and without head.

A file with 14 outputs says nothing about which finding each of them means, nor how images were resized
for it. Where the program that made it is not known, arnoweng's order, which is `labels.CLASS_NAMES`, and arnoweng's
preprocessing are assumed, and said; the user can say otherwise. Other numbers of outputs need names.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chexnet import checkpoint
from chexnet.convert import layouts, names, report, search, torch_files
from chexnet.convert.layouts import Choices, Layout
from chexnet.convert.report import Conversion
from chexnet.convert.torch_pickles import Tensor
from chexnet.config import SCALINGS
from chexnet.errors import InputError
from chexnet.files import replacing, sha256
from chexnet.transforms import Preprocessing

__all__ = ["Choices", "Conversion", "Converted", "from_torch", "read_torch", "to_torch"]

IMAGENET_CLASSES = 1000

Arrays = dict[str, np.ndarray]


def from_torch(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    allow_pickle: bool = False,
    choices: Choices = Choices(),
) -> Conversion:
    """Converts a PyTorch file to a weight file of Paddle with its sidecar, or writes nothing.

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
    _check_output(source, output)
    checkpoint.check_sidecar(output)
    converted = read_torch(source, allow_pickle, choices)
    file, found, known, state = converted.file, converted.found, converted.layout, converted.state
    with replacing(output) as temporary:
        checkpoint.save_weights(state, temporary)
        _compare(output, state, checkpoint.read_weights(temporary))
    program = "CheXNet" if known else "ImageNet DenseNet-121" if found.head else "DenseNet-121 without a head"
    if known and known.certain:
        program = f"CheXNet of {known.program}"
    ignored = report.ignored(file, found, converted.untrained)
    if not known and found.head:
        ignored[found.head] = f"the {IMAGENET_CLASSES} ImageNet classes; train.py starts a head of its own"
    scaling = f" --scaling {layouts.SCALINGS[choices.scaling][0]}" if choices.scaling and not known else ""
    conversion = Conversion(
        source=str(source),
        output=str(output),
        layout=report.layout(file, found, program),
        tensors=len(state),
        values=_count(state),
        ignored=ignored,
        notes=report.notes(file, found, known, converted.channels),
        source_sha256=sha256(source),
        output_sha256=sha256(output),
        next_step=f"python {'eval.py --ckpt' if known else 'train.py --init'} {shlex.quote(str(output))}{scaling}",
    )
    checkpoint.write_sidecar(output, _facts(conversion, known))
    return conversion


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
    found: search.Found
    layout: Layout | None
    untrained: tuple[str, ...]
    channels: int
    state: Arrays


def read_torch(source: str | os.PathLike[str], allow_pickle: bool = False, choices: Choices = Choices()) -> Converted:
    """Reads a PyTorch file as `from_torch` does, and writes nothing."""
    source = Path(source)
    file = torch_files.read(source, allow_pickle)
    try:
        return _converted(source, file, search.find(file.content, source, choices.key), choices)
    except InputError as error:
        raise InputError(_with_unknown(str(error), file)) from error


def _converted(source: Path, file: torch_files.TorchFile, found: search.Found, choices: Choices) -> Converted:
    table = list(names.backbone())
    stem = table[0]
    there = found.backbone.get(stem.torch)
    channels = 1 if there is not None and tuple(there.shape[1:2]) == (1,) else 3
    outputs = found.weight.shape[0] if found.head else 0
    layout: Layout | None = None
    tensors = dict(found.backbone)
    if outputs and not (outputs == IMAGENET_CLASSES and choices.classes is None):
        table = list(names.model(outputs))
        tensors |= {
            name: one for name, one in zip(names.HEAD, (found.weight, found.bias), strict=True) if one is not None
        }
        if not found.left_over:  # else another network, whose outputs are no question yet
            layout = layouts.recognize(file, found, channels, outputs)
            layout = layouts.settle(layout, choices, channels, outputs, source)
            Preprocessing(layout.resize, layout.crop)
    wanted = {weight.torch: weight.shape for weight in table}
    wanted[stem.torch] = (stem.shape[0], channels, *stem.shape[2:])
    arrays = _checked(source, wanted, tensors, found.spellings, found.left_over, found.prefix and found.key)
    scaling = layout.scaling if layout else layouts.scaling_of_backbone(choices, channels, source)
    arrays[stem.torch] = layouts.three_channels(arrays[stem.torch], scaling)
    untrained: tuple[str, ...] = ()
    if layout:
        kept = layouts.trained(found.thresholds if choices.classes is None else None, outputs)
        untrained = tuple(name for name, keep in zip(layout.classes, kept, strict=True) if not keep)
        layout = layouts.without(layout, untrained)
        arrays |= {name: arrays[name][kept] for name in names.HEAD}
    prefix = names.PREFIX if layout else ""
    state = {prefix + weight.paddle: names.turned(weight, arrays[weight.torch]) for weight in table}
    return Converted(file, found, layout, untrained, channels, state)


def _with_unknown(message: str, file: torch_files.TorchFile) -> str:
    """A refusal, with what the file has besides: it may be why."""
    if not file.unknown:
        return message
    return f"{message}. It asks for {names.some(file.unknown)}, which was not run"


def to_torch(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> Conversion:
    """Converts a CheXNet in Paddle's names to PyTorch, or writes nothing.

    Args:
        source: a whole model of 606 tensors, `.pdparams` or `.safetensors`.
        output: where to write: `.safetensors`, or any other name for `{'state_dict': ...}` in PyTorch's
            format. Names are `densenet121.features...` and `densenet121.classifier.0.*`, as arnoweng's
            `DenseNet121` has them without DataParallel.

    Returns:
        The report.

    Raises:
        InputError: the source cannot be read or is not a whole CheXNet; torch is needed and missing; or
            the output cannot be written.
    """
    source, output = Path(source), Path(output)
    if output.suffix == ".pdparams":
        raise InputError(f"{output}: --reverse writes a PyTorch file, expected a name like model.pth")
    _check_output(source, output)
    weights = checkpoint.read_weights(source)
    bias = weights.get(f"{names.PREFIX}out.0.bias")
    table = [
        weight._replace(torch=names.PREFIX + weight.torch, paddle=names.PREFIX + weight.paddle)
        for weight in (names.model() if bias is None or bias.ndim != 1 else names.model(len(bias)))
    ]
    wanted = {weight.paddle: weight.paddle_shape for weight in table}
    left_over = [name for name in weights if name not in wanted]
    arrays = _checked(source, wanted, weights, left_over=left_over)
    state = {weight.torch: names.turned(weight, arrays[weight.paddle]) for weight in table}
    with replacing(output) as temporary:
        torch_files.write(state, temporary)
        _compare(output, state, _read_back(temporary))
    if output.suffix == checkpoint.SAFETENSORS:
        expression = f"safetensors.torch.load_file({str(output)!r})"
    else:
        expression = f"torch.load({str(output)!r}, weights_only=True)['state_dict']"
    return Conversion(
        source=str(source),
        output=str(output),
        layout="CheXNet in Paddle",
        tensors=len(state),
        values=_count(state),
        ignored={},
        notes=_preprocessing(source),
        source_sha256=sha256(source),
        output_sha256=sha256(output),
        next_step=f"model.load_state_dict({expression})",
    )


def _check_output(source: Path, output: Path) -> None:
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is the file to convert; give --output another name")
    if output.is_dir():
        raise InputError(f"{output}: is a folder, expected the name of a file to write")


def _read_back(path: Path) -> Arrays:
    content = torch_files.read(path).content
    return {name: _array(value) for name, value in content.get("state_dict", content).items()}


def _preprocessing(source: Path) -> tuple[str, ...]:
    """How images are prepared for a model in Paddle, which PyTorch has to do alike."""
    known = checkpoint.read_sidecar(source)
    said = {name: known[name] for name in ("resize", "crop", "crops", "scaling", "classes") if name in known}
    return tuple(f"its {name}: {value}" for name, value in said.items())


def _array(value: Any) -> np.ndarray:
    return value.array() if isinstance(value, Tensor) else np.asarray(value)


def _checked(
    source: Path,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, Any],
    spellings: Mapping[str, str] | None = None,
    left_over: Iterable[str] = (),
    key: str = "",
) -> Arrays:
    """The wanted arrays as float32, if they are all there, nothing else is, and all are finite numbers."""
    spelled = {name: name for name in found} | dict(spellings or {})
    there = {name: found[name] for name in wanted if name in found}
    wrong = {
        "missing": [name for name in wanted if name not in found],
        "left over": list(left_over),
        "of another shape": [
            f"{spelled[name]} {list(one.shape)} for {list(wanted[name])}"
            for name, one in there.items()
            if tuple(one.shape) != wanted[name]
        ],
    }
    arrays: Arrays = {}
    if not wrong["of another shape"]:
        try:
            arrays = {name: _array(one) for name, one in there.items()}
        except Exception as error:  # what a damaged archive raises
            raise InputError(f"{source}: not readable: {str(error) or type(error).__name__}") from error
        wrong["not floating-point"] = [spelled[name] for name, array in arrays.items() if array.dtype.kind != "f"]
        with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 turns infinite
            arrays = {name: np.ascontiguousarray(array, dtype="float32") for name, array in arrays.items()}
        wrong["with NaN or infinity"] = [
            spelled[name] for name, array in arrays.items() if not np.isfinite(array).all()
        ]
    problems = [f"{what} {len(of)}: {names.some(of)}" for what, of in wrong.items() if of]
    if problems:
        way = f". --key {key} leaves out what does not belong to it" if wrong["left over"] and key else ""
        raise InputError(f"{source}: nothing was converted. {'; '.join(problems)}{way}")
    return arrays


def _compare(output: Path, written: Arrays, read: Mapping[str, np.ndarray]) -> None:
    if written.keys() != read.keys() or not all(np.array_equal(written[name], read[name]) for name in written):
        raise InputError(f"{output}: what was read back is not what was written, so nothing was kept")


def _facts(conversion: Conversion, known: Layout | None) -> dict[str, Any]:
    """The sidecar: where the weights come from, and what a whole model needs around it."""
    facts: dict[str, Any] = {"backbone": "densenet121"}
    if known:
        facts |= {"classes": list(known.classes), "resize": known.resize, "crop": known.crop}
        if known.crops is not None:
            facts["crops"] = known.crops
        if (scaling := layouts.SCALINGS[known.scaling][0]) != SCALINGS[0]:
            facts["scaling"] = scaling
    facts[checkpoint.WEIGHTS_SHA256] = conversion.output_sha256
    facts["source"] = {
        "file": Path(conversion.source).name,
        "sha256": conversion.source_sha256,
        "layout": conversion.layout,
    }
    return facts


def _count(state: Arrays) -> int:
    return sum(array.size for array in state.values())
