"""Contact sheet: ground-truth and predicted boxes drawn over the images, one PNG."""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chexnet.evaluation.localization.boxes import BOX_THRESHOLD, Box
from chexnet.evaluation.localization.cases import Sample
from chexnet.files import atomic_write
from chexnet.inference import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUND_TRUTH, PREDICTED, MAP = "#56B4E9", "#E69F00", "#F0E442"
"""Sky blue, orange and yellow of Okabe and Ito's palette, which color-blind people can distinguish. The lines also
differ in style."""

NOT_COVERED = "#999999"

_COLUMNS = 4
_INCHES = 3.0


def write_contact_sheet(path: str | os.PathLike[str], samples: Sequence[Sample]) -> None:
    """Draw the samples: ground-truth boxes or polygons dashed, predicted boxes solid.

    A dotted contour encloses all pixels of at least BOX_THRESHOLD times the map's maximum, a cross marks the maximum,
    and hatching marks pixels that no crop covers.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = math.ceil(len(samples) / _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _INCHES, rows * (_INCHES + 0.3) + 0.4), dpi=120, layout="compressed")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, sample in zip(grid, samples, strict=False):
        _draw(axes, sample)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(axes: "Axes", sample: Sample) -> None:
    from matplotlib.font_manager import FontProperties

    height, width = sample.size
    case = sample.case
    axes.imshow(sample.gray, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    top = np.nanmax(sample.values)
    # The centers of the reduced map's pixels, in pixels of the original image.
    x, y = ((np.arange(n) + 0.5) * full / n for n, full in zip(sample.values.shape[::-1], (width, height), strict=True))
    if top > 0:
        axes.contour(x, y, sample.values, levels=[BOX_THRESHOLD * top], colors=MAP, linewidths=1.0, linestyles="dotted")
    if np.isnan(sample.values).any():
        hatched = axes.contourf(x, y, np.isnan(sample.values), levels=[0.5, 1], colors="none", hatches=["///"])
        hatched.set_edgecolor(NOT_COVERED)
    for polygon in sample.polygons:
        axes.add_patch(_outline(polygon))
    for box in () if sample.polygons else case.ground_truth:
        axes.add_patch(_rectangle(box, color=GROUND_TRUTH, linestyle="dashed"))
    if case.predicted is not None:
        axes.add_patch(_rectangle(case.predicted, color=PREDICTED, linestyle="solid"))
    axes.plot(*case.peak, marker="x", color=PREDICTED, markersize=7, markeredgewidth=1.5)
    finding = fonts.drawable(case.finding)
    title = axes.set_title(f"{finding}  {case.probability:.2f}\nIoU {case.iou:.2f}  IoBB {case.iobb:.2f}", fontsize=9)
    title.set_parse_math(False)
    if file := fonts.font_file(finding):
        title.set_fontproperties(FontProperties(fname=file, size=9))


def _rectangle(box: Box, color: str, linestyle: str) -> Any:
    from matplotlib.patches import Rectangle

    x, y, w, h = box
    return Rectangle((x, y), w, h, fill=False, edgecolor=color, linestyle=linestyle, linewidth=1.8)


def _outline(polygon: np.ndarray) -> Any:
    from matplotlib.patches import Polygon

    return Polygon(polygon, fill=False, edgecolor=GROUND_TRUTH, linestyle="dashed", linewidth=1.8)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=GROUND_TRUTH, linestyle="dashed", linewidth=1.8, label="ground-truth box or polygon"),
        Line2D([], [], color=PREDICTED, linestyle="solid", linewidth=1.8, label="predicted box"),
        Line2D([], [], color=MAP, linestyle="dotted", label=f"{BOX_THRESHOLD:.0%} of the map's maximum"),
        Line2D([], [], color=PREDICTED, linestyle="none", marker="x", label="maximum"),
    ]
