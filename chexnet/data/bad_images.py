"""Images that cannot be used, found before a run that leaves them out begins."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chexnet.data import images
from chexnet.data.cache import ImageCache
from chexnet.data.lists import find_images, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.prefetch import prefetch_map

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""

MAX_SKIPPED = 1
"""Percent of a list that may be left out. A disk spoils single files; more are a wrong folder or a download that
stopped, and what comes of the rest is not comparable any more."""

IMAGES_AHEAD = 64
"""Images that threads may have looked at before they are asked for; what is kept of each is a few words."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that is left out.

    Attributes:
        image: its name in the list.
        line: its line there, counted from 1.
        reason: why it cannot be used.
    """

    image: str
    line: int
    reason: str


def find_bad_images(
    data_dir: str | os.PathLike[str],
    list_file: str | os.PathLike[str],
    preprocessing: Preprocessing | None = None,
    n_classes: int = N_CLASSES,
    image_cache: str | os.PathLike[str] | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> tuple[SkippedImage, ...]:
    """Decodes every image of a list once, and says which are missing or do not decode.

    With a cache nothing is decoded: it holds images that have been, and those that it lacks are the unusable
    ones.

    Args:
        data_dir: as for `ChestXrayDataSet`, which takes the result.
        list_file: likewise.
        preprocessing: likewise.
        n_classes: likewise.
        image_cache: likewise.
        workers: decoding threads, 0 for none.
        progress: is told how far it is.

    Raises:
        InputError: the list is malformed, the cache cannot be read, or more than MAX_SKIPPED percent of the list
            are unusable: how many, and the first ten with their lines.
    """
    image_list = read_list(list_file, n_classes)
    look: Callable[[str], str | None]
    if image_cache is None:
        places = find_images(image_list.names, data_dir, image_list.path)
        by_name = dict(zip(image_list.names, places, strict=True))
        look = partial(_check_file, Path(data_dir), by_name, (preprocessing or Preprocessing()).sample_bits)
    else:
        look = partial(_look_in_cache, ImageCache(image_cache, preprocessing or Preprocessing()))
        workers = 0
    found = []
    with closing(prefetch_map(look, image_list.names, workers, IMAGES_AHEAD)) as reasons:
        for line, (name, reason) in enumerate(zip(image_list.names, reasons, strict=True), start=1):
            if reason is not None:
                found.append(SkippedImage(name, line, reason))
            if progress is not None:
                progress(line, len(image_list))
    if 100 * len(found) > MAX_SKIPPED * len(image_list):
        shown = ", ".join(f"{one.image} (line {one.line})" for one in found[:10]) + ", ..." * (len(found) > 10)
        raise InputError(
            f"{image_list.path}: {len(found)} of {len(image_list)} images cannot be used, --on_bad_image skip leaves "
            f"out {MAX_SKIPPED} % at most: {shown}; the first: {found[0].reason}"
        )
    return tuple(found)


def format_skipped(skipped: Sequence[SkippedImage], list_file: str | os.PathLike[str]) -> str:
    """How many images of a list were left out, and a line for each; at least one is expected."""
    lines = [f"left out of {list_file}: {len(skipped)} image{'s' * (len(skipped) > 1)} (--on_bad_image skip)"]
    return "\n".join(lines + [f"  {one.image} (line {one.line}): {one.reason}" for one in skipped])


def _check_file(data_dir: Path, places: Mapping[str, Path | None], sample_bits: int, name: str) -> str | None:
    """Why an image file cannot be used; None if it can."""
    path = places[name] or data_dir / name
    try:
        images.open_gray(path, sample_bits)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _look_in_cache(cache: ImageCache, name: str) -> str | None:
    return None if name in cache else f"not in the cache {cache.folder}"
