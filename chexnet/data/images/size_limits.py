"""Limits on the size of an image, checked before it is decoded."""

MAX_PIXELS = 50_000_000
"""Twice the pixels of the largest digital chest radiographs, about 5000 x 5000. A file of a few kilobytes can declare
a thousand times as many (a decompression bomb)."""

MIN_SIDE = 16
"""Minimum side in pixels. A smaller image is a placeholder or the result of an error."""

MAX_RATIO = 10
"""Maximum ratio of the longer to the shorter side, three times that of a radiograph of the whole spine. Resizing the
shorter side of a narrow strip would produce a huge image."""


def size_fault(width: int, height: int) -> str | None:
    """Describe why an image of this size in pixels is refused; None if it is accepted."""
    if width * height > MAX_PIXELS:
        return f"{width} x {height} pixels, expected at most {MAX_PIXELS:,} in total"
    if min(width, height) < MIN_SIDE:
        return f"{width} x {height} pixels, expected at least {MIN_SIDE} x {MIN_SIDE}"
    if max(width, height) > MAX_RATIO * min(width, height):
        return f"{width} x {height} pixels, expected one side at most {MAX_RATIO} times the other"
    return None


def bytes_fault(size: int, pixels: int) -> str | None:
    """Describe why a file of `size` bytes is too large for `pixels` pixels; None if it is accepted.

    Some formats allow redundant data, which takes time to decode and yields no pixels.
    """
    limit = 2**25 + 32 * pixels
    return f"{size:,} bytes for {pixels:,} pixels, expected at most {limit:,}" if size > limit else None
