"""The stored bits of a DICOM image -> its samples and its padding, DICOM PS3.5 8.1.1 and PS3.3 C.7.5.1.1.2."""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.errors import printable

if TYPE_CHECKING:
    from pydicom import Dataset


class HeaderError(ValueError):
    """A header that contradicts itself or the pixels; the message goes on after 'a DICOM file'."""


def number(header: "Dataset", name: str, several: bool = False) -> float | None:
    """The number in an element, None if it has none.

    Args:
        header: the header.
        name: keyword of the element.
        several: whether it may hold several numbers, of which the first is taken.

    Raises:
        HeaderError: it holds something else than a finite number, or several where one is expected.
    """
    try:
        value = header.get(name)
        values = value.split("\\") if isinstance(value, str) else list(np.atleast_1d(value))
        if value is None or not values or values[0] in (None, ""):
            return None
        found = float(values[0])
    except (TypeError, ValueError) as error:
        raise HeaderError(f"whose {name} cannot be read as a number: {shown(error)}") from error
    if not np.isfinite(found):
        raise HeaderError(f"whose {name} is {found}, expected a finite number")
    if len(values) > 1 and not several:
        raise HeaderError(f"with {len(values)} values of {name}, expected one")
    return found


def shown(value: object, most: int = 100) -> str:
    """Something that a file says, for a message: in one line, printable and of `most` characters."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= most else text[: most - 3] + "..."


def samples_of(raw: np.ndarray, header: "Dataset") -> tuple[np.ndarray, np.ndarray | None]:
    """Samples, and which of them are padding.

    Bits Stored bits up to High Bit are a sample. Bits beside it mean nothing, unless neighbors agree better when
    they are counted in: then the header is not of these pixels.

    Args:
        raw: integers [H, W] of 8 or 16 bits, as they are stored.
        header: the header.

    Returns:
        Integers [H, W], where padding has the value of some other sample; and bool [H, W], True for padding, or None
        if the header names none.

    Raises:
        HeaderError: the samples are not in the bits that the header gives them, or all of them are padding.
    """
    raw = np.array(raw, dtype=raw.dtype.newbyteorder("="))
    interval = _padding_interval(raw.dtype, header)
    if interval is None:
        return _bits(raw, header), None
    padding = _fill(raw, *interval)
    samples = _bits(raw, header)
    return samples, padding | _fill(samples, *interval)


def _bits(raw: np.ndarray, header: "Dataset") -> np.ndarray:
    """The bits of each sample, with its sign."""
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
        raise HeaderError(f"of {stored} bits a sample up to bit {high}, and something is in the bits below these")
    whole = np.right_shift(bits, below)
    if _roughness(whole) < _roughness(samples):
        raise HeaderError(f"whose samples are {whole.min()} to {whole.max()}, expected some of {_kind(header)}")
    return samples


def _kind(header: "Dataset") -> str:
    return f"{header.BitsStored} bits, {'signed' if header.PixelRepresentation else 'unsigned'}"


def _overlay_bits(header: "Dataset") -> int:
    """The bits where the header says that overlays are: those without data of their own."""
    bits = 0
    for group in range(0x6000, 0x6020, 2):
        position = header.get((group, 0x0102))
        if position is not None and (group, 0x3000) not in header and str(position.value).isdecimal():
            bits |= 1 << min(int(position.value), 63)
    return bits


def _roughness(samples: np.ndarray) -> int:
    """How much neighbors differ, in all."""
    return sum(int(np.abs(np.diff(samples.astype(np.int32), axis=axis)).sum(dtype=np.int64)) for axis in (0, 1))


def _padding_interval(kind: np.dtype, header: "Dataset") -> tuple[int, int] | None:
    """Lowest and highest value of padding, as samples of this kind have them.

    Some write them unsigned for signed samples, or the other way round: what no sample can be is read so.
    """
    ends = [number(header, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    stored = int(header.BitsStored)
    found = []
    for end in (ends[0], ends[0] if ends[1] is None else ends[1]):
        value = int(end)
        others = [value - 2**16, value + 2**16]
        if kind.kind == "i" and 2 ** (stored - 1) <= value < 2**stored:
            others.insert(0, value - 2**stored)
            value = others[0] if 8 * kind.itemsize > stored else value
        found.append(next((one for one in (value, *others) if least <= one <= most), value))
    return min(found), max(found)


def _fill(samples: np.ndarray, low: int, high: int) -> np.ndarray:
    """Finds what is padding, and puts some other sample there."""
    padding = (samples >= low) & (samples <= high)
    if padding.any():
        others = samples[~padding]
        if not others.size:
            if samples.min() != samples.max():
                raise HeaderError(f"whose pixels are all padding ({low} to {high})")
            return padding
        samples[padding] = others[0]
    return padding
