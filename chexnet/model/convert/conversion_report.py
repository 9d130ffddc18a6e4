"""What a conversion tells its user."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chexnet.errors import printable
from chexnet.labels import CLASS_NAMES
from chexnet.model.convert import weight_names
from chexnet.model.convert.layouts import NORMALIZATIONS, Layout
from chexnet.model.convert.torch_files import TorchFile
from chexnet.model.convert.weight_search import Found


@dataclass(frozen=True)
class Conversion:
    """What was converted, for the user to read; `str()` gives the report of several lines.

    Attributes:
        source: the file that was read.
        output: the file that was written, read back and found equal.
        layout: what the source was recognised as, in words.
        tensors: number of tensors written.
        values: number of numbers in them.
        ignored: what was left out -> why.
        notes: what the source does not say and was taken for granted, and what was done to it.
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
        """The report, without a newline at its end."""
        lines = [
            f"source      {self.source}",
            f"            sha256 {self.source_sha256}",
            f"layout      {self.layout}",
            f"mapped      {self.tensors} tensors, {self.values:,} values",
            *(f"left out    {what}: {why}" for what, why in self.ignored.items()),
            *(f"note        {note}" for note in self.notes),
            f"output      {self.output} (read back, equal)",
            f"            sha256 {self.output_sha256}",
            f"next        {self.next_step}",
        ]
        return "\n".join(map(printable, lines))


def layout(file: TorchFile, found: Found, program: str) -> str:
    """The source in words: what it is, how it spells names, its precision and its format."""
    dense = "MONAI's" if found.monai else "dotted" if found.dotted else "undotted"
    what = "a whole pickled module" if found.module else "a bare state dict"
    if found.place:
        what = f"{'the pickled module at ' if found.module else ''}'{found.place.rstrip('.')}'"
    return (
        f"{program} named {found.prefix}features.* with {dense} dense layers, "
        f"{' and '.join(sorted(_precisions(file, found)))}; {file.format}, weights in {what}"
    )


def ignored(file: TorchFile, found: Found, untrained: tuple[str, ...]) -> dict[str, str]:
    """What is in the source and not in the output -> why."""
    reasons = {}
    if found.counters:
        reasons[f"{found.counters} num_batches_tracked"] = "counts of training batches, unused at inference"
    if found.thresholds is not None:
        reasons["op_threshs"] = (
            "torchxrayvision rescales probabilities so that these become 0.5, a class at a time; here they are the "
            "probabilities before that, in the same order of images, so with the same AUROC"
        )
    if untrained:
        reasons[f"{len(untrained)} outputs"] = f"untrained, they have no operating point: {', '.join(untrained)}"
    if found.dropped:
        reasons[weight_names.some(found.dropped, most=6)] = "of training, or of another network"
    if found.beside:
        reasons[weight_names.some(found.beside, most=10)] = "beside the network, not converted"
    if file.unknown:
        reasons[weight_names.some(file.unknown, most=6)] = (
            "classes or functions of other programs; nothing of them was run"
        )
    return reasons


def notes(file: TorchFile, found: Found, known: Layout | None, channels: int) -> tuple[str, ...]:
    """What was assumed about the source, and what was done to its numbers; `known` is None for a backbone."""
    lines = []
    if before := f"{found.place}{found.prefix}":
        lines.append(f"before the names of the network: {before}")
    if known:
        said = "as in" if known.certain else "assumed:"
        order = "the reference order, " if known.classes == CLASS_NAMES else ""
        if order and not known.certain:
            lines.append(f"class order assumed: {order}{CLASS_NAMES[0]} ... {CLASS_NAMES[-1]}")
        else:
            lines.append(f"classes: {order}{weight_names.some(known.classes, most=20)}")
        crops = "" if known.crops is None else f", {known.crops} crop{'s' * (known.crops > 1)}"
        program = f" {known.program}" if known.certain else ""
        lines.append(
            f"preprocessing {said}{program} shorter side {known.resize} pixels, crop {known.crop}{crops}, "
            f"normalization {known.normalization}; see the .json beside"
        )
        if known.classes != CLASS_NAMES:
            lines.append("each output goes through a sigmoid; one trained with softmax would need another formula")
    if channels == 1:
        lines.append("one input channel became the first of three, the others having no weight: same results")
    if known and (factor := NORMALIZATIONS[known.normalization][1]) != 1:
        lines.append(f"the first convolution was multiplied by {factor}, so that pixels are -1..1")
    widened = {*file.widened, *_precisions(file, found)} - {"float32"}
    for precision in sorted(widened):
        lines.append(f"{precision} was {'rounded' if precision == 'float64' else 'widened'} to float32")
    if file.ran_code:
        lines.append("code in the source was allowed to run (--allow_pickle)")
    return tuple(lines)


def _precisions(file: TorchFile, found: Found) -> set[str]:
    """The floating-point types of the network, as PyTorch spells them."""
    precisions = {one.dtype.name if isinstance(one, np.ndarray) else one.precision for one in found.backbone.values()}
    return {one for one in precisions if "float" in one} - ({"float32"} if file.widened else set()) | {*file.widened}
