"""PyTorch weights of CheXNet or DenseNet-121 -> Paddle's names and layouts, and back.

Two things become Paddle files. A CheXNet with 14 outputs becomes a whole model for eval.py
and train.py. An ImageNet DenseNet-121 with 1000 outputs, torchvision's or timm's, becomes a backbone file
for `train.py --init`: its 604 backbone tensors under `paddle.vision`'s own names, without prefix and
without head.

A file with 14 outputs says nothing about which finding each of them means, nor how images were resized
for it. arnoweng's order, which is `labels.CLASS_NAMES`, and arnoweng's preprocessing are assumed; other
projects order the findings differently (torchxrayvision does), and no converter can see it.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chexnet import checkpoint
from chexnet.convert import names, report, torch_files
from chexnet.convert.report import Conversion
from chexnet.errors import InputError
from chexnet.files import replacing, sha256
from chexnet.labels import CLASS_NAMES, N_CLASSES

__all__ = ["Conversion", "from_torch", "to_torch"]

IMAGENET_CLASSES = 1000
COUNTER = "num_batches_tracked"

Arrays = dict[str, np.ndarray]


def from_torch(
    source: str | os.PathLike[str], output: str | os.PathLike[str], allow_pickle: bool = False
) -> Conversion:
    """Converts a PyTorch file to a weight file of Paddle with its sidecar, or writes nothing.

    Args:
        source: a CheXNet or ImageNet DenseNet-121 in any layout of `names.RENAMES`: a checkpoint, a bare
            state dict or a `.safetensors` file, of float16, bfloat16, float32 or float64.
        output: where to write, `.pdparams` or `.safetensors`; an older file there is replaced.
        allow_pickle: run the code in the file, as a whole pickled module needs. Only for trusted files.

    Returns:
        The report. `output` holds float32 arrays: 606 for a CheXNet, 604 for a backbone.

    Raises:
        InputError: the source cannot be read or would run code; a tensor is missing, left over, of another
            shape or not finite (one message lists all); or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    _check_paths(source, output, to_paddle=True)
    file = torch_files.read(source, allow_pickle)
    spellings = _spellings(source, file.weights)
    found = {name: file.weights[spelling] for name, spelling in spellings.items()}
    imagenet = _outputs(source, found) == IMAGENET_CLASSES
    if imagenet:
        found = {name: array for name, array in found.items() if name not in names.HEAD}
    table = tuple(names.backbone() if imagenet else names.model())
    arrays = _checked(source, {weight.torch: weight.shape for weight in table}, found, spellings)
    prefix = "" if imagenet else names.PREFIX
    state = {prefix + weight.paddle: names.turned(weight, arrays[weight.torch]) for weight in table}
    with replacing(output) as temporary:
        checkpoint.save_weights(state, temporary)
        _compare(output, state, checkpoint.read_weights(temporary))
    conversion = Conversion(
        source=str(source),
        output=str(output),
        layout=report.layout(file, imagenet),
        tensors=len(state),
        values=_count(state),
        ignored=report.ignored(file, len(file.weights) - len(spellings), imagenet),
        notes=report.notes(file, imagenet),
        source_sha256=sha256(source),
        output_sha256=sha256(output),
        next_step=f"python {'train.py --init' if imagenet else 'eval.py --ckpt'} {shlex.quote(str(output))}",
    )
    checkpoint.write_sidecar(output, _facts(conversion, imagenet))
    return conversion


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
    _check_paths(source, output, to_paddle=False)
    table = [
        weight._replace(torch=names.PREFIX + weight.torch, paddle=names.PREFIX + weight.paddle)
        for weight in names.model()
    ]
    wanted = {weight.paddle: weight.paddle_shape for weight in table}
    arrays = _checked(source, wanted, checkpoint.read_weights(source))
    state = {weight.torch: names.turned(weight, arrays[weight.paddle]) for weight in table}
    with replacing(output) as temporary:
        torch_files.write(state, temporary)
        _compare(output, state, torch_files.read(temporary).weights)
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
        notes=(),
        source_sha256=sha256(source),
        output_sha256=sha256(output),
        next_step=f"model.load_state_dict({expression})",
    )


def _check_paths(source: Path, output: Path, to_paddle: bool) -> None:
    if to_paddle and source.suffix == ".pdparams":
        raise InputError(f"{source}: is a Paddle file already; --reverse converts it to PyTorch")
    if to_paddle:
        checkpoint.check_suffix(output)
    if not to_paddle and output.suffix == ".pdparams":
        raise InputError(f"{output}: --reverse writes a PyTorch file, expected a name like model.pth")
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is the file to convert; give --output another name")
    if output.is_dir():
        raise InputError(f"{output}: is a folder, expected the name of a file to write")


def _spellings(source: Path, weights: Arrays) -> dict[str, str]:
    """Name in the table -> name in the file, without the batch counters; unknown names stay as they are."""
    groups: dict[str, list[str]] = {}
    for name in weights:
        if name.rpartition(".")[2] != COUNTER:
            groups.setdefault(names.canonical(name), []).append(name)
    if groups.keys() & {weight.paddle for weight in names.backbone()}:
        raise InputError(f"{source}: has Paddle's names already; --reverse converts it to PyTorch")
    if not any(name.startswith("features.") for name in groups):
        found = ", ".join(list(weights)[:3])
        raise InputError(f"{source}: not a DenseNet-121: expected features.conv0.weight ..., found {found} ...")
    twice = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if twice:
        raise InputError(f"{source}: nothing was converted. One tensor under two names: {', '.join(twice)}")
    return {name: group[0] for name, group in groups.items()}


def _outputs(source: Path, found: Arrays) -> int:
    """The number of outputs: CheXNet's or ImageNet's. A head that is missing is left for `_checked`."""
    head = found.get(names.HEAD[0])
    outputs = N_CLASSES if head is None or head.ndim != 2 else head.shape[0]
    if outputs not in (N_CLASSES, IMAGENET_CLASSES):
        raise InputError(
            f"{source}: {outputs} outputs found, {N_CLASSES} expected of a CheXNet "
            f"and {IMAGENET_CLASSES} of an ImageNet backbone; nothing was converted"
        )
    return outputs


def _checked(
    source: Path,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, Any],
    spellings: Mapping[str, str] | None = None,
) -> Arrays:
    """The wanted arrays as float32, if they are all there, nothing else is, and all are finite numbers."""
    spelled = {name: name for name in found} | dict(spellings or {})
    arrays = {name: np.asarray(found[name]) for name in wanted if name in found}
    wrong = {
        "missing": [name for name in wanted if name not in found],
        "left over": [spelled[name] for name in found if name not in wanted],
        "of another shape": [
            f"{spelled[name]} {list(array.shape)} for {list(wanted[name])}"
            for name, array in arrays.items()
            if array.shape != wanted[name]
        ],
        "not floating-point": [spelled[name] for name, array in arrays.items() if array.dtype.kind != "f"],
    }
    if not wrong["not floating-point"]:
        with np.errstate(over="ignore"):  # a float64 beyond float32 turns infinite and is refused below
            arrays = {name: np.ascontiguousarray(array, dtype="float32") for name, array in arrays.items()}
        wrong["with NaN or infinity"] = [
            spelled[name] for name, array in arrays.items() if not np.isfinite(array).all()
        ]
    problems = [f"{what} {len(of)}: {', '.join(of)}" for what, of in wrong.items() if of]
    if problems:
        raise InputError(f"{source}: nothing was converted. {'; '.join(problems)}")
    return arrays


def _compare(output: Path, written: Arrays, read: Mapping[str, np.ndarray]) -> None:
    if written.keys() != read.keys() or not all(np.array_equal(written[name], read[name]) for name in written):
        raise InputError(f"{output}: what was read back is not what was written, so nothing was kept")


def _facts(conversion: Conversion, imagenet: bool) -> dict[str, Any]:
    """The sidecar: where the weights come from, and what a whole model needs around it."""
    source = {
        "file": Path(conversion.source).name,
        "sha256": conversion.source_sha256,
        "layout": conversion.layout,
    }
    model = {} if imagenet else {"classes": list(CLASS_NAMES), **report.PREPROCESSING}
    return {"backbone": "densenet121", **model, "source": source}


def _count(state: Arrays) -> int:
    return sum(array.size for array in state.values())
