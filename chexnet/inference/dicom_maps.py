"""The class map of a finding as a DICOM Secondary Capture: the picture of `--cam`, which every viewer shows."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from chexnet.inference import overlays
from chexnet.inference.dicom_report import ModelIdentity, image_number
from chexnet.inference.dicom_source import keep, reference
from chexnet.inference.prediction import Prediction

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_NUMBER = 9702
"""Series number of the maps, see `dicom_report.SERIES_NUMBER`."""


def secondary_capture(source: "Dataset", prediction: Prediction, finding: str, model: ModelIdentity) -> "Dataset":
    """Return the picture of one finding as an instance of Secondary Capture Image Storage, ready to be saved.

    The picture holds the disclaimer and no data of the patient, unless the pixels of the source do.

    Args:
        source: header of the image, from `dicom_source.read_source`.
        prediction: its result, with class maps.
        finding: the class.
        model: the network that gave it.
    """
    from highdicom.sc import SCImage

    size = overlays.panel_size(prediction.gray)
    gray = prediction.gray.resize(size[::-1], Image.Resampling.BICUBIC)
    picture = overlays.render_panel(
        gray,
        prediction.heatmap(finding, size),
        prediction.cam_max,
        prediction.caption(finding),
        " ".join(model.notices),
    )
    pixels = np.asarray(picture)
    number, classes = image_number(source), len(prediction.classes)
    document = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # replaced below
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=model.series_uid(source, "maps"),
        series_number=SERIES_NUMBER,
        series_description="AI class maps, not for diagnosis",
        sop_instance_uid=model.uid(source, "map", finding, pixels.tobytes()),
        instance_number=(number - 1) * classes + prediction.classes.index(finding) + 1,
        **model.equipment(),
    )
    document.PatientOrientation = source.get("PatientOrientation")
    document.BurnedInAnnotation = "YES" if source.get("BurnedInAnnotation") == "YES" else "NO"
    document.DerivationDescription = "Class activation map of a neural network over the image"
    document.SourceImageSequence = [_source_item(source)]
    if source.get("LossyImageCompression") == "01":
        document.LossyImageCompression = "01"
    keep(source, document)
    return document


def _source_item(source: "Dataset") -> "Dataset":
    """Return an item of Source Image Sequence."""
    from pydicom import Dataset

    references, item = reference(source), Dataset()
    item.ReferencedSOPClassUID = references.SOPClassUID
    item.ReferencedSOPInstanceUID = references.SOPInstanceUID
    return item
