"""A look at a few images of a list, before many are computed on."""

import os
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from chexnet.data import images
from chexnet.data.images.sample_range import SampleRange, range_warning
from chexnet.errors import InputError
from chexnet.prefetch import prefetch_map

LOOKED_AT = 40
"""Images: half a second of decoding, and enough to tell a rule from an exception."""


def spread(count: int) -> list[int]:
    """Places of at most LOOKED_AT images, evenly spread over a list of `count`."""
    return np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int).tolist()


def survey(paths: Sequence[str | os.PathLike[str]], sample_bits: int, workers: int = 0) -> str | None:
    """Decode images spread over a list and say whether their samples use less than half of their range.

    Args:
        paths: image files. Those that cannot be read are left out: whoever needs them will say it.
        sample_bits: see `chexnet.data.images.read`.
        workers: decoding threads, 0 for none.

    Returns:
        One line with the highest sample, counts and what may be done; None if nothing is doubtful.
    """

    def look(path: str | os.PathLike[str]) -> tuple[SampleRange | None] | None:
        try:
            return (images.sample_range(images.open_image(path, sample_bits)),)
        except InputError:
            return None

    chosen = [paths[place] for place in spread(len(paths))]
    with closing(prefetch_map(look, chosen, workers, LOOKED_AT)) as found:
        return range_warning([one[0] for one in found if one is not None])
