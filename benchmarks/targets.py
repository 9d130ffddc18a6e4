"""Targets of the benchmarks, and the check whether a run reached them."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import Comparison


@dataclass(frozen=True)
class Target:
    """A ratio that a benchmark case should reach.

    Attributes:
        description: description of the target.
        case: `case` of the comparison.
        reference: `reference` of the comparison.
        ratio: the ratio to reach: at least this, or at most if `at_most`.
        ours: `ours` of the comparison; if empty, the first comparison counts, which is that of the default engine.
        precision: `precision` of the comparison; bfloat16 counts only on a CPU that computes it natively.
        at_most: whether less is better.
    """

    description: str
    case: str
    reference: str
    ratio: float
    ours: str = ""
    precision: str = ""
    at_most: bool = False

    def row(self, comparisons: Sequence[Comparison], bfloat16: bool) -> tuple[str, str, str, str, str]:
        """Return a table row: description, reference, measured ratio, target ratio, result.

        Args:
            comparisons: comparisons of a run.
            bfloat16: whether the CPU computes bfloat16 natively.
        """
        fallback = self.precision == "bfloat16" and not bfloat16
        precision = "float32" if fallback else self.precision
        ratios = [
            comparison.ratio
            for comparison in comparisons
            if (comparison.case, comparison.reference) == (self.case, self.reference)
            and comparison.precision == precision
            and self.ours in ("", comparison.ours)
        ]
        target = f"{self.ratio:g} x{' at most' * self.at_most}"
        if not ratios or ratios[0] is None:
            return self.description, self.reference, "-", target, "not measured"
        reached = ratios[0] <= self.ratio if self.at_most else ratios[0] >= self.ratio
        result = "this CPU has no bfloat16: float32" if fallback else "reached" if reached else "NOT reached"
        return self.description, self.reference, f"{ratios[0]:.3g} x", target, result


TARGETS = (
    Target("ten-crop evaluation end to end, float32", "ten_crop", "Paddle baseline", 7, precision="float32"),
    Target("ten-crop evaluation end to end, float32", "ten_crop", "PyTorch baseline", 4.5, precision="float32"),
    Target("dense evaluation end to end, float32", "dense", "Paddle baseline", 18, precision="float32"),
    Target("dense evaluation end to end, float32", "dense", "Paddle baseline, all cores", 14, precision="float32"),
    Target("ten-crop evaluation end to end, bfloat16", "ten_crop", "Paddle baseline", 33, precision="bfloat16"),
    Target(
        "one-crop evaluation from the cache, bfloat16",
        "one_crop",
        "Paddle baseline",
        20,
        precision="bfloat16",
    ),
    Target(
        "cached training input, one core, the real loader",
        "loader",
        "training-input baseline",
        200,
        ours="cached, one core",
    ),
    Target("cache build, per core", "cache_build", "PIL decode + resize alone", 0.95),
    Target(
        "peak memory of evaluation at 10,000 images",
        "memory",
        "of 100",
        1.1,
        ours="evaluation of 10,000 images",
        at_most=True,
    ),
    Target("AUROCs of every 10th step of an epoch", "metric", "an epoch of 80 s", 0.01, at_most=True),
    Target(
        "state and best weights saved after an epoch",
        "saving",
        "an epoch of 80 s",
        0.02,
        ours="a state and the best weights after an epoch",
        at_most=True,
    ),
)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in aligned columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
