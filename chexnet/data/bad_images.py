"""Find missing and corrupt images before a run, so that it can leave them out."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chexnet import distributed
from chexnet._types import ProgressFn
from chexnet.data import images
from chexnet.data.cache import ImageCache
from chexnet.data.lists import find_images, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.prefetch import prefetch_map

MAX_SKIPPED = 1
"""Maximum percentage of a list that may be left out. More than single corrupt files means a wrong folder or an
incomplete download, and results on the remaining images would not be comparable."""

PREFETCH_IMAGES = 64
"""Images that threads may check ahead. The result for each is a short text, so this takes little memory."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that is left out.

    Attributes:
        image: name in the list.
        line: line number in the list, from 1.
        reason: cause, for example a decoding error.
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
    progress: ProgressFn | None = None,
) -> tuple[SkippedImage, ...]:
    """Decode every image of a list once and return those that are missing or do not decode.

    With a cache nothing is decoded: the images that are not in the cache are returned. Several processes share the
    work, and all return the same.

    Args:
        data_dir: folder of the images, as for `ChestXrayDataSet`.
        list_file: list of the images.
        preprocessing: image sizes and bits per sample; None for the defaults.
        n_classes: labels per line of the list.
        image_cache: folder of an image cache, if there is one.
        workers: decoding threads, 0 for none.
        progress: callback for the number of images checked.

    Returns:
        The unusable images in the order of the list, for the argument `skipped` of `ChestXrayDataSet`.

    Raises:
        InputError: the list is malformed, the cache cannot be read, or more than MAX_SKIPPED percent of the images
            are unusable. The message lists the first ten with their lines.
    """
    image_list = read_list(list_file, n_classes)
    check: Callable[[str], str | None]
    if image_cache is None:
        files = find_images(image_list.names, data_dir, image_list.path)
        file_by_name = dict(zip(image_list.names, files, strict=True))
        check = partial(_check_file, Path(data_dir), file_by_name, (preprocessing or Preprocessing()).sample_bits)
    else:
        check = partial(_check_cache, ImageCache(image_cache, preprocessing or Preprocessing()))
        workers = 0
    found = distributed.together(lambda: _check_share(check, image_list.names, workers, progress))
    bad = sorted(distributed.gathered_lists(found), key=lambda image: image.line)
    if 100 * len(bad) > MAX_SKIPPED * len(image_list):
        shown = ", ".join(f"{image.image} (line {image.line})" for image in bad[:10]) + ", ..." * (len(bad) > 10)
        raise InputError(
            f"{image_list.path}: {len(bad)} of {len(image_list)} images cannot be used, but --on_bad_image skip leaves "
            f"out at most {MAX_SKIPPED} %: {shown}; the first: {bad[0].reason}"
        )
    return tuple(bad)


def _check_share(
    check: Callable[[str], str | None], names: Sequence[str], workers: int, progress: ProgressFn | None
) -> list[SkippedImage]:
    """Check every n-th image, if this is one of n processes, and return the unusable ones."""
    step = distributed.launched()
    lines = range(1 + distributed.rank(), len(names) + 1, step)
    bad = []
    with closing(prefetch_map(check, names[distributed.rank() :: step], workers, PREFETCH_IMAGES)) as reasons:
        for line, reason in zip(lines, reasons, strict=True):
            if reason is not None:
                bad.append(SkippedImage(names[line - 1], line, reason))
            if progress is not None:
                progress(line, len(names))
    return bad


def format_skipped(skipped: Sequence[SkippedImage], list_file: str | os.PathLike[str]) -> str:
    """Format the images left out of a list, at least one: a summary, then one line per image."""
    lines = [f"left out of {list_file}: {len(skipped)} image{'s' * (len(skipped) > 1)} (--on_bad_image skip)"]
    return "\n".join(lines + [f"  {image.image} (line {image.line}): {image.reason}" for image in skipped])


def _check_file(data_dir: Path, file_by_name: Mapping[str, Path | None], sample_bits: int, name: str) -> str | None:
    """Return why an image file cannot be used, or None if it can."""
    path = file_by_name[name] or data_dir / name
    try:
        images.open_gray(path, sample_bits)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _check_cache(cache: ImageCache, name: str) -> str | None:
    return None if name in cache else f"not in the cache {cache.folder}"
