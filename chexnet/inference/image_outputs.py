"""The files that a run writes for each image: pictures and DICOM results."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from chexnet._types import LogFn
from chexnet.config import PredictConfig
from chexnet.errors import InputError
from chexnet.inference.dicom_report import ModelIdentity
from chexnet.inference.dicom_results import DicomWriter
from chexnet.inference.file_names import ImageNames
from chexnet.inference.prediction import Prediction
from chexnet.inference.prediction_files import OverlayWriter
from chexnet.inference.predictor import MAX_BATCH_IMAGES, Predictor
from chexnet.inference.thresholds import Thresholds
from chexnet.prefetch import prefetch_map


@dataclass(frozen=True)
class ImageFiles:
    """Files of one image.

    Attributes:
        pictures: finding -> picture file, for the findings that were drawn.
        documents: DICOM files.
    """

    pictures: dict[str, Path] = field(default_factory=dict)
    documents: tuple[Path, ...] = ()


def select_findings(prediction: Prediction, thresholds: Thresholds | None, top: int) -> list[str]:
    """Return the findings to show for an image: all present ones, and at least `top`."""
    if thresholds is None or not prediction.meaningful:
        return prediction.top_k(top)
    return prediction.ranked(thresholds)[: max(top, len(prediction.present(thresholds)))]


class ImageOutputs:
    """Write the files of each image, in threads.

    Args:
        config: the run.
        predictor: the network.
        thresholds: operating points, if any.
        log: see `DicomWriter`.

    Raises:
        InputError: see `OverlayWriter` and `DicomWriter`.
    """

    def __init__(self, config: PredictConfig, predictor: Predictor, thresholds: Thresholds | None, log: LogFn) -> None:
        self._config, self._predictor, self._thresholds = config, predictor, thresholds
        self._pictures = OverlayWriter(config.cam) if config.cam else None
        model = ModelIdentity.of(predictor, thresholds)
        self._documents = DicomWriter(config.dicom, model, log) if config.dicom else None
        self._names = ImageNames()

    @property
    def failures(self) -> list[InputError]:
        """Errors of files that could not be written."""
        failures = list(self._pictures.failures) if self._pictures else []
        if self._documents and self._documents.failed:
            failures.append(InputError(f"--dicom: {self._documents.failed} images have no DICOM results, see above"))
        return failures

    def predict_all(
        self, paths: Iterable[Path | InputError]
    ) -> Generator[tuple[Prediction | InputError, ImageFiles], None, None]:
        """Yield predictions with their files, which threads write while the network computes the next images."""
        with closing(self._predictor.predict_all(paths)) as predictions:
            workers = self._config.num_workers if self._pictures or self._documents else 0
            named = self._with_names(predictions)
            with closing(prefetch_map(self._write, named, workers, buffer_size=MAX_BATCH_IMAGES)) as written:
                yield from written

    def _with_names(
        self, predictions: Iterable[Prediction | InputError]
    ) -> Iterator[tuple[Prediction | InputError, str]]:
        """Name the files of each image, in the order of the images, so that a name does not depend on the threads."""
        for prediction in predictions:
            writes = isinstance(prediction, Prediction) and (self._pictures or self._documents)
            yield prediction, self._names.new(prediction.name) if writes else ""  # type: ignore[union-attr]

    def _write(self, item: tuple[Prediction | InputError, str]) -> tuple[Prediction | InputError, ImageFiles]:
        prediction, name = item
        if isinstance(prediction, InputError):
            return prediction, ImageFiles()
        findings = select_findings(prediction, self._thresholds, self._config.top)
        pictures, documents, disclaimer = {}, [], self._predictor.disclaimer
        if self._pictures and self._config.sheet:
            pictures = self._pictures.draw_sheet(prediction, name, self._thresholds, disclaimer)
        elif self._pictures:
            pictures = self._pictures.draw(prediction, name, findings, disclaimer)
        if self._documents:
            documents = self._documents.write(prediction, name, findings)
        return prediction, ImageFiles(pictures, tuple(documents))
