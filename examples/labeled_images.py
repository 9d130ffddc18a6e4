"""Images in memory with their classes."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """Images and their classes.

    Attributes:
        pixels: uint8 [N, C, H, W], gray or red, green and blue.
        labels: int64 [N], indices of the classes.
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def sha256(self) -> str:
        """Return the SHA-256 of pixels and labels, in hexadecimal."""
        return hashlib.sha256(self.pixels.tobytes() + self.labels.tobytes()).hexdigest()
