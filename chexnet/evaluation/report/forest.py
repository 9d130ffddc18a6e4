"""Forest plots: the AUROC of one finding in each group of images, as SVG for a place inside an HTML page."""

import math
from collections.abc import Sequence

from chexnet.evaluation.report.charts import FIRST, GRID, PAPER, SOFT, embeddable, new_figure
from chexnet.evaluation.report.group_scores import FindingInGroups, GroupScores

WIDTH = 280
"""Width of a drawing in the units of its SVG, one per Matplotlib point."""

_LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 104, 44, 8, 34, 20
_LONGEST = 17
"""Maximum number of characters in the name of a group."""


def height(groups: int) -> int:
    """Return the height of a drawing with this number of groups."""
    return _TOP + _BOTTOM + _ROW * groups


def draw_forest(finding: FindingInGroups) -> str:
    """Draw one row per group: the AUROC with its 95 % interval, over the AUROC of all groups as a dashed line.

    The number of images with the finding is on the right. Groups that are small have hollow markers. A group without
    an AUROC has an empty row.

    Returns:
        Elements for an `<svg viewBox="0 0 {WIDTH} {height}">`; the same bytes for the same arguments.
    """
    groups = finding.groups
    total = height(len(groups))
    lowest, highest = _limits(groups)
    with new_figure(WIDTH, total, salt=finding.name) as figure:
        bounds = (_LEFT / WIDTH, _BOTTOM / total, (WIDTH - _LEFT - _RIGHT) / WIDTH, _ROW * len(groups) / total)
        axes = figure.add_axes(bounds, frame_on=False, xlim=(lowest, highest), ylim=(len(groups) - 0.5, -0.5))
        axes.set_xlabel("AUROC", color=SOFT)
        ticks = (lowest, (lowest + highest) / 2, highest)
        axes.xaxis.set_ticks(ticks, [f"{tick:.3g}" for tick in ticks], color=SOFT)
        axes.yaxis.set_ticks(range(len(groups)), list(map(_label, groups)), color=SOFT, parse_math=False)
        axes.tick_params(length=0)
        axes.grid(axis="x", color=GRID, linewidth=1, clip_on=False)
        if not math.isnan(finding.overall):
            axes.plot((finding.overall,) * 2, (-0.5, len(groups) - 0.5), color=SOFT, linewidth=1, dashes=(3, 3))
        beyond = highest + 0.05 * (highest - lowest)
        for row, group in enumerate(groups):
            axes.text(beyond, row, f"{group.positives:,}", color=SOFT, verticalalignment="center")
            if not math.isnan(group.auroc.auroc):
                axes.plot((group.auroc.low, group.auroc.high), (row, row), color=FIRST, linewidth=1.5)
                fill = PAPER if group.small else FIRST
                axes.plot(
                    group.auroc.auroc, row, color=FIRST, marker="o", markersize=6, markerfacecolor=fill, clip_on=False
                )
        return embeddable(figure)


def _limits(groups: Sequence[GroupScores]) -> tuple[float, float]:
    """Choose the ends of the axis: multiples of 0.1 around all intervals; 0.5 to 1 if there are none."""
    ends = [end for group in groups for end in (group.auroc.low, group.auroc.high) if not math.isnan(end)]
    if not ends:
        return 0.5, 1.0
    return math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10


def _label(group: GroupScores) -> str:
    return group.name if len(group.name) <= _LONGEST else f"{group.name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
