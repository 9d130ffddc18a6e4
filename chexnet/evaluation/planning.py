"""Plan of a test: what a list of images can show, per finding and on average."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from chexnet.data.lists import ImageList, check_classes, class_names, read_list
from chexnet.errors import InputError
from chexnet.files.text_files import shorten, shorten_all
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.sample_size import (
    Clusters,
    Design,
    clusters_of_counts,
    clusters_of_labels,
    detectable_difference,
    growth,
    half_width,
    power_of,
)
from chexnet.metrics.simulated_power import simulate_power
from chexnet.published import PUBLISHED

DEFAULT_AUROC = 0.84
"""Assumed AUROC of a finding without a published one: the mean of the published systems on the shared test list."""

FEW_PATIENTS = 20
"""Effective patients with or without a finding below which normal approximations are unreliable."""

PUBLISHED_SYSTEM = "Paddle-CheXNet"


@dataclass(frozen=True)
class PlannedFinding:
    """Plan for one finding, or for the mean AUROC.

    Attributes:
        name: name of the finding; `mean` for the mean AUROC over the findings with an AUROC.
        clusters: images and patients; None for the mean.
        auroc: assumed AUROC of the better model.
        half_width: half of the width of the 95 % interval of one model's AUROC.
        detectable: smallest difference that is found with the power of the design; NaN if there is none.
        power: power for the wanted difference; None without one.
        images: images that the wanted difference needs; None without one.
        simulated_power: fraction of significant simulations at the detectable difference; None without simulations.
    """

    name: str
    clusters: Clusters | None
    auroc: float
    half_width: float
    detectable: float
    power: float | None = None
    images: int | None = None
    simulated_power: float | None = None

    @property
    def few(self) -> bool:
        """Return whether there are too few patients for the approximations."""
        return self.clusters is not None and min(self.clusters.effective_patients) < FEW_PATIENTS


@dataclass(frozen=True)
class Plan:
    """Plan of a test.

    Attributes:
        images: number of images.
        patients: number of patients.
        unknown_patients: images of unknown patients, each of which counts as one patient.
        design: assumptions.
        findings: results per finding.
        mean: result for the mean AUROC.
        left_out: findings with only positives or only negatives.
        difference: wanted difference; None without one.
    """

    images: int
    patients: int
    unknown_patients: int
    design: Design
    findings: tuple[PlannedFinding, ...]
    mean: PlannedFinding
    left_out: tuple[str, ...]
    difference: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan, ready for JSON; undefined values are None."""
        return {
            "images": self.images,
            "patients": self.patients,
            "unknown_patients": self.unknown_patients,
            "design": asdict(self.design),
            "difference": self.difference,
            "classes": {finding.name: _to_dict(finding) for finding in self.findings},
            "mean": _to_dict(self.mean),
            "left_out": list(self.left_out),
        }


def plan_for_list(
    path: str | os.PathLike[str],
    classes: str | os.PathLike[str] | None,
    aurocs: Mapping[str, float],
    design: Design,
    difference: float | None = None,
    simulations: int = 0,
) -> Plan:
    """Plan a test on a list file.

    Args:
        path: list file; its patients are those of its patient file, or of the image names.
        classes: file with the class names, one per line; None for the 14.
        aurocs: assumed AUROC by finding; the key `""` is for all others. Without it, the 14 have published ones.
        design: assumptions.
        difference: wanted difference in AUROC; None to compute only what the list can show.
        simulations: simulated pairs of models that check the power; 0 for none.

    Raises:
        InputError: the list cannot be read, has only one patient, or no finding with positives and negatives; or
            `aurocs` names an unknown finding.
    """
    names = class_names(classes)
    images = read_list(path, len(names))
    check_classes(path, names)
    patients = images.patients.clusters
    clusters = {name: clusters_of_labels(labels, patients) for name, labels in zip(names, images.labels.T, strict=True)}
    n_patients = len(np.unique(patients))
    if n_patients < 2:
        raise InputError(f"{path}: all {len(images)} images are of one patient, expected several")
    plan = _plan(str(path), clusters, aurocs, design, difference, len(images), n_patients, images.patients.unknown)
    return _with_simulations(plan, images, names, simulations) if simulations else plan


def plan_for_counts(
    images: int,
    patients: int,
    prevalences: Mapping[str, float],
    aurocs: Mapping[str, float],
    design: Design,
    difference: float | None = None,
) -> Plan:
    """Plan a test from numbers: every patient has the same number of images, with the same label.

    Args:
        images: number of images.
        patients: number of patients.
        prevalences: fraction of images with the finding, by finding.
        aurocs: as in `plan_for_list`.
        design: assumptions.
        difference: as in `plan_for_list`.

    Raises:
        InputError: there are more patients than images, or fewer than two.
    """
    if not 2 <= patients <= images:
        raise InputError(f"--patients: found {patients:,} for {images:,} images, expected 2 to {images:,}")
    clusters = {name: clusters_of_counts(images, patients, value) for name, value in prevalences.items()}
    return _plan("--prevalence", clusters, aurocs, design, difference, images, patients, 0)


def _plan(
    origin: str,
    clusters: Mapping[str, Clusters],
    aurocs: Mapping[str, float],
    design: Design,
    difference: float | None,
    images: int,
    patients: int,
    unknown: int,
) -> Plan:
    if strangers := [name for name in aurocs if name and name not in clusters]:
        raise InputError(f"--auroc: {shorten(strangers[0])} is unknown, expected one of {shorten_all(list(clusters))}")
    assumed = {name: _assumed_auroc(name, tuple(clusters), aurocs) for name in clusters}
    defined = {name: counts for name, counts in clusters.items() if counts.defined}
    if not defined:
        raise InputError(
            f"{origin}: every finding has only positives or only negatives, expected both for at least one"
        )

    def planned(name: str, members: Sequence[str], own: Clusters | None) -> PlannedFinding:
        data = [defined[member] for member in members], [assumed[member] for member in members]
        wanted = difference is not None and difference < min(data[1]) - 0.5
        return PlannedFinding(
            name=name,
            clusters=own,
            auroc=float(np.mean(data[1])),
            half_width=half_width(*data, design),
            detectable=detectable_difference(*data, design),
            power=power_of(*data, difference, design) if wanted and difference else None,
            images=math.ceil(images * growth(*data, difference, design)) if wanted and difference else None,
        )

    return Plan(
        images=images,
        patients=patients,
        unknown_patients=unknown,
        design=design,
        findings=tuple(planned(name, [name], counts) for name, counts in defined.items()),
        mean=planned("mean", list(defined), None),
        left_out=tuple(name for name in clusters if name not in defined),
        difference=difference,
    )


def _assumed_auroc(name: str, classes: tuple[str, ...], aurocs: Mapping[str, float]) -> float:
    if name in aurocs or "" in aurocs:
        return aurocs.get(name, aurocs.get("", DEFAULT_AUROC))
    if classes == CLASS_NAMES:
        published = next(system for system in PUBLISHED if system.name == PUBLISHED_SYSTEM)
        return published.auroc[CLASS_NAMES.index(name)]
    return DEFAULT_AUROC


def _with_simulations(plan: Plan, images: ImageList, names: Sequence[str], simulations: int) -> Plan:
    """Add the simulated power at the detectable differences."""
    rows = [finding for finding in plan.findings if not math.isnan(finding.detectable)]
    labels = images.labels[:, [names.index(finding.name) for finding in rows]]
    aurocs = np.array([finding.auroc for finding in rows])
    own = np.array([finding.detectable for finding in rows])
    patients = images.patients.clusters
    found = simulate_power(labels, patients, aurocs, own, plan.design, simulations)
    powers = dict(zip((finding.name for finding in rows), found.findings.tolist(), strict=True))
    mean = plan.mean
    if len(rows) == len(plan.findings) and not math.isnan(mean.detectable):
        same = np.full(len(rows), mean.detectable)
        by_mean = simulate_power(labels, patients, aurocs, same, plan.design, simulations, seed=1)
        mean = replace(mean, simulated_power=by_mean.mean)
    return replace(
        plan,
        findings=tuple(replace(finding, simulated_power=powers.get(finding.name)) for finding in plan.findings),
        mean=mean,
    )


def format_plan(plan: Plan) -> str:
    """Format a plan as a table with its assumptions."""
    design = plan.design
    lines = [f"{plan.images:,} images of {plan.patients:,} patients"]
    if plan.unknown_patients:
        lines.append(
            f"note: the patients of {plan.unknown_patients:,} images are unknown; each counts as a separate patient, "
            "so the list can show less if some share a patient"
        )
    models = (
        f"the same images, scores correlated by {design.model_correlation:g}"
        if design.paired
        else "a list of this kind each"
    )
    lines.append(
        f"two models on {models}; two images of a patient by {design.patient_correlation:g}; two-sided "
        f"alpha {design.alpha:g}, power {design.power:g}"
    )
    header = ["finding", "positives", "patients", "effective", "AUROC", "+/- 95 %", "difference"]
    header += [f"power at {plan.difference:g}", "images needed"] if plan.difference is not None else []
    header += ["simulated power"] if any(row.simulated_power is not None for row in plan.findings) else []
    table = [header, *(_cells(row, header) for row in (*plan.findings, plan.mean))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
    if few := [row.name for row in plan.findings if row.few]:
        lines.append(
            f"fewer than {FEW_PATIENTS} effective patients with or without the finding, unreliable: {', '.join(few)}"
        )
    if plan.left_out:
        lines.append(f"only positives or only negatives, left out: {', '.join(plan.left_out)}")
    return "\n".join(lines)


def _cells(row: PlannedFinding, header: Sequence[str]) -> list[str]:
    cells = [row.name, "", "", ""]
    if clusters := row.clusters:
        counts = clusters.positives, clusters.patients_with, clusters.effective_patients[0]
        cells[1:] = [f"{count:,.0f}" for count in counts]
    cells += [f"{row.auroc:.3f}", _decimals(row.half_width), _decimals(row.detectable)]
    if "images needed" in header:
        cells += ["-" if row.power is None else f"{row.power:.2f}", "-" if row.images is None else f"{row.images:,}"]
    if "simulated power" in header:
        cells.append("-" if row.simulated_power is None else f"{row.simulated_power:.3f}")
    return cells


def _decimals(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _to_dict(row: PlannedFinding) -> dict[str, Any]:
    content = asdict(row) | {
        "detectable": None if math.isnan(row.detectable) else row.detectable,
    }
    return {key: value for key, value in content.items() if key != "name"}
