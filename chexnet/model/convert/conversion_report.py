"""Report of a conversion, for the user to read."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chexnet.config.crops import format_crops
from chexnet.errors import printable
from chexnet.labels import CLASS_NAMES
from chexnet.model.convert import weight_names
from chexnet.model.convert.source_models import SOURCE_NORMALIZATIONS, SourceModel
from chexnet.model.convert.torch_files import TorchFile
from chexnet.model.convert.weight_search import FoundDenseNet


@dataclass(frozen=True)
class Conversion:
    """Report of a conversion; `str()` formats it as several lines.

    Attributes:
        source: path of the source.
        output: path of the output, which was read back and compared.
        layout: description of the source.
        tensors: number of tensors written.
        values: number of numbers in them.
        ignored: what was left out -> reason.
        notes: assumptions about the source, and changes of its numbers.
        source_sha256: SHA-256 of the source.
        output_sha256: SHA-256 of the output.
        next_step: a command or expression that uses the output.
    """

    source: str
    output: str
    layout: str
    tensors: int
    values: int
    ignored: Mapping[str, str]
    notes: tuple[str, ...]
    source_sha256: str
    output_sha256: str
    next_step: str

    def __str__(self) -> str:
        """Format the report, without a newline at its end."""
        lines = [
            f"source      {self.source}",
            f"            sha256 {self.source_sha256}",
            f"layout      {self.layout}",
            f"mapped      {self.tensors} tensors, {self.values:,} values",
            *(f"left out    {part}: {reason}" for part, reason in self.ignored.items()),
            *(f"note        {note}" for note in self.notes),
            f"output      {self.output} (read back, equal)",
            f"            sha256 {self.output_sha256}",
            f"next        {self.next_step}",
        ]
        return "\n".join(map(printable, lines))


def describe_source(file: TorchFile, found: FoundDenseNet, program: str) -> str:
    """Describe the source: the network, the spelling of its names, its precision and the file format."""
    spelling = "MONAI's" if found.monai else "dotted" if found.dotted else "undotted"
    container = "a whole pickled module" if found.is_module else "a bare state dict"
    if found.parent:
        container = f"{'the pickled module at ' if found.is_module else ''}'{found.parent.rstrip('.')}'"
    return (
        f"{program} named {found.prefix}features.* with {spelling} dense layers, "
        f"{' and '.join(sorted(_precisions(file, found)))}; {file.format}, weights in {container}"
    )


def list_ignored(file: TorchFile, found: FoundDenseNet, untrained: tuple[str, ...]) -> dict[str, str]:
    """Return what is in the source and not in the output -> reason."""
    reasons = {}
    if found.counters:
        reasons[f"{found.counters} num_batches_tracked"] = "counts of training batches, unused at inference"
    if found.thresholds is not None:
        reasons["op_threshs"] = (
            "torchxrayvision rescales the probabilities of each class so that its operating point becomes 0.5; these "
            "are the probabilities before that, with the same ranking of images and so the same AUROC"
        )
    if untrained:
        reasons[f"{len(untrained)} outputs"] = f"untrained, they have no operating point: {', '.join(untrained)}"
    if found.dropped:
        reasons[weight_names.summarize(found.dropped, most=6)] = "for training only, or part of another network"
    if found.extra_keys:
        reasons[weight_names.summarize(found.extra_keys, most=10)] = "not part of the network, not converted"
    if file.unknown:
        reasons[weight_names.summarize(file.unknown, most=6)] = "classes or functions of other programs; none was run"
    return reasons


def list_notes(file: TorchFile, found: FoundDenseNet, model: SourceModel | None, channels: int) -> tuple[str, ...]:
    """Return the assumptions about the source and the changes of its numbers, one line each.

    Args:
        file: the source.
        found: the network in it.
        model: preprocessing and classes; None for a backbone.
        channels: input channels of the source's first convolution.
    """
    lines = []
    if prefix := f"{found.parent}{found.prefix}":
        lines.append(f"prefix of the network's names: {prefix}")
    if model:
        lines += _describe_model(model)
    if channels == 1:
        lines.append("one input channel became the first of three; the weights of the others are 0: same results")
    if model and (factor := SOURCE_NORMALIZATIONS[model.normalization][1]) != 1:
        lines.append(f"the first convolution was multiplied by {factor}, so that pixels are -1..1")
    widened = {*file.widened, *_precisions(file, found)} - {"float32"}
    for precision in sorted(widened):
        lines.append(f"{precision} was {'rounded' if precision == 'float64' else 'widened'} to float32")
    if file.ran_code:
        lines.append("code in the source was allowed to run (--allow_pickle)")
    return tuple(lines)


def _describe_model(model: SourceModel) -> list[str]:
    """Return the lines about classes and preprocessing."""
    order = "the reference order, " if model.classes == CLASS_NAMES else ""
    if order and not model.certain:
        lines = [f"class order assumed: {order}{CLASS_NAMES[0]} ... {CLASS_NAMES[-1]}"]
    else:
        lines = [f"classes: {order}{weight_names.summarize(model.classes, most=20)}"]
    crops = "" if model.crops is None else f", {format_crops(model.crops)}"
    origin = f"as in {model.program}" if model.certain else "assumed:"
    lines.append(
        f"preprocessing {origin} shorter side {model.resize} pixels, crop {model.crop}{crops}, "
        f"normalization {model.normalization}; stored in the .json file"
    )
    if model.classes != CLASS_NAMES:
        lines.append("each output goes through a sigmoid; a network trained with softmax would need another formula")
    return lines


def _precisions(file: TorchFile, found: FoundDenseNet) -> set[str]:
    """Return the floating-point dtypes of the network, by PyTorch's names."""
    tensors = found.backbone.values()
    names = {tensor.dtype.name if isinstance(tensor, np.ndarray) else tensor.precision for tensor in tensors}
    return {name for name in names if "float" in name} - ({"float32"} if file.widened else set()) | {*file.widened}
