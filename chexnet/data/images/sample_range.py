"""Scale stored samples to 8-bit gray, and check whether an image uses the range that its file declares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chexnet.config import MAX_SAMPLE_BITS, MIN_SAMPLE_BITS
from chexnet.errors import InputError

_WHITE, _HIGHEST, _WARNING = "white sample", "highest sample", "warning"  # keys of Image.info


@dataclass(frozen=True)
class SampleRange:
    """The part of the sample range that an image uses.

    Attributes:
        highest: highest sample in the image.
        white: sample value that means white.
    """

    highest: int
    white: int

    @property
    def too_low(self) -> bool:
        """True if no sample is in the upper half of the range, so that at least one bit is unused."""
        return 2 * self.highest < self.white

    @property
    def bits(self) -> int:
        """Number of bits that the highest sample needs."""
        return self.highest.bit_length()

    def __str__(self) -> str:
        return f"{self.highest:,} of {self.white:,}"


def to_eight_bits(samples: np.ndarray, white: int, sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """Scale samples so that `white`, or 2**sample_bits - 1 if that is lower, becomes 255.

    Args:
        samples: unsigned integers [H, W] or [H, W, 3], at most `white`.
        white: highest sample that the file can store.
        sample_bits: bits per sample in use, from MIN_SAMPLE_BITS to MAX_SAMPLE_BITS.

    Returns:
        Image of mode L or RGB; `sample_range` returns the range of its original samples.

    Raises:
        InputError: a sample is above the value that becomes 255.
    """
    highest, used = int(samples.max()), min(white, 2**sample_bits - 1)
    if highest > used:
        raise InputError(
            f"its highest sample is {highest:,}, expected at most {used:,} (sample_bits {sample_bits}); "
            f"use --sample_bits {MAX_SAMPLE_BITS} to scale by the range that the file declares"
        )
    table = np.rint(255.0 * np.arange(used + 1) / used).astype(np.uint8)
    image = Image.fromarray(table[samples])
    image.info.update({_WHITE: used, _HIGHEST: highest})
    return image


def add_sample_info(image: Image.Image, warning: str = "") -> Image.Image:
    """Add the metadata that `sample_range` and `sample_warnings` read to an image of 8 bits per sample."""
    image.info.setdefault(_WHITE, 255)
    image.info[_WARNING] = warning
    return image


def sample_range(image: Image.Image) -> SampleRange | None:
    """Return the range of an image from `chexnet.data.images.open_image`; None for DICOM, whose header defines it."""
    white = image.info.get(_WHITE)
    if white is None:
        return None
    highest = image.info.get(_HIGHEST)
    if highest is None:
        gray = image if image.mode == "L" else image.convert("RGB").convert("L")
        highest = int(gray.getextrema()[1])  # type: ignore[arg-type]
    return SampleRange(highest, white)


def sample_warnings(image: Image.Image) -> list[str]:
    """Return warnings about the samples of an image from `chexnet.data.images.open_image`, one line each."""
    warnings = [str(warning)] if (warning := image.info.get(_WARNING)) else []
    samples = sample_range(image)
    if samples and samples.too_low:
        warnings.append(f"its highest sample is {samples}{_advice(samples)}")
    return warnings


def range_warning(ranges: Sequence[SampleRange | None]) -> str | None:
    """Return one line about the images that use less than half of their sample range; None if there are none.

    Args:
        ranges: ranges of the images that were checked; None for an image whose range is not checked.
    """
    low = [samples for samples in ranges if samples is not None and samples.too_low]
    if not low:
        return None
    highest = max(low, key=lambda samples: (samples.white, samples.highest))
    return f"the highest sample is {highest} in {len(low)} of {len(ranges)} images checked{_advice(highest)}"


def _advice(samples: SampleRange) -> str:
    if samples.white <= 2**MIN_SAMPLE_BITS - 1:
        return ": much darker than usual for a radiograph"
    bits = max(samples.bits, MIN_SAMPLE_BITS)
    bits += bits % 2 if bits < MAX_SAMPLE_BITS - 1 else 0  # detectors have 10, 12 or 14
    return f": if this is {bits}-bit data, use --sample_bits {bits}"
