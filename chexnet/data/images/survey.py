"""Check the sample range of a few images before a long run."""

import os
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from chexnet.data import images
from chexnet.data.images.sample_range import SampleRange, range_warning
from chexnet.errors import InputError
from chexnet.prefetch import prefetch_map

SURVEY_SIZE = 40
"""Number of images to check: half a second of decoding, and enough to tell a systematic problem from an outlier."""


def survey_indices(count: int) -> list[int]:
    """Return at most SURVEY_SIZE indices, evenly spaced over a list of `count` images."""
    return np.linspace(0, count - 1, min(count, SURVEY_SIZE)).astype(int).tolist()


def survey(paths: Sequence[str | os.PathLike[str]], sample_bits: int, workers: int = 0) -> str | None:
    """Decode images spread evenly over a list and check whether they use less than half of their sample range.

    Args:
        paths: image files. Unreadable ones are ignored; the run reports them when it needs them.
        sample_bits: see `chexnet.data.images.read`.
        workers: decoding threads, 0 for none.

    Returns:
        A line with the highest sample, the number of images and advice; None if nothing is suspicious.
    """

    def read_range(path: str | os.PathLike[str]) -> tuple[SampleRange | None] | None:
        try:
            return (images.sample_range(images.open_image(path, sample_bits)),)
        except InputError:
            return None

    chosen = [paths[index] for index in survey_indices(len(paths))]
    with closing(prefetch_map(read_range, chosen, workers, SURVEY_SIZE)) as results:
        return range_warning([result[0] for result in results if result is not None])
