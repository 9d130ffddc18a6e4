"""DICOM results of an image: a Structured Report, and a Secondary Capture for each finding that is shown."""

import os
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet._types import LogFn
from chexnet.data.images import dicom, dicom_kinds
from chexnet.errors import InputError, printable
from chexnet.files import atomic_write, check_writable
from chexnet.inference.dicom_maps import secondary_capture
from chexnet.inference.dicom_report import ModelIdentity, structured_report
from chexnet.inference.dicom_source import read_source
from chexnet.inference.file_names import file_part
from chexnet.inference.prediction import Prediction

if TYPE_CHECKING:
    from pydicom import Dataset


def check_installed(asker: str, *more: str) -> None:
    """Raise InputError, with the command to install them, if highdicom or one of the packages in `more` is missing."""
    if missing := [package for package in ("pydicom", "highdicom", *more) if not find_spec(package)]:
        raise InputError(
            f"{asker}: needs {' and '.join(missing)}: pip install {' '.join(missing)}, "
            'or this package with its extra: pip install "paddle-chexnet[dicom]"'
        )


def result_documents(
    path: str | os.PathLike[str], prediction: Prediction, findings: Sequence[str], model: ModelIdentity, log: LogFn
) -> list[tuple[str, "Dataset"]]:
    """Return the DICOM results of an image with parts of file names: `report`, then `map_<finding>` for each finding.

    Args:
        path: DICOM file of the image.
        prediction: its result, with class maps.
        findings: findings to draw.
        model: the network that gave the prediction.
        log: receives a line if the image names no patient.

    Raises:
        InputError: the header of the image does not allow results, see `read_source`.
    """
    try:
        with dicom.silence_loggers():
            source = read_source(path)
            if not source.get("PatientID"):
                name = printable(os.fspath(path))
                log(f"=> warning: {name}: has no Patient ID, so its DICOM results have none either")
            documents = [("report", structured_report(source, prediction, model))]
            for finding in findings:
                part = file_part(finding, prediction.classes)
                documents.append((f"map_{part}", secondary_capture(source, prediction, finding, model)))
            return documents
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        # The message of the error may quote the header, which is private.
        raise InputError(f"{path}: no DICOM results: its header is unusual ({type(error).__name__})") from None


def save_document(document: "Dataset", path: Path) -> None:
    """Write a document atomically. Raises InputError."""
    with atomic_write(path) as temporary, dicom.silence_loggers():
        document.save_as(temporary, enforce_file_format=True)


class DicomWriter:
    """Write the results of DICOM images, `<image>_report.dcm` and `<image>_map_<finding>.dcm`. Thread-safe.

    Args:
        folder: created if it is missing.
        model: the network.
        log: receives a line about each image without results.

    Attributes:
        failed: number of DICOM images without all of their results.

    Raises:
        InputError: highdicom is not installed, or the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str], model: ModelIdentity, log: LogFn) -> None:
        check_installed("--dicom")
        self.folder = Path(folder)
        self.model = model
        self.failed = 0
        self._log = log
        self._lock = threading.Lock()
        check_writable(self.folder / "report.dcm", ".dcm", protected=())

    def write(self, prediction: Prediction, name: str, findings: Sequence[str]) -> list[Path]:
        """Write the results of an image and return their files; none if it is not DICOM or cannot have results.

        Args:
            prediction: result of the image.
            name: prefix from `ImageNames`.
            findings: findings to draw.
        """
        image = Path(prediction.name)
        written: list[Path] = []
        try:
            if not dicom_kinds.is_dicom(image):
                self._log(f"=> {printable(prediction.name)}: not DICOM, so it gets no DICOM results")
                return []
            for part, document in result_documents(image, prediction, findings, self.model, self._log):
                path = self.folder / f"{name}_{part}.dcm"
                save_document(document, path)
                written.append(path)
        except (InputError, OSError) as error:
            with self._lock:
                self.failed += 1
            self._log(f"=> warning: {printable(str(error))}")
        return written
