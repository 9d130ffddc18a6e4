"""How large a radiograph may be, asked before anything is decoded."""

MAX_PIXELS = 50_000_000
"""Twice the largest digital chest radiographs, some 5000 x 5000. A file of a few kilobytes can announce a
thousand times as many (a decompression bomb)."""

MIN_SIDE = 16
"""Pixels. Nothing can be seen in less: it is a placeholder, or a file gone wrong."""

MAX_RATIO = 10
"""Longer to shorter side, three times that of a whole spine. Resizing the shorter side makes a narrow strip of
few pixels huge."""


def size_fault(width: int, height: int) -> str | None:
    """What is wrong with an image of so many pixels, None if nothing is."""
    if width * height > MAX_PIXELS:
        return f"{width} x {height} pixels, expected at most {MAX_PIXELS:,} in all"
    if min(width, height) < MIN_SIDE:
        return f"{width} x {height} pixels, expected at least {MIN_SIDE} x {MIN_SIDE}"
    if max(width, height) > MAX_RATIO * min(width, height):
        return f"{width} x {height} pixels, expected one side at most {MAX_RATIO} times the other"
    return None


def bytes_fault(size: int, pixels: int) -> str | None:
    """What is wrong with a file of so many bytes for so many pixels, None if nothing is.

    Some formats can say the same again and again, and cost time without giving pixels.
    """
    most = 2**25 + 32 * pixels
    return f"{size:,} bytes for {pixels:,} pixels, expected at most {most:,}" if size > most else None
