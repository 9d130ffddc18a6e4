"""Curves as SVG that stands in a page: text stays text, and each chart says in words what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from chexnet.metrics.calibration import Bin
from chexnet.metrics.proportions import wilson

_LEFT, _TOP, _SIDE = 44, 8, 160
_WIDTH, _HEIGHT = 218, 206


@dataclass(frozen=True)
class Curve:
    """A line through points.

    Attributes:
        x: float [K], 0..1 of the axis.
        y: likewise.
        style: CSS class, `first` or `second`.
        low: the lower ends of vertical bars on the points, if these are drawn.
        high: likewise.
    """

    x: np.ndarray
    y: np.ndarray
    style: str
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def roc(labels: np.ndarray, scores: np.ndarray, style: str) -> Curve:
    """Sensitivity over 1 - specificity."""
    false_positive, true_positive, _ = roc_curve(labels, scores)
    return Curve(false_positive, true_positive, style)


def precision_recall(labels: np.ndarray, scores: np.ndarray, style: str) -> Curve:
    """Precision over recall, in steps: what lies between two thresholds cannot be had."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    # They end with the point at recall 0, which no threshold has.
    return Curve(np.repeat(recall[::-1], 2)[1:-1], np.repeat(precision[::-1], 2)[2:], style)


def reliability(bins: Sequence[Bin], style: str, limit: float) -> Curve:
    """What was observed over what was said, on axes that end at `limit`, with Wilson's intervals."""
    ends = np.array([wilson(one.positives, one.images) for one in bins]) / limit
    return Curve(
        np.array([one.mean for one in bins]) / limit,
        np.array([one.observed for one in bins]) / limit,
        style,
        ends[:, 0],
        np.minimum(ends[:, 1], 1),
    )


def reliability_limit(all_bins: Sequence[Sequence[Bin]]) -> float:
    """Where the axes end: rare findings have small probabilities, and 0..1 would show a corner."""
    largest = max(max(one.mean, one.observed) for bins in all_bins for one in bins)
    return next((limit for limit in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5) if largest <= 0.95 * limit), 1.0)


def chart(
    words: str,
    axes: tuple[str, str],
    curves: Sequence[Curve],
    limit: float = 1.0,
    guide: tuple[float, float] | None = (0.0, 1.0),
) -> str:
    """One square chart.

    Args:
        words: what it shows, for those who do not see it.
        axes: what stands below and beside it.
        curves: the first is drawn last.
        limit: value at the ends of the axes.
        guide: heights, in 0..1 of the axis, of a thin line from left to right.
    """
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(words, quote=True)}">']
    for share in (0.0, 0.5, 1.0):
        along, up = _LEFT + share * _SIDE, _TOP + (1 - share) * _SIDE
        value = f"{share * limit:.3g}"
        parts.append(f'<path class="grid" d="M{along:g} {_TOP}v{_SIDE}M{_LEFT} {up:g}h{_SIDE}"/>')
        parts.append(f'<text x="{along:g}" y="{_TOP + _SIDE + 14}" text-anchor="middle">{value}</text>')
        parts.append(f'<text x="{_LEFT - 4}" y="{up + 4:g}" text-anchor="end">{value}</text>')
    if guide:
        parts.append(f'<path class="guide" d="{_path(np.array([0, 1]), np.array(guide))}"/>')
    for curve in reversed(curves):
        parts.append(f'<path class="{curve.style}" d="{_path(curve.x, curve.y)}"/>')
        if curve.low is not None and curve.high is not None:
            parts += _points(curve, curve.low, curve.high)
    middle = _LEFT + _SIDE / 2
    parts.append(f'<text x="{middle:g}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(axes[0])}</text>')
    turned = f"translate(10 {_TOP + _SIDE / 2:g}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(axes[1])}</text>')
    return "".join(parts) + "</svg>"


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """A line in half pixels; points that fall on their neighbour's are left out."""
    points = np.stack([2 * (_LEFT + x * _SIDE), 2 * (_TOP + (1 - y) * _SIDE)], axis=1).round()  # [K, 2]
    kept = np.append(True, np.any(np.diff(points, axis=0) != 0, axis=1))
    return "M" + "L".join(f"{a:g} {b:g}" for a, b in (points[kept] / 2).tolist())


def _points(curve: Curve, low: np.ndarray, high: np.ndarray) -> list[str]:
    parts = []
    for x, y, below, above in zip(curve.x, curve.y, low, high, strict=True):
        along, up = _LEFT + x * _SIDE, _TOP + (1 - y) * _SIDE
        bar = f"M{along:.1f} {_TOP + (1 - below) * _SIDE:.1f}V{_TOP + (1 - above) * _SIDE:.1f}"
        parts.append(f'<path class="{curve.style} bar" d="{bar}"/>')
        parts.append(f'<circle class="{curve.style}" cx="{along:.1f}" cy="{up:.1f}" r="2.5"/>')
    return parts
