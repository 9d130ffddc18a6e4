"""Many images and where their findings are, on one picture."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from chexnet import drawing
from chexnet.drawing import MARGIN, PAPER, TEXT
from chexnet.errors import InputError, printable
from chexnet.predictor.network import Prediction

MAX_ROWS = 50
"""Images on a sheet: more make a picture that nothing shows."""

_CAPTION = 22


def contact_sheet(
    predictions: Iterable[Prediction], findings: Sequence[str] = (), top: int = 3, tile: int = 224, notice: str = ""
) -> Image.Image:
    """A row an image: the image alone, then the image under the map of each finding, with its probability.

    Args:
        predictions: of the images, at least one; taken one by one.
        findings: a column each, the same for all images; empty for each image's own most probable ones.
        top: how many of these.
        tile: longest side of an image on the sheet, pixels.
        notice: stands below everything.

    Returns:
        Mode RGB.

    Raises:
        InputError: more than MAX_ROWS images, or none.
    """
    rows: list[Image.Image] = []
    for prediction in predictions:
        if len(rows) == MAX_ROWS:
            raise InputError(f"more than {MAX_ROWS} images, expected at most so many on one sheet")
        rows.append(_row(prediction, findings or prediction.top(top), tile))
        limit = prediction.limit
    if not rows:
        raise InputError("no image that could be read, expected at least one for a sheet")
    width, height = rows[0].width, sum(row.height for row in rows)
    foot = _CAPTION if notice else 0
    sheet = Image.new("RGB", (width + drawing.SCALE_WIDTH + 2 * MARGIN, height + foot + MARGIN), PAPER)
    top_edge = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top_edge))
        top_edge += row.height
    drawing.draw_scale(sheet, width + MARGIN, MARGIN + _CAPTION, tile, limit)
    ImageDraw.Draw(sheet).text((MARGIN, sheet.height - MARGIN), notice, TEXT, drawing.font(13), anchor="ls")
    return sheet


def _row(prediction: Prediction, findings: Sequence[str], tile: int) -> Image.Image:
    size = drawing.panel_size(prediction.gray, tile)
    alone = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)
    panels = [(_shortened(printable(Path(prediction.name).name), tile), alone)]
    for finding in findings:
        caption = f"{finding} {prediction.probability(finding):.3f}"
        panels.append((caption, drawing.blend(prediction.gray, prediction.shown_map(finding, size))))
    row = Image.new("RGB", (len(panels) * (tile + MARGIN), tile + _CAPTION + MARGIN), PAPER)
    draw = ImageDraw.Draw(row)
    for index, (caption, panel) in enumerate(panels):
        left = index * (tile + MARGIN)
        draw.text((left, _CAPTION // 2), caption, TEXT, drawing.font(13), anchor="lm")
        row.paste(panel, (left, _CAPTION))
    return row


def _shortened(name: str, width: int) -> str:
    """The end of a name, as much of it as there is room for."""
    font = drawing.font(13)
    for start in range(len(name)):
        shown = f"...{name[start:]}" if start else name
        if font.getlength(shown) <= width:
            return shown
    return ""
