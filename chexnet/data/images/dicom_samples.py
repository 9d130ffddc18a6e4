"""Extract the samples and padding of a DICOM image from its stored bits (DICOM PS3.5 8.1.1, PS3.3 C.7.5.1.1.2)."""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.errors import printable

if TYPE_CHECKING:
    from pydicom import Dataset


class HeaderError(ValueError):
    """A header that contradicts itself or the pixels. The message is a phrase to append to "a DICOM file"."""


def read_number(header: "Dataset", name: str, multiple: bool = False) -> float | None:
    """Return the number in an element, None if it has none.

    Args:
        header: header of the image.
        name: keyword of the element.
        multiple: whether the element may have several numbers, of which the first is returned.

    Raises:
        HeaderError: the value is not a finite number, or there are several and `multiple` is false.
    """
    try:
        value = header.get(name)
        values = value.split("\\") if isinstance(value, str) else list(np.atleast_1d(value))
        if value is None or not values or values[0] in (None, ""):
            return None
        number = float(values[0])
    except (TypeError, ValueError) as error:
        raise HeaderError(f"whose {name} cannot be read as a number: {to_one_line(error)}") from error
    if not np.isfinite(number):
        raise HeaderError(f"whose {name} is {number}, expected a finite number")
    if len(values) > 1 and not multiple:
        raise HeaderError(f"with {len(values)} values of {name}, expected one")
    return number


def to_one_line(value: object, max_length: int = 100) -> str:
    """Format a value from a file for a message: one printable line of at most `max_length` characters."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def extract_samples(raw: np.ndarray, header: "Dataset") -> tuple[np.ndarray, np.ndarray | None]:
    """Extract the samples, and a mask of the padding.

    A sample has Bits Stored bits, of which High Bit is the highest. The other bits are ignored, except if neighboring
    pixels agree better with them: then the header does not describe these pixels.

    Args:
        raw: stored integers [H, W] of 8 or 16 bits.
        header: header of the image.

    Returns:
        Samples as integers [H, W], in which padding is replaced with some other sample; and a mask, bool [H, W], True
        for padding, or None if the header declares no padding.

    Raises:
        HeaderError: the samples are not in the bits that the header gives, or all of them are padding.
    """
    raw = np.array(raw, dtype=raw.dtype.newbyteorder("="))
    interval = _padding_interval(raw.dtype, header)
    if interval is None:
        return _extract_bits(raw, header), None
    padding = _replace_padding(raw, *interval)
    samples = _extract_bits(raw, header)
    return samples, padding | _replace_padding(samples, *interval)


def _extract_bits(raw: np.ndarray, header: "Dataset") -> np.ndarray:
    """Return the sample in each stored integer, with its sign."""
    stored = int(header.BitsStored)
    high = int(header.get("HighBit", stored - 1))
    below = high + 1 - stored
    unused = _overlay_bits(header) & ~((2**stored - 1) << below)
    width = 8 * raw.itemsize
    bits = (raw.view(f"u{raw.itemsize}") & (2**width - 1 & ~unused)).view(raw.dtype)
    samples = np.right_shift(np.left_shift(bits, width - 1 - high), width - stored)
    if np.array_equal(samples, bits):
        return samples
    if below and (bits & (2**below - 1)).any():
        raise HeaderError(f"with {stored} bits per sample and high bit {high}, but data in the bits below")
    all_bits = np.right_shift(bits, below)
    if _total_variation(all_bits) < _total_variation(samples):
        sign = "signed" if header.PixelRepresentation else "unsigned"
        raise HeaderError(
            f"whose samples are {all_bits.min()} to {all_bits.max()}, expected {sign} samples of {stored} bits"
        )
    return samples


def _overlay_bits(header: "Dataset") -> int:
    """Return a mask of the bits that store overlays: those of overlays without data of their own."""
    bits = 0
    for group in range(0x6000, 0x6020, 2):
        position = header.get((group, 0x0102))
        if position is not None and (group, 0x3000) not in header and str(position.value).isdecimal():
            bits |= 1 << min(int(position.value), 63)
    return bits


def _total_variation(samples: np.ndarray) -> int:
    """Return the sum of absolute differences between neighboring pixels."""
    return sum(int(np.abs(np.diff(samples.astype(np.int32), axis=axis)).sum(dtype=np.int64)) for axis in (0, 1))


def _padding_interval(dtype: np.dtype, header: "Dataset") -> tuple[int, int] | None:
    """Return the lowest and highest padding value in the range of `dtype`, None if the header has none.

    Some programs write the padding of signed samples as unsigned, or the reverse. A value that no sample can have is
    interpreted with the other sign.
    """
    ends = [read_number(header, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    stored = int(header.BitsStored)
    interval = []
    for end in (ends[0], ends[0] if ends[1] is None else ends[1]):
        value = int(end)
        alternatives = [value - 2**16, value + 2**16]
        if dtype.kind == "i" and 2 ** (stored - 1) <= value < 2**stored:
            alternatives.insert(0, value - 2**stored)
            value = alternatives[0] if 8 * dtype.itemsize > stored else value
        candidates = (value, *alternatives)
        interval.append(next((number for number in candidates if lowest <= number <= highest), value))
    return min(interval), max(interval)


def _replace_padding(samples: np.ndarray, low: int, high: int) -> np.ndarray:
    """Replace padding with some other sample, in place, and return the mask of the padding."""
    padding = (samples >= low) & (samples <= high)
    if padding.any():
        others = samples[~padding]
        if not others.size:
            if samples.min() != samples.max():
                raise HeaderError(f"whose pixels are all padding ({low} to {high})")
            return padding
        samples[padding] = others[0]
    return padding
