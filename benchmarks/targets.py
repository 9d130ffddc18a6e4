"""What was aimed at, and whether a run got there."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import Comparison


@dataclass(frozen=True)
class Target:
    """A ratio that a case aims at.

    Attributes:
        words: what is measured.
        case, ours, reference: of its comparison; of several with other `ours`, all if that is empty, the first
            counts: engines are compared in the order in which they are chosen.
        ratio: at least, or at most if `at_most`.
        precision: of the arithmetic; bfloat16 counts only on a CPU that has it.
        at_most: whether less is better.
    """

    words: str
    case: str
    reference: str
    ratio: float
    ours: str = ""
    precision: str = ""
    at_most: bool = False

    def row(self, comparisons: Sequence[Comparison], bfloat16: bool) -> tuple[str, str, str, str, str]:
        """Words, reference, measured ratio, aimed ratio, verdict.

        Args:
            comparisons: of a run.
            bfloat16: whether its CPU has it.
        """
        lacking = self.precision == "bfloat16" and not bfloat16
        precision = "float32" if lacking else self.precision
        ratios = [
            one.ratio
            for one in comparisons
            if (one.case, one.reference) == (self.case, self.reference)
            and one.precision == precision
            and self.ours in ("", one.ours)
        ]
        aim = f"{self.ratio:g} x{' at most' * self.at_most}"
        if not ratios or ratios[0] is None:
            return self.words, self.reference, "-", aim, "not measured"
        reached = ratios[0] <= self.ratio if self.at_most else ratios[0] >= self.ratio
        verdict = "this CPU has no bfloat16: float32" if lacking else "reached" if reached else "NOT reached"
        return self.words, self.reference, f"{ratios[0]:.3g} x", aim, verdict


TARGETS = (
    Target("ten-crop evaluation end to end, float32", "ten_crop", "naive Paddle", 7, precision="float32"),
    Target("ten-crop evaluation end to end, float32", "ten_crop", "naive PyTorch", 4.5, precision="float32"),
    Target("ten-crop evaluation end to end, bfloat16", "ten_crop", "naive Paddle", 33, precision="bfloat16"),
    Target(
        "one-crop evaluation from the cache, bfloat16", "one_crop", "naive Paddle, one crop", 20, precision="bfloat16"
    ),
    Target(
        "cached training input, one core, the real loader",
        "loader",
        "naive training input",
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
    """Rows of text in aligned columns, the first row being the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
