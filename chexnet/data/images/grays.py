"""The stored samples of a DICOM image -> black to white, DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2."""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.data.images.dicom_samples import HeaderError, number, samples_of, shown

if TYPE_CHECKING:
    from pydicom import Dataset

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def gray_of(raw: np.ndarray, header: "Dataset") -> np.ndarray:
    """Stored pixels -> uint8 [H, W], 0 black to 255 white, as a viewer first shows the image.

    Rescale slope and intercept or the modality LUT come first. The first VOI LUT, else the first window, says what is
    black and what is white; without either, the lowest and the highest sample of the image are. A window without a
    width is none. MONOCHROME1, whose low values are bright, is inverted. Padding is black and counts for nothing.

    Args:
        raw: integers [H, W] of 8 or 16 bits, signed or not, as they are stored.
        header: the header.

    Raises:
        HeaderError: the header contradicts itself or the pixels.
    """
    samples, padding = samples_of(raw, header)
    low, high = int(samples.min()), int(samples.max())
    values = np.arange(low, high + 1)  # a table of all of them is shorter than the image
    row = np.subtract(samples, low, dtype=np.int32)
    present = np.bincount(row.ravel(), minlength=len(values)) > 0
    brightness, said_by = _brightness(values, present, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        brightness = 1 - brightness
    table = np.rint(255 * brightness).astype(np.uint8)
    levels = table[present]
    if said_by and len(levels) > 1 and levels.min() == levels.max():
        raise HeaderError(f"whose pixels, {low} to {high}, all become one gray level by its {said_by}")
    gray = table[row]
    if padding is not None:
        gray[padding] = 0
    return gray


def _brightness(values: np.ndarray, present: np.ndarray, header: "Dataset") -> tuple[np.ndarray, str]:
    """0 to 1 for each stored value, and what in the header says so; `present` are those that the image has."""
    measured = _measured(values, present, header)
    if luts := header.get("VOILUTSequence"):
        entries, bits, shown_values = _through_lut(measured, present, luts[0], header, "VOI LUT")
        return np.clip(shown_values / _white(entries, bits), 0, 1), "VOI LUT"
    if window := _window(header, measured):
        return _through_window(measured, *window), "window of center {:g} and width {:g}".format(*window)
    low, high = measured[present].min(), measured[present].max()
    said_by = "modality LUT or Rescale Slope" if low == high else ""
    return np.clip((measured - low) / max(high - low, np.finfo(float).tiny), 0, 1), said_by


def _measured(values: np.ndarray, present: np.ndarray, header: "Dataset") -> np.ndarray:
    """What the stored values stand for, by the modality LUT or the rescale."""
    if luts := header.get("ModalityLUTSequence"):
        return _through_lut(values, present, luts[0], header, "modality LUT")[2].astype(np.float64)
    slope, intercept = (number(header, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope in (None, 1) and intercept in (None, 0):
        return values.astype(np.float64)
    if slope is None or intercept is None:
        raise HeaderError(f"with Rescale Slope {slope} and Rescale Intercept {intercept}, expected both or neither")
    from pydicom.pixels import apply_modality_lut

    with np.errstate(over="ignore"):
        measured = apply_modality_lut(values, _header(RescaleSlope=slope, RescaleIntercept=intercept))
        if slope == 0 or not np.isfinite(measured[-1] - measured[0]):
            raise HeaderError(f"whose Rescale Slope is {slope:g}")
    return measured


def _window(header: "Dataset", measured: np.ndarray) -> tuple[float, float, str] | None:
    """Center, width and function of the first window, if there is one.

    LINEAR is for whole numbers and has no window narrower than 1. One over smaller steps is meant as LINEAR_EXACT.
    """
    center, width = (number(header, name, several=True) for name in ("WindowCenter", "WindowWidth"))
    if center is None or not width:
        return None
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in _FUNCTIONS:
        raise HeaderError(f"whose VOI LUT Function is {shown(function)}, expected {', '.join(_FUNCTIONS)}")
    if function == "LINEAR" and 0 < abs(measured[-1] - measured[0]) < width * (len(measured) - 1) < len(measured) - 1:
        function = "LINEAR_EXACT"
    if width < (1 if function == "LINEAR" else 0):
        raise HeaderError(f"whose Window Width is {width:g}, expected at least {'1' if function == 'LINEAR' else '0'}")
    return center, width, function


def _through_window(measured: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """The measured values through a window, 0 for black to 1 for white: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    from pydicom.pixels import apply_windowing

    window = _header(WindowCenter=center, WindowWidth=width)
    # To pydicom black and white are the range of the samples: here one bit. By the file's own header, a negative slope
    # would exchange them.
    window.update({"BitsStored": 1, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"})
    window.VOILUTFunction = function
    with np.errstate(over="ignore"):  # far from the center the exponential is infinite, and the sigmoid 0
        return np.clip(apply_windowing(measured, window), 0, 1)


def _header(**numbers: float) -> "Dataset":
    """Make a header of these numbers, for pydicom's functions, which take those of a file unchecked."""
    from pydicom import Dataset

    header = Dataset()
    for name, value in numbers.items():
        header.add_new(name, "FD", value)
    return header


def _through_lut(
    values: np.ndarray, present: np.ndarray, lut: "Dataset", header: "Dataset", name: str
) -> tuple[np.ndarray, int, np.ndarray]:
    """Look values up in a table: its entries, its announced bits, and the values' entries.

    Values between whole numbers are rounded. Beyond the ends of the table the first and the last entry count. Where
    they would for all pixels, the first value mapped was written unsigned for signed values, or the other way round.
    By hand, because pydicom refuses modality LUTs of 12 bits, counts positions in a VOI LUT of 8 bits modulo 256,
    and believes first values of the wrong sign.
    """
    entries, first, bits = _lut(lut, header, name)
    inputs = np.rint(values[present])
    low, high = inputs.min(), inputs.max()
    for start in (first, first - 2**16, first + 2**16):
        if start <= high and low < start + len(entries):
            return entries, bits, entries[np.clip(np.rint(values) - start, 0, len(entries) - 1).astype(np.intp)]
    raise HeaderError(f"whose {name} begins at {first}, and its pixels are {low:g} to {high:g}")


def _lut(lut: "Dataset", header: "Dataset", name: str) -> tuple[np.ndarray, int, int]:
    """Entries, first value mapped and announced bits of a lookup table."""
    try:
        count, first, bits = (int(one) for one in lut.LUTDescriptor)
        data = lut.LUTData
    except (AttributeError, TypeError, ValueError) as error:
        raise HeaderError(f"whose {name} cannot be read: {shown(error)}") from error
    count = count % 2**16 or 2**16
    if isinstance(data, bytes):
        _, little_endian = header.original_encoding
        words = np.frombuffer(data + bytes(len(data) % 2), "<u2" if little_endian else ">u2").astype("<u2")
        entries = words if len(words) >= count else words.view(np.uint8)  # of 8 bits, two may be in a word
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.int64)) % 2**16
    if not count <= len(entries) <= count + 1 or not 1 <= bits <= 16:
        raise HeaderError(
            f"whose {name} announces {count} entries of {bits} bits and has {len(entries)}, "
            "expected as many of 1 to 16 bits"
        )
    return entries[:count], first, bits


def _white(entries: np.ndarray, bits: int) -> int:
    """The value of a VOI LUT that is white: that of the bits that it announces, or that its entries fill.

    Some announce 16 bits, which is how they store the entries, and fill 12; or 8, and fill 12. An announcement holds
    where the highest entry is in the upper half of its range. Else the entries must fill three quarters of the range
    of another number of bits.
    """
    highest = int(entries.max())
    if 2 ** (bits - 1) <= highest <= 17 / 16 * 2**bits:
        return 2**bits - 1
    own = next((own for own in range(8, 17) if 3 / 4 * 2**own <= highest <= 17 / 16 * 2**own), None)
    if own is None or own == bits - 1:  # half as bright may have been meant
        raise HeaderError(f"whose VOI LUT announces entries of {bits} bits, and its highest is {highest}")
    return 2**own - 1
