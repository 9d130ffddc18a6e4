"""Convert the stored samples of a DICOM image to gray levels (DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2)."""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.data.images.dicom_samples import HeaderError, extract_samples, read_number, to_one_line

if TYPE_CHECKING:
    from pydicom import Dataset

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def to_gray_levels(raw: np.ndarray, header: "Dataset") -> np.ndarray:
    """Convert stored pixels to the gray levels with which a viewer first displays the image.

    Rescale slope and intercept or the modality LUT are applied first. The first VOI LUT, or else the first window,
    then defines black and white. Without either, the lowest and highest samples of the image do. A window without a
    width is ignored. MONOCHROME1, in which low values are bright, is inverted. Padding becomes black and does not
    affect the scaling.

    Args:
        raw: stored integers [H, W] of 8 or 16 bits, signed or unsigned.
        header: header of the image.

    Returns:
        uint8 [H, W], 0 black to 255 white.

    Raises:
        HeaderError: the header contradicts itself or the pixels.
    """
    samples, padding = extract_samples(raw, header)
    low, high = int(samples.min()), int(samples.max())
    values = np.arange(low, high + 1)  # a lookup table is smaller than the image
    indices = np.subtract(samples, low, dtype=np.int32)
    present = np.bincount(indices.ravel(), minlength=len(values)) > 0
    brightness, source = _brightness(values, present, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        brightness = 1 - brightness
    table = np.rint(255 * brightness).astype(np.uint8)
    levels = table[present]
    if source and len(levels) > 1 and levels.min() == levels.max():
        raise HeaderError(f"whose pixels, {low} to {high}, all become one gray level by its {source}")
    gray = table[indices]
    if padding is not None:
        gray[padding] = 0
    return gray


def _brightness(values: np.ndarray, present: np.ndarray, header: "Dataset") -> tuple[np.ndarray, str]:
    """Return the brightness, 0 to 1, of each stored value, and the header element that determines it.

    Args:
        values: all integers between the lowest and the highest sample.
        present: bool, True for the values that occur in the image.
        header: header of the image.
    """
    rescaled = _apply_modality(values, present, header)
    if luts := header.get("VOILUTSequence"):
        entries, bits, outputs = _apply_lut(rescaled, present, luts[0], header, "VOI LUT")
        return np.clip(outputs / _lut_white(entries, bits), 0, 1), "VOI LUT"
    if window := _read_window(header, rescaled):
        return _apply_window(rescaled, *window), "window of center {:g} and width {:g}".format(*window)
    low, high = rescaled[present].min(), rescaled[present].max()
    source = "modality LUT or Rescale Slope" if low == high else ""
    return np.clip((rescaled - low) / max(high - low, np.finfo(float).tiny), 0, 1), source


def _apply_modality(values: np.ndarray, present: np.ndarray, header: "Dataset") -> np.ndarray:
    """Apply the modality LUT, or the rescale slope and intercept, to stored values."""
    if luts := header.get("ModalityLUTSequence"):
        return _apply_lut(values, present, luts[0], header, "modality LUT")[2].astype(np.float64)
    slope, intercept = (read_number(header, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope in (None, 1) and intercept in (None, 0):
        return values.astype(np.float64)
    if slope is None or intercept is None:
        raise HeaderError(f"with Rescale Slope {slope} and Rescale Intercept {intercept}, expected both or neither")
    from pydicom.pixels import apply_modality_lut

    with np.errstate(over="ignore"):
        rescaled = apply_modality_lut(values, _make_header(RescaleSlope=slope, RescaleIntercept=intercept))
        if slope == 0 or not np.isfinite(rescaled[-1] - rescaled[0]):
            raise HeaderError(f"whose Rescale Slope is {slope:g}")
    return rescaled


def _read_window(header: "Dataset", rescaled: np.ndarray) -> tuple[float, float, str] | None:
    """Return center, width and function of the first window, None if there is none.

    LINEAR is defined for integers and widths of at least 1. For a narrower window over values that are less than 1
    apart, LINEAR is interpreted as LINEAR_EXACT.
    """
    center, width = (read_number(header, name, multiple=True) for name in ("WindowCenter", "WindowWidth"))
    if center is None or not width:
        return None
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in _FUNCTIONS:
        raise HeaderError(f"whose VOI LUT Function is {to_one_line(function)}, expected {', '.join(_FUNCTIONS)}")
    if function == "LINEAR" and 0 < abs(rescaled[-1] - rescaled[0]) < width * (len(rescaled) - 1) < len(rescaled) - 1:
        function = "LINEAR_EXACT"
    if width < (1 if function == "LINEAR" else 0):
        raise HeaderError(f"whose Window Width is {width:g}, expected at least {'1' if function == 'LINEAR' else '0'}")
    return center, width, function


def _apply_window(rescaled: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Map rescaled values through a window to 0 (black) to 1 (white); PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    from pydicom.pixels import apply_windowing

    window = _make_header(WindowCenter=center, WindowWidth=width)
    # pydicom maps to the range of the samples, here one bit. With the file's own header, a negative slope would
    # exchange black and white.
    window.update({"BitsStored": 1, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"})
    window.VOILUTFunction = function
    with np.errstate(over="ignore"):  # far from the center, the exponential is infinite and the sigmoid 0
        return np.clip(apply_windowing(rescaled, window), 0, 1)


def _make_header(**numbers: float) -> "Dataset":
    """Make a header with these numbers for pydicom's functions, which do not validate those of a file."""
    from pydicom import Dataset

    header = Dataset()
    for name, value in numbers.items():
        header.add_new(name, "FD", value)
    return header


def _apply_lut(
    values: np.ndarray, present: np.ndarray, lut: "Dataset", header: "Dataset", name: str
) -> tuple[np.ndarray, int, np.ndarray]:
    """Look values up in a table and return its entries, its declared bits and the output for each value.

    Values are rounded to integers. Values beyond either end of the table take its first or last entry. If all pixels
    are beyond its ends, its first value was written with the wrong sign and is corrected.

    pydicom's own function does not apply here: it refuses modality LUTs of 12 bits, computes indices into a VOI LUT
    of 8 bits modulo 256, and does not correct first values of the wrong sign.
    """
    entries, first, bits = _read_lut(lut, header, name)
    inputs = np.rint(values[present])
    low, high = inputs.min(), inputs.max()
    for start in (first, first - 2**16, first + 2**16):
        if start <= high and low < start + len(entries):
            return entries, bits, entries[np.clip(np.rint(values) - start, 0, len(entries) - 1).astype(np.intp)]
    raise HeaderError(f"whose {name} begins at {first}, but its pixels are {low:g} to {high:g}")


def _read_lut(lut: "Dataset", header: "Dataset", name: str) -> tuple[np.ndarray, int, int]:
    """Return the entries, the first mapped value and the declared bits of a lookup table."""
    try:
        count, first, bits = (int(number) for number in lut.LUTDescriptor)
        data = lut.LUTData
    except (AttributeError, TypeError, ValueError) as error:
        raise HeaderError(f"whose {name} cannot be read: {to_one_line(error)}") from error
    count = count % 2**16 or 2**16
    if isinstance(data, bytes):
        _, little_endian = header.original_encoding
        words = np.frombuffer(data + bytes(len(data) % 2), "<u2" if little_endian else ">u2").astype("<u2")
        entries = words if len(words) >= count else words.view(np.uint8)  # a word may contain two 8-bit entries
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.int64)) % 2**16
    if not count <= len(entries) <= count + 1 or not 1 <= bits <= 16:
        raise HeaderError(
            f"whose {name} declares {count} entries of {bits} bits and has {len(entries)}, "
            "expected equal counts and 1 to 16 bits"
        )
    return entries[:count], first, bits


def _lut_white(entries: np.ndarray, bits: int) -> int:
    """Return the entry of a VOI LUT that means white: the maximum of its declared bits, or of the bits that it uses.

    Some files declare 16 bits, the size of a stored entry, but use 12; others declare 8 and use 12. The declared bits
    are accepted if the highest entry is in the upper half of their range. Otherwise the entries must use at least
    three quarters of the range of another number of bits.
    """
    highest = int(entries.max())
    if 2 ** (bits - 1) <= highest <= 17 / 16 * 2**bits:
        return 2**bits - 1
    used = next((used for used in range(8, 17) if 3 / 4 * 2**used <= highest <= 17 / 16 * 2**used), None)
    if used is None or used == bits - 1:  # the image may be half as bright on purpose
        raise HeaderError(f"whose VOI LUT declares entries of {bits} bits, but its highest is {highest}")
    return 2**used - 1
