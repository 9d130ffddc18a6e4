"""Agreement of the labels of a data set with reference labels of the same images, such as those of a panel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chexnet.data.lists import Patients
from chexnet.errors import InputError
from chexnet.evaluation.class_mapping import ClassMapping, parse_mapping
from chexnet.evaluation.image_matching import match_images
from chexnet.evaluation.label_sources import LabelFile
from chexnet.evaluation.prediction_table import PredictionTable
from chexnet.files.text_files import shorten
from chexnet.metrics.clustered_means import ClusteredMean, clustered_mean
from chexnet.metrics.delong import AUROCEstimate, compare_curves, estimate
from chexnet.metrics.differences import Difference
from chexnet.metrics.kappa import cohen_kappa
from chexnet.metrics.placements import placements
from chexnet.metrics.proportions import holm

RATES = ("sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True)
class FindingAgreement:
    """Agreement on one finding.

    Attributes:
        name: name of the finding in the reference.
        counts: images with label and reference present (true positives), label only (false positives), reference only
            (false negatives), and neither (true negatives).
        rates: sensitivity, specificity, ppv and npv of the labels, with patients as clusters.
        kappa: Cohen's kappa; NaN if all labels are equal.
        kappa_interval: its 95 % interval.
        by_labels: AUROC of predictions against the labels; None without predictions.
        by_reference: AUROC of the same predictions against the reference.
        difference: AUROC against the labels minus AUROC against the reference, paired.
        adjusted: p-value after Holm's correction over the findings.
    """

    name: str
    counts: tuple[int, int, int, int]
    rates: dict[str, ClusteredMean]
    kappa: float
    kappa_interval: tuple[float, float]
    by_labels: AUROCEstimate | None = None
    by_reference: AUROCEstimate | None = None
    difference: Difference | None = None
    adjusted: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the agreement, ready for JSON; undefined values are None."""
        names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
        content: dict[str, Any] = dict(zip(names, self.counts, strict=True))
        for name, rate in self.rates.items():
            content |= {name: _number(rate.value), f"{name}_ci": list(map(_number, rate.wilson))}
        content |= {"kappa": _number(self.kappa), "kappa_ci": list(map(_number, self.kappa_interval))}
        for name, found in (("auroc_labels", self.by_labels), ("auroc_reference", self.by_reference)):
            if found:
                content |= {name: _number(found.auroc), f"{name}_ci": [_number(found.low), _number(found.high)]}
        if gap := self.difference:
            content |= {"difference": _number(gap.difference), "difference_ci": [_number(gap.low), _number(gap.high)]}
            content |= {"p": _number(gap.p), "p_holm": _number(self.adjusted)}
        return content


@dataclass(frozen=True)
class Agreement:
    """Agreement on all findings.

    Attributes:
        images: number of images.
        patients: number of clusters; an image of an unknown patient is one.
        unknown_patients: number of images of unknown patients.
        findings: results per finding, in the order of the reference.
        notes: sentences on the mapping, and on images and findings that are left out.
    """

    images: int
    patients: int
    unknown_patients: int
    findings: tuple[FindingAgreement, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the agreement, ready for JSON."""
        return {
            "images": self.images,
            "patients": self.patients,
            "unknown_patients": self.unknown_patients,
            "classes": {finding.name: finding.to_dict() for finding in self.findings},
            "notes": list(self.notes),
        }


def compare_labels(
    labels: LabelFile,
    reference: LabelFile,
    mapping: Sequence[str] = (),
    predictions: PredictionTable | None = None,
    outputs: Sequence[str] = (),
    map_rule: str = "max",
    skip_missing: bool = False,
) -> Agreement:
    """Compare labels with a reference on the images of the reference.

    Args:
        labels: labels to judge; images that the reference lacks are ignored.
        reference: reference labels.
        mapping: mappings of findings of `labels` (and outputs of the predictions) to findings of the reference, see
            `chexnet.evaluation.class_mapping`. A label is present if any of its findings is.
        predictions: probabilities of the images; None without predictions.
        outputs: names of the outputs of `predictions`.
        map_rule: rule that combines the probabilities of several outputs.
        skip_missing: whether images of the reference that the labels or the predictions lack are left out; otherwise
            they are an error.

    Raises:
        InputError: images are missing, none is left, or the mapping does not fit.
    """
    mapped = parse_mapping(mapping, labels.findings, reference.findings)
    notes = mapped.describe()
    rows = match_images(labels.names, labels.origin, reference.names, reference.origin).rows
    found = rows >= 0
    of_predictions = rows
    if predictions:
        of_predictions = match_images(predictions.names, predictions.origin, reference.names, reference.origin).rows
        found = found & (of_predictions >= 0)
    _check_found(found, labels, reference, predictions, skip_missing)
    if not found.all():
        notes.append(f"Left out: {np.count_nonzero(~found):,} of the {len(found):,} images in {reference.origin}.")
    patients = _patients(labels, reference, rows, found)
    clusters = np.unique(patients.clusters, return_inverse=True)[1].ravel()
    given = mapped.output_labels(labels.labels)[rows[found]]
    wanted = mapped.list_labels(reference.labels)[found]
    findings = [
        _agreement(name, given[:, column], wanted[:, column], clusters) for column, name in enumerate(mapped.classes)
    ]
    if predictions:
        scores = _probabilities(mapping, outputs, reference, mapped, map_rule, predictions)[of_predictions[found]]
        findings = _with_aurocs(findings, given, wanted, scores, clusters)
    return Agreement(len(given), int(clusters.max()) + 1, patients.unknown, tuple(findings), tuple(notes))


def _check_found(
    found: np.ndarray,
    labels: LabelFile,
    reference: LabelFile,
    predictions: PredictionTable | None,
    skip_missing: bool,
) -> None:
    missing = np.flatnonzero(~found)
    if len(missing) and (not skip_missing or len(missing) == len(found)):
        others = " or ".join([labels.origin, *([predictions.origin] if predictions else [])])
        hint = "; --on_missing_image skip leaves them out" if len(missing) < len(found) else ""
        raise InputError(
            f"{others}: {len(missing):,} of the {len(found):,} images in {reference.origin} are missing, such as "
            f"{shorten(reference.names[missing[0]])}{hint}"
        )


def _patients(labels: LabelFile, reference: LabelFile, rows: np.ndarray, found: np.ndarray) -> Patients:
    """Return the patients of the images, from the file that knows more of them."""
    chosen = np.flatnonzero(found).tolist()
    both = reference.patients.select(chosen), labels.patients.select(rows[found].tolist())
    return min(both, key=lambda known: known.unknown)


def _probabilities(
    mapping: Sequence[str],
    outputs: Sequence[str],
    reference: LabelFile,
    mapped: ClassMapping,
    rule: str,
    predictions: PredictionTable,
) -> np.ndarray:
    """Return the probabilities of the compared findings, [M, K]."""
    own = parse_mapping(mapping, outputs, reference.findings, rule)
    if missing := [name for name in mapped.classes if name not in own.classes]:
        raise InputError(
            f"{predictions.origin}: no output means {shorten(missing[0])}, a finding of {reference.origin}; "
            "--map FINDING=OUTPUT assigns one"
        )
    values = own.probabilities(predictions.probabilities)
    return values[:, [own.classes.index(name) for name in mapped.classes]]


def _agreement(name: str, given: np.ndarray, wanted: np.ndarray, patient: np.ndarray) -> FindingAgreement:
    label, truth = given == 1, wanted == 1
    n_patients = int(patient.max()) + 1

    def rate(values: np.ndarray, chosen: np.ndarray) -> ClusteredMean:
        return clustered_mean(values[chosen], patient[chosen], n_patients)

    kappa, interval = cohen_kappa(given, wanted, patient)
    return FindingAgreement(
        name=name,
        counts=(
            int((label & truth).sum()),
            int((label & ~truth).sum()),
            int((~label & truth).sum()),
            int((~label & ~truth).sum()),
        ),
        rates=dict(
            zip(
                RATES,
                (rate(label, truth), rate(~label, ~truth), rate(truth, label), rate(~truth, ~label)),
                strict=True,
            )
        ),
        kappa=kappa,
        kappa_interval=interval,
    )


def _with_aurocs(
    findings: Sequence[FindingAgreement], given: np.ndarray, wanted: np.ndarray, scores: np.ndarray, patient: np.ndarray
) -> list[FindingAgreement]:
    """Add the AUROCs of the predictions against both sets of labels, and their paired differences."""
    n_patients = int(patient.max()) + 1
    results = []
    for column, finding in enumerate(findings):
        curves = [placements(labels[:, column], scores[:, column], patient, n_patients) for labels in (given, wanted)]
        results.append(
            replace(
                finding,
                by_labels=estimate(curves[0]),
                by_reference=estimate(curves[1]),
                difference=compare_curves(*curves),
            )
        )
    adjusted = holm(np.array([result.difference.p for result in results if result.difference]))
    return [replace(result, adjusted=float(p)) for result, p in zip(results, adjusted, strict=True)]


def format_agreement(agreement: Agreement) -> str:
    """Format the agreement as tables."""
    lines = [f"{agreement.images:,} images of {agreement.patients:,} patients"]
    if agreement.unknown_patients:
        lines[0] += f"; {agreement.unknown_patients:,} images of unknown patients count as one patient each"
    header = ["finding", "both", "label only", "reference only", "neither", *RATES, "kappa"]
    rows = [
        [
            finding.name,
            *(f"{count:,}" for count in finding.counts),
            *(_with_interval(rate.value, rate.wilson) for rate in finding.rates.values()),
            _with_interval(finding.kappa, finding.kappa_interval),
        ]
        for finding in agreement.findings
    ]
    lines += _table([header, *rows])
    compared = [
        [
            finding.name,
            _with_interval(finding.by_labels.auroc, (finding.by_labels.low, finding.by_labels.high)),
            _with_interval(finding.by_reference.auroc, (finding.by_reference.low, finding.by_reference.high)),
            _with_interval(finding.difference.difference, (finding.difference.low, finding.difference.high), "+"),
            "-" if math.isnan(finding.adjusted) else f"{finding.adjusted:.2g}",
        ]
        for finding in agreement.findings
        if finding.by_labels and finding.by_reference and finding.difference
    ]
    if compared:
        header = ["finding", "AUROC, labels", "AUROC, reference", "difference", "p after Holm"]
        lines += ["", *_table([header, *compared])]
    lines += [f"note: {sentence}" for sentence in agreement.notes]
    lines.append("PPV, NPV and kappa hold only where findings are as frequent as in these images.")
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _with_interval(value: float, interval: tuple[float, float], sign: str = "") -> str:
    if math.isnan(value):
        return "-"
    low, high = interval
    return f"{value:{sign}.3f}" + ("" if math.isnan(low) else f" ({low:{sign}.3f} to {high:{sign}.3f})")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
