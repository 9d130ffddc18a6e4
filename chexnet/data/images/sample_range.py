"""Stored samples -> 8-bit gray, and whether an image uses the range that its file declares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chexnet.config import MAX_SAMPLE_BITS, MIN_SAMPLE_BITS
from chexnet.errors import InputError

_WHITE, _HIGHEST, _REMARK = "white sample", "highest sample", "remark"  # keys of Image.info


@dataclass(frozen=True)
class SampleRange:
    """How much of its range an image uses.

    Attributes:
        highest: highest sample in the image.
        white: sample that is read as white.
    """

    highest: int
    white: int

    @property
    def too_low(self) -> bool:
        """Whether the upper half is unused, so that at least one bit of each sample is 0."""
        return 2 * self.highest < self.white

    @property
    def bits(self) -> int:
        """Bits per sample that hold the highest one."""
        return self.highest.bit_length()

    def __str__(self) -> str:
        return f"{self.highest:,} of {self.white:,}"


def to_eight_bits(samples: np.ndarray, white: int, sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """Scale samples so that `white`, or 2**sample_bits - 1 if that is lower, becomes 255.

    Args:
        samples: unsigned integers [H, W] or [H, W, 3], at most `white`.
        white: highest sample that the file can hold.
        sample_bits: bits per sample that are in use, from MIN_SAMPLE_BITS to MAX_SAMPLE_BITS.

    Returns:
        mode L or RGB; `sample_range` knows the samples that it is made of.

    Raises:
        InputError: a sample is above the one that becomes 255.
    """
    highest, used = int(samples.max()), min(white, 2**sample_bits - 1)
    if highest > used:
        raise InputError(
            f"its highest sample is {highest:,}, expected at most {used:,} (sample_bits {sample_bits}); "
            f"--sample_bits {MAX_SAMPLE_BITS} scales by what the file declares"
        )
    table = np.rint(255.0 * np.arange(used + 1) / used).astype(np.uint8)
    image = Image.fromarray(table[samples])
    image.info.update({_WHITE: used, _HIGHEST: highest})
    return image


def note(image: Image.Image, remark: str) -> Image.Image:
    """Add to an image of 8 bits per sample what `sample_range` and `remarks` have to know."""
    image.info.setdefault(_WHITE, 255)
    image.info[_REMARK] = remark
    return image


def sample_range(image: Image.Image) -> SampleRange | None:
    """Return the range of an image from `chexnet.data.images.open_image`; None for DICOM, whose header names it."""
    white = image.info.get(_WHITE)
    if white is None:
        return None
    highest = image.info.get(_HIGHEST)
    if highest is None:
        gray = image if image.mode == "L" else image.convert("RGB").convert("L")
        highest = int(gray.getextrema()[1])  # type: ignore[arg-type]
    return SampleRange(highest, white)


def remarks(image: Image.Image) -> list[str]:
    """Return what is to be said of an image's samples, a sentence each."""
    found = [str(remark)] if (remark := image.info.get(_REMARK)) else []
    samples = sample_range(image)
    if samples and samples.too_low:
        found.append(f"its highest sample is {samples}{_guess(samples)}")
    return found


def range_warning(ranges: Sequence[SampleRange | None]) -> str | None:
    """Return one line about the images whose samples use less than half of their range; None if there are none.

    Args:
        ranges: of the images looked at; None for those that are left out of account.
    """
    low = [one for one in ranges if one is not None and one.too_low]
    if not low:
        return None
    highest = max(low, key=lambda one: (one.white, one.highest))
    return f"the highest sample is {highest} in {len(low)} of {len(ranges)} images looked at{_guess(highest)}"


def _guess(samples: SampleRange) -> str:
    if samples.white <= 2**MIN_SAMPLE_BITS - 1:
        return ": much darker than a radiograph is stored"
    bits = max(samples.bits, MIN_SAMPLE_BITS)
    bits += bits % 2 if bits < MAX_SAMPLE_BITS - 1 else 0  # detectors have 10, 12 or 14
    return f": {bits}-bit data? --sample_bits {bits} scales by it"
