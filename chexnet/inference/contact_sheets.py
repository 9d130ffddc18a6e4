"""Draw contact sheets: images and the heat maps of their findings in one picture."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from chexnet.errors import InputError, printable
from chexnet.inference import overlays
from chexnet.inference.fonts import face
from chexnet.inference.overlays import BACKGROUND, MARGIN, TEXT
from chexnet.inference.prediction import MEANINGLESS, Prediction
from chexnet.inference.thresholds import Thresholds

MAX_ROWS = 50
"""Maximum number of images on a sheet: image viewers cannot show larger pictures."""

_CAPTION = 22
_SHAPE = 1.6
"""Approximate ratio of columns to rows on the sheet of one image: 5 by 3 for 14 findings."""


def contact_sheet(
    predictions: Iterable[Prediction], findings: Sequence[str] = (), top: int = 3, tile: int = 224, disclaimer: str = ""
) -> Image.Image:
    """Draw one row per image: the image alone, then with the heat map of each finding and its probability.

    Args:
        predictions: results of at least one image, taken lazily.
        findings: one column per finding, the same for all images; empty for the most probable findings of each image.
        top: number of the most probable findings.
        tile: longest side of an image on the sheet, pixels.
        disclaimer: line at the bottom.

    Returns:
        Mode RGB.

    Raises:
        InputError: more than MAX_ROWS images, or none.
    """
    rows: list[Image.Image] = []
    for prediction in predictions:
        check_rows(len(rows) + 1)
        rows.append(_row(prediction, findings or prediction.top_k(top), tile))
        cam_max = prediction.cam_max
    check_rows(len(rows))
    width, height = rows[0].width, sum(row.height for row in rows)
    foot = _CAPTION if disclaimer else 0
    sheet = Image.new("RGB", (width + overlays.SCALE_WIDTH + 2 * MARGIN, height + foot + MARGIN), BACKGROUND)
    top_edge = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top_edge))
        top_edge += row.height
    overlays.draw_scale(sheet, width + MARGIN, MARGIN + _CAPTION, tile, cam_max)
    _write(sheet, sheet.height - MARGIN - _CAPTION // 2, disclaimer)
    return sheet


def check_rows(count: int) -> None:
    """Raise InputError unless a sheet can have this number of rows."""
    if count > MAX_ROWS:
        raise InputError(f"more than {MAX_ROWS} images, the maximum for one sheet")
    if count == 0:
        raise InputError("no readable image, expected at least one for a sheet")


def finding_sheet(
    prediction: Prediction, thresholds: Thresholds | None = None, tile: int = 224, disclaimer: str = ""
) -> Image.Image:
    """Draw one image: alone, then with the heat map of each class.

    Args:
        prediction: result of the image.
        thresholds: operating points; present findings get a frame.
        tile: longest side of the image on the sheet, pixels.
        disclaimer: line at the bottom.

    Returns:
        Mode RGB.
    """
    present = prediction.present(thresholds) if thresholds and prediction.meaningful else []
    names = ("", *prediction.classes)
    tiles = [_tile(prediction, name, tile, "  present" * (name in present)) for name in names]
    columns = math.ceil(math.sqrt(_SHAPE * len(tiles)))
    side = tile + MARGIN
    height = math.ceil(len(tiles) / columns) * (side + _CAPTION)
    texts = list(prediction.warnings)
    if thresholds and prediction.meaningful:
        texts.append(
            f"{len(present)} of {len(prediction.classes)} findings are at or above their threshold"
            if present
            else "no finding is at or above its threshold"
        )
    head = MARGIN + _CAPTION * len(texts)
    sheet = Image.new(
        "RGB", (columns * side + overlays.SCALE_WIDTH + 2 * MARGIN, head + height + _CAPTION + MARGIN), BACKGROUND
    )
    for index, text in enumerate(texts):
        _write(sheet, MARGIN + index * _CAPTION + _CAPTION // 2, text)
    for index, (name, picture) in enumerate(zip(names, tiles, strict=True)):
        left, top = MARGIN + index % columns * side, head + index // columns * (side + _CAPTION)
        sheet.paste(picture, (left, top))
        if name in present:
            box = (left - 3, top + _CAPTION - 3, left + tile + 2, top + _CAPTION + tile + 2)
            ImageDraw.Draw(sheet).rectangle(box, outline=overlays.COLOR, width=3)
    overlays.draw_scale(sheet, columns * side + MARGIN, head + _CAPTION, tile, prediction.cam_max)
    _write(sheet, sheet.height - MARGIN - _CAPTION // 2, disclaimer)
    return sheet


def _row(prediction: Prediction, findings: Sequence[str], tile: int) -> Image.Image:
    row = Image.new("RGB", ((1 + len(findings)) * (tile + MARGIN), tile + _CAPTION + MARGIN), BACKGROUND)
    for index, finding in enumerate(("", *findings)):
        row.paste(_tile(prediction, finding, tile), (index * (tile + MARGIN), 0))
    return row


def _tile(prediction: Prediction, finding: str, tile: int, suffix: str = "") -> Image.Image:
    """Draw an image with the heat map of a finding and a caption; for an empty finding, the image with its name."""
    size = overlays.panel_size(prediction.gray, tile)
    if finding:
        caption = overlays.fitted(f"{finding} {prediction.probability(finding):.3f}{suffix}", 13, tile)
        panel = overlays.overlay(prediction.gray, prediction.heatmap(finding, size))
        if not prediction.meaningful:
            panel = _stamped(panel, MEANINGLESS)
    else:
        caption = overlays.fitted(printable(Path(prediction.name).name), 13, tile, end=True)
        panel = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (tile, tile + _CAPTION), BACKGROUND)
    ImageDraw.Draw(picture).text((0, _CAPTION // 2), caption, TEXT, face(caption, 13), anchor="lm")
    picture.paste(panel, (0, _CAPTION))
    return picture


def _stamped(panel: Image.Image, word: str) -> Image.Image:
    """Return a copy of a panel with a word across its upper edge."""
    picture = panel.copy()
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, panel.width, _CAPTION - 1), fill=BACKGROUND)
    draw.text((4, _CAPTION // 2), word, overlays.COLOR, face(word, 13), anchor="lm")
    return picture


def _write(sheet: Image.Image, middle: int, text: str) -> None:
    """Write a line of text, centered vertically at `middle`."""
    line = overlays.fitted(text, 13, sheet.width - 2 * MARGIN)
    ImageDraw.Draw(sheet).text((MARGIN, middle), line, TEXT, face(line, 13), anchor="lm")
