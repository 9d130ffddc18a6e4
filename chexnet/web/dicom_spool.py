"""The spool of a DICOM node: images that wait for their prediction, and results that wait for their delivery."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet.errors import InputError
from chexnet.files import atomic_write, remove_leftovers
from chexnet.inference.dicom_results import save_document

if TYPE_CHECKING:
    from pydicom import Dataset

RECEIVED, RESULTS, REFUSED = "received", "results", "refused"
"""Folders of images to predict, of documents to deliver, and of images that have no results."""


class Spool:
    """A folder that holds everything a node has accepted and not delivered yet. Thread-safe.

    Each image is `received/<time>_<SOP Instance UID>.dcm`, so that one that arrives twice is kept twice, in the order
    of arrival. Its results are `results/<time>_<UID>_<number>.dcm`. The image is removed when all of its results are
    on the disk, and a result when the peer has it. Files are complete and synced to the disk, or not there.

    Args:
        folder: created if it is missing; its `exclusive_lock` must be held.
        limit: number of images at which `receive` refuses more, waiting ones and those with undelivered results.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        self.folder = Path(folder)
        self.limit = limit
        self._lock = threading.Lock()
        self._last = 0
        try:
            for name in (RECEIVED, RESULTS, REFUSED):
                (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)  # images of patients
                remove_leftovers(self.folder / name, ["*.dcm"])
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def receive(self, uid: str, content: bytes) -> bool:
        """Store an image and return True; return False if the spool is full.

        Args:
            uid: its SOP Instance UID, which must be valid.
            content: the file.

        Raises:
            InputError: the file cannot be written.
        """
        with self._lock:
            stems = {path.stem for path in self.waiting()} | {_image_of(path) for path in self.results()}
            if len(stems) >= self.limit:
                return False
            self._last = max(time.time_ns(), self._last + 1)
            with atomic_write(self.folder / RECEIVED / f"{self._last:020d}_{uid}.dcm") as temporary:
                temporary.write_bytes(content)
        return True

    def waiting(self) -> list[Path]:
        """Return the images that wait for their prediction, the earliest first."""
        return _files(self.folder / RECEIVED)

    def results(self) -> list[Path]:
        """Return the documents that wait for their delivery, those of the earliest image first."""
        return _files(self.folder / RESULTS)

    def store_results(self, image: Path, documents: Iterable["Dataset"]) -> None:
        """Store the results of an image, then remove the image.

        Raises:
            InputError: a file cannot be written; the image stays.
        """
        for number, document in enumerate(documents):
            save_document(document, self.folder / RESULTS / f"{image.stem}_{number:03d}.dcm")
        image.unlink()

    def refuse(self, image: Path) -> None:
        """Put an image that has no results aside."""
        image.replace(self.folder / REFUSED / image.name)


def instance_uid(path: Path) -> str:
    """Return the SOP Instance UID of the image that a file of the spool is, or belongs to."""
    return path.stem.split("_")[1]


def _image_of(result: Path) -> str:
    return result.stem.rpartition("_")[0]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".dcm" and not path.name.startswith("."))
