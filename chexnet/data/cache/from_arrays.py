"""An image cache of images that are stored as arrays, not as files."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.data.cache.building import Appender, open_or_create
from chexnet.data.cache.manifest import file_stamp
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import exclusive_lock


def cache_arrays(
    folder: str | os.PathLike[str],
    images: Iterable[tuple[str, np.ndarray]],
    source: str | os.PathLike[str],
    preprocessing: Preprocessing,
    progress: ProgressFn | None = None,
    total: int = 0,
) -> int:
    """Write gray images to a new cache.

    Args:
        folder: folder of the cache, created if missing. It must not contain a cache with images.
        images: name and pixels, uint8 [H, W], of each image.
        source: file that the images come from; its size and time are recorded for each of them.
        preprocessing: sizes of the images.
        progress: called with the number of images done and `total`.
        total: number of images.

    Returns:
        The number of images.

    Raises:
        InputError: `folder` cannot be written, is being written by another process, or has a cache.
    """
    folder = Path(folder)
    stamp = file_stamp(source) or (0, 0)
    with exclusive_lock(folder):
        manifest = open_or_create(folder, preprocessing)
        if len(manifest):
            raise InputError(f"{folder}: already has a cache of {len(manifest):,} images, expected a new folder")
        appender = Appender(folder, manifest)
        done = 0
        for done, (name, pixels) in enumerate(images, start=1):
            appender.add(name, stamp, preprocessing.resize_image(pixels))
            if progress is not None:
                progress(done, total)
        appender.flush()
    return done
