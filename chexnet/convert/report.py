"""What a conversion tells its user."""

from collections.abc import Mapping
from dataclasses import dataclass

from chexnet.convert.torch_files import TorchFile
from chexnet.labels import CLASS_NAMES

PREPROCESSING = {"resize": 256, "crop": 224}
"""arnoweng/CheXNet `model.py`: shorter side to 256 pixels, crops of 224."""


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
        return "\n".join(lines)


def layout(file: TorchFile, imagenet: bool) -> str:
    """The source in words: what it is, how it spells names, its precision and its format."""
    prefix = next(name for name in file.weights if "features." in name).partition("features.")[0]
    dotted = any(".norm.1." in name for name in file.weights)
    return (
        f"{'ImageNet DenseNet-121' if imagenet else 'CheXNet'} named {prefix}features.* with "
        f"{'dotted' if dotted else 'undotted'} dense layers, {' and '.join(sorted(file.precisions))}; "
        f"{file.format}"
    )


def ignored(file: TorchFile, counters: int, imagenet: bool) -> dict[str, str]:
    """What is in the source and not in the output -> why."""
    reasons = {}
    if counters:
        reasons[f"{counters} num_batches_tracked"] = "counts of training batches, unused at inference"
    if imagenet:
        reasons["classifier"] = "the 1000 ImageNet classes; train.py starts a head of its own"
    if file.beside:
        reasons[", ".join(file.beside)] = "not weights"
    return reasons


def notes(file: TorchFile, imagenet: bool) -> tuple[str, ...]:
    """What was assumed about the source, and what was done to its numbers."""
    lines = []
    if not imagenet:
        resize, crop = PREPROCESSING.values()
        lines.append(f"class order assumed: the reference order, {CLASS_NAMES[0]} ... {CLASS_NAMES[-1]}")
        lines.append(f"preprocessing assumed: shorter side {resize} pixels, crop {crop}; see the .json beside")
    for precision in sorted(file.precisions - {"float32"}):
        lines.append(f"{precision} was {'rounded' if precision == 'float64' else 'widened'} to float32")
    if file.ran_code:
        lines.append("code in the source was allowed to run (--allow_pickle)")
    return tuple(lines)
