"""The stored samples of a DICOM image -> black to white, DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset


def gray_of(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Stored samples -> uint8 [H, W], 0 black to 255 white, as a viewer first shows the image.

    Rescale slope and intercept or the modality LUT come first. The first VOI LUT, else the first window, says what is
    black and what is white; without either, the lowest and the highest sample of the image are. A window without a
    width is none. MONOCHROME1, whose low values are bright, is inverted. Padding is black and counts for nothing.

    Args:
        stored: integers [H, W], signed or not, of at most 16 bits.
        dataset: the header.
    """
    low, high = int(stored.min()), int(stored.max())
    values = np.arange(low, high + 1)  # a table of all of them is shorter than the image
    padding = _is_padding(values, dataset)
    row = np.subtract(stored, low, dtype=np.int32)
    present = np.bincount(row.ravel(), minlength=len(values)) > 0
    brightness = _brightness(values, present & ~padding, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        brightness = 1 - brightness
    table = np.where(padding, 0, np.rint(255 * brightness)).astype(np.uint8)
    return table[row]


def _brightness(values: np.ndarray, counted: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """0 to 1 for each stored value, rising; `counted` are those whose range is taken where the header gives none."""
    if luts := dataset.get("ModalityLUTSequence"):
        measured = _through_lut(values, luts[0], dataset)
    else:
        measured = values * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
    if luts := dataset.get("VOILUTSequence"):
        highest = 2 ** luts[0].LUTDescriptor[2] - 1
        return np.clip(_through_lut(np.rint(measured).astype(np.int64), luts[0], dataset) / highest, 0, 1)
    if window := _window(dataset):
        return _through_window(measured, *window)
    shown = measured[counted]
    low, high = (shown.min(), shown.max()) if len(shown) else (0, 0)
    return np.clip((measured - low) / max(high - low, 1e-9), 0, 1)


def _window(dataset: "Dataset") -> tuple[float, float, str] | None:
    """Centre, width and function of the first window, if there is one that shows anything."""
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if center is None or width is None or width < (1 if function == "LINEAR" else 1e-9):
        return None
    return center, width, function


def _through_window(measured: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, with 0 and 1 for y_min and y_max."""
    if function == "SIGMOID":
        return (1 + np.tanh(2 * (measured - center) / width)) / 2  # 1 / (1 + exp(-4 ...)), which may overflow
    if function == "LINEAR_EXACT":
        return np.clip((measured - center) / width + 0.5, 0, 1)
    if function == "LINEAR":
        return np.clip((measured - (center - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
    raise ValueError(f"its VOI LUT Function is {function}, expected LINEAR, LINEAR_EXACT or SIGMOID")


def _through_lut(values: np.ndarray, lut: "Dataset", dataset: "Dataset") -> np.ndarray:
    """What a lookup table gives for whole numbers; beyond its ends it goes on with the first and the last entry."""
    count, first, _ = lut.LUTDescriptor
    entries = lut.LUTData
    if isinstance(entries, bytes):
        _, little_endian = dataset.original_encoding
        wide = len(entries) >= 2 * (count or 2**16)  # entries of 8 bits may be packed
        entries = np.frombuffer(entries, f"{'<' if little_endian else '>'}u{2 if wide else 1}")
    entries = np.asarray(entries)[: count or 2**16]
    return entries[np.clip(values - first, 0, len(entries) - 1)]


def _is_padding(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Which stored values stand for no tissue, PS3.3 C.7.5.1.1.2."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(values), dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    return (values >= min(first, last)) & (values <= max(first, last))


def _first(value: object) -> float | None:
    """The first of the numbers in an element that may have one, several or none."""
    if value is None or isinstance(value, (str, bytes)):
        return None
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return float(numbers[0]) if len(numbers) else None
