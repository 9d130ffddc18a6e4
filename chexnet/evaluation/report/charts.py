"""Curves of a report, and their drawings: SVG that Matplotlib makes for a place inside an HTML page."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from chexnet.metrics.calibration import Bin
from chexnet.metrics.proportions import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 218, 206
"""Size of a drawing in the units of its SVG, one per Matplotlib point."""

_LEFT, _TOP, _SIDE = 44, 8, 160
"""Position and side of the square inside the axes, in the same units."""

# Colors in the drawings stand for variables of the page's style sheet, which differ between light and dark.
FIRST, SECOND, SOFT, GRID, PAPER = _COLORS = ("#000001", "#000002", "#000003", "#000004", "#000005")
_VARIABLES = dict(zip(_COLORS, ("--first", "--second", "--soft", "--grid", "--paper"), strict=True))


@dataclass(frozen=True)
class Curve:
    """A line through points, in units of the axes.

    Attributes:
        x: float [K].
        y: float [K].
        low: lower ends of the vertical error bars, float [K]; None for a line without bars and markers.
        high: upper ends, float [K].
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def roc(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return sensitivity over 1 - specificity for labels [N], 0 or 1 and both present, and scores [N]."""
    false_positive, true_positive, _ = roc_curve(labels, scores)
    return Curve(false_positive, true_positive)


def precision_recall(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return precision over recall as steps, because values between two thresholds cannot be reached."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    # scikit-learn ends the curve with a point at recall 0 that belongs to no threshold.
    return Curve(np.repeat(recall[::-1], 2)[1:-1], np.repeat(precision[::-1], 2)[2:])


def reliability(bins: Sequence[Bin]) -> Curve:
    """Return observed frequency over mean probability, with Wilson intervals."""
    low, high = np.array([wilson(group.positives, group.images) for group in bins]).T
    return Curve(np.array([group.mean for group in bins]), np.array([group.observed for group in bins]), low, high)


def reliability_limit(all_bins: Sequence[Sequence[Bin]]) -> float:
    """Choose the end of the axes: rare findings have small probabilities, which 0..1 would squeeze into a corner."""
    largest = max(max(group.mean, group.observed) for bins in all_bins for group in bins)
    return next((limit for limit in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5) if largest <= 0.95 * limit), 1.0)


def draw(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    limit: float = 1.0,
    guide: tuple[float, float] = (0.0, 1.0),
    salt: str = "",
) -> str:
    """Draw curves on square axes.

    Args:
        curves: one or two; the first is solid and on top, the second dashed.
        x_label: label of the horizontal axis.
        y_label: label of the vertical axis.
        limit: end of both axes, which start at 0.
        guide: heights of the thin dashed line at the left and right ends of the axes.
        salt: makes the ids inside the drawing differ from those of other drawings on the page.

    Returns:
        Elements for an `<svg viewBox="0 0 {WIDTH} {HEIGHT}">`; the same bytes for the same arguments.
    """
    with new_figure(WIDTH, HEIGHT, salt) as figure:
        bounds = (_LEFT / WIDTH, 1 - (_TOP + _SIDE) / HEIGHT, _SIDE / WIDTH, _SIDE / HEIGHT)
        axes = figure.add_axes(bounds, frame_on=False, xlim=(0, limit), ylim=(0, limit))
        axes.set_xlabel(x_label, color=SOFT)
        axes.set_ylabel(y_label, color=SOFT)
        ticks = (0, limit / 2, limit)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:.3g}" for tick in ticks], color=SOFT)
        axes.tick_params(length=0)
        axes.grid(color=GRID, linewidth=1, clip_on=False)
        axes.plot((0, limit), guide, color=SOFT, linewidth=1, dashes=(3, 3), clip_on=False)
        styles = ((FIRST, (), FIRST), (SECOND, (4, 2), PAPER))
        for curve, (color, dashes, fill) in list(zip(curves, styles, strict=False))[::-1]:
            _plot(axes, curve, limit, color, dashes, fill)
        return embeddable(figure)


@contextmanager
def new_figure(width: int, height: int, salt: str) -> "Iterator[Figure]":
    """Yield an empty figure of this size in points, drawn independently of the user's settings of Matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the drawing must not depend on the user's matplotlibrc
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": salt, "font.sans-serif": ["DejaVu Sans"]})
        yield Figure(figsize=(width / 72, height / 72), frameon=False)


def embeddable(figure: "Figure") -> str:
    """Return the SVG elements of a figure of `new_figure`, with the colors of the page's style sheet."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _embeddable(svg.getvalue())


def _plot(axes: "Axes", curve: Curve, limit: float, color: str, dashes: tuple[int, ...], fill: str) -> None:
    if curve.low is None or curve.high is None:
        axes.plot(*_thinned(curve, limit), color=color, linewidth=1.5, dashes=dashes, clip_on=False)
    else:
        bars = (curve.y - curve.low, np.minimum(curve.high, limit) - curve.y)
        line, _, _ = axes.errorbar(curve.x, curve.y, bars, color=color, linewidth=1.5, elinewidth=1, clip_on=False)
        line.set(dashes=dashes, marker="o", markersize=5, markerfacecolor=fill)


def _thinned(curve: Curve, limit: float) -> np.ndarray:
    """Round points to half a unit of the drawing and drop repetitions, float [2, K]; keeps a page small."""
    step = limit / (2 * _SIDE)
    points = np.round(np.stack([curve.x, curve.y]) / step)
    return points[:, np.append(True, np.any(np.diff(points) != 0, axis=0))] * step


def _embeddable(svg: str) -> str:
    """Strip what a drawing inside a page does not need: its header, groups that only carry an id, line breaks."""
    body = svg[svg.index("<g ") : svg.rindex("</svg>")]
    body = re.sub(r"\s+", " ", re.sub("</?g[^>]*>", "", body))
    for color, variable in _VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    return body
