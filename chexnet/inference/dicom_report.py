"""A prediction as a DICOM Structured Report: TID 1500 Measurement Report (DICOM PS3.16), made with highdicom."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chexnet
from chexnet.inference.dicom_source import derived_uid, keep, reference
from chexnet.inference.finding_codes import LOCAL_SCHEME, FindingCode, finding_code
from chexnet.inference.prediction import MEANINGLESS, Prediction
from chexnet.inference.thresholds import Thresholds

if TYPE_CHECKING:
    from pydicom import Dataset

    from chexnet.inference.predictor import Predictor

SOFTWARE = "Paddle-CheXNet"

NOTICE = "Research software, not a medical device. Not for diagnosis."
"""First comment of each report, and part of the line below each picture."""

SERIES_NUMBER = 9701
"""Series number of the reports. It needs not be unique; a high one is listed after those of a modality."""

MAX_IMAGE_NUMBER = 1_000_000
"""Largest Instance Number of an image that the numbers of its results are derived from."""

OUTPUT = FindingCode("OUTPUT", LOCAL_SCHEME, "Output of the network")
CALIBRATED = FindingCode("CALIBRATED", LOCAL_SCHEME, "Calibrated by Platt scaling")
"""Methods by which a probability was obtained."""


@dataclass(frozen=True)
class ModelIdentity:
    """Description of a network, which its results have in common.

    Attributes:
        ckpt_sha256: SHA-256 of the weights.
        parameters: weights, preprocessing and selection rule of the thresholds, for Algorithm Parameters. It is one
            text, because each content item of a report costs about a millisecond and this one stands in every group.
        disclaimer: see `Predictor`; may be empty.
        thresholds: operating points for decisions, if any.
    """

    ckpt_sha256: str
    parameters: str
    disclaimer: str
    thresholds: Thresholds | None

    @classmethod
    def of(cls, predictor: "Predictor", thresholds: Thresholds | None) -> "ModelIdentity":
        """Return the identity of a predictor with its operating points."""
        parameters = [
            f"weights: {Path(predictor.ckpt).name}",
            f"SHA-256 of the weights: {predictor.ckpt_sha256}",
            f"crops: {predictor.crops_description}",
        ]
        if thresholds:
            parameters.append(f"thresholds: {thresholds.chosen or 'unknown selection rule'}")
        return cls(predictor.ckpt_sha256, "; ".join(parameters), predictor.disclaimer, thresholds)

    @property
    def notices(self) -> list[str]:
        """Lines that accompany every result."""
        return [NOTICE, self.disclaimer] if self.disclaimer else [NOTICE]

    def uid(self, source: "Dataset", *parts: object) -> str:
        """Return a UID that depends on an image, this network, the version of the software and `parts` alone."""
        return derived_uid(chexnet.__version__, self, source.SOPInstanceUID, *parts)

    def series_uid(self, source: "Dataset", kind: str) -> str:
        """Return the UID of the series that collects the results of one kind for one series of images."""
        return derived_uid(
            chexnet.__version__, self.ckpt_sha256, source.StudyInstanceUID, source.SeriesInstanceUID, kind
        )

    def equipment(self) -> dict[str, Any]:
        """Return highdicom's arguments that describe the software."""
        return {
            "manufacturer": SOFTWARE,
            "manufacturer_model_name": SOFTWARE,
            "software_versions": chexnet.__version__,
            "device_serial_number": self.ckpt_sha256,
        }


def structured_report(source: "Dataset", prediction: Prediction, model: ModelIdentity) -> "Dataset":
    """Return the Comprehensive SR document of an image, ready to be saved.

    Args:
        source: header of the image, from `dicom_source.read_source`.
        prediction: its result.
        model: the network that gave it.
    """
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.sr.codedict import codes

    evidence = reference(source)
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid(chexnet.__version__, model.ckpt_sha256), name=SOFTWARE, model_name=chexnet.__version__
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.XRUnspecifiedBodyRegion,
        imaging_measurements=[
            _finding_group(evidence, prediction, name, model) for name in prediction.ranked(model.thresholds)
        ],
    )
    content[0].ContentSequence.extend(_comments(prediction, model))
    probabilities = [str(value) for value in prediction.probabilities]
    document = sr.ComprehensiveSR(
        evidence=[evidence],
        content=content[0],
        series_instance_uid=model.series_uid(source, "reports"),
        series_number=SERIES_NUMBER,
        series_description="AI results, not for diagnosis",
        sop_instance_uid=model.uid(source, "report", prediction.classes, probabilities, prediction.warnings),
        instance_number=image_number(source),
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(LOCAL_SCHEME, name=f"{SOFTWARE} local codes")],
        **model.equipment(),
    )
    keep(source, document)
    return document


def image_number(source: "Dataset") -> int:
    """Return the Instance Number of an image; 1 if it has none, or one outside 1 to MAX_IMAGE_NUMBER."""
    try:
        number = int(source.get("InstanceNumber") or 1)
    except (TypeError, ValueError):
        return 1
    return number if 1 <= number <= MAX_IMAGE_NUMBER else 1


def _finding_group(evidence: "Dataset", prediction: Prediction, name: str, model: ModelIdentity) -> Any:
    """Return the measurement group of one finding (TID 1501)."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    thresholds, parameters, evaluations = model.thresholds, [model.parameters], []
    if thresholds:
        point = thresholds.points[name]
        parameters.append(
            f"present at or above {point.threshold:g}, sensitivity {point.sensitivity:g}, "
            f"specificity {point.specificity:g}"
        )
        present = codes.cid240.Present if point.decides(prediction.probability(name)) else codes.cid240.Absent
        decision = present if prediction.meaningful else codes.cid240.Undetermined
        evaluations.append(sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, decision))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=model.uid(evidence, "finding", name), identifier=name),
        finding_type=sr.CodedConcept(*finding_code(name)),
        algorithm_id=sr.AlgorithmIdentification(name=SOFTWARE, version=chexnet.__version__, parameters=parameters),
        measurements=[
            sr.Measurement(
                name=codes.DCM.Probability, value=value, unit=codes.UCUM.NoUnits, method=sr.CodedConcept(*method)
            )
            for method, value in _probabilities(prediction, name, thresholds)
        ],
        qualitative_evaluations=evaluations,
        source_images=[sr.SourceImageForMeasurementGroup(evidence.SOPClassUID, evidence.SOPInstanceUID)],
    )


def _probabilities(
    prediction: Prediction, name: str, thresholds: Thresholds | None
) -> Iterator[tuple[FindingCode, float]]:
    """Yield the probabilities of a finding with their methods: as the network gives it and, if possible, calibrated."""
    probability = prediction.probabilities[prediction.classes.index(name)]
    yield OUTPUT, float(str(probability))  # the digits of its float32 value, as in all other outputs
    calibration = thresholds.calibration if thresholds else None
    if calibration and name in calibration:
        yield CALIBRATED, prediction.calibrated({name: calibration[name]})[name]


def _comments(prediction: Prediction, model: ModelIdentity) -> list[Any]:
    """Return the comments of a report: disclaimers, then the warnings about the image."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    lines = [*model.notices, *(f"warning about the image: {warning}" for warning in prediction.warnings)]
    if not prediction.meaningful:
        lines.append(f"all numbers of this report may be {MEANINGLESS}; there are no decisions")
    contains = sr.RelationshipTypeValues.CONTAINS
    return [sr.TextContentItem(codes.DCM.Comment, line, relationship_type=contains) for line in lines]
