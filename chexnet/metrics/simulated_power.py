"""Check of a plan by simulation: the fraction of simulated pairs of models whose difference is significant."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from chexnet.metrics.placements import Placements, covariance, placements
from chexnet.metrics.sample_size import Design


@dataclass(frozen=True)
class SimulatedPower:
    """Fractions of simulations with a significant difference.

    Attributes:
        simulations: number of simulated pairs of models.
        findings: float64 [C], per finding.
        mean: for the mean AUROC over the findings.
    """

    simulations: int
    findings: np.ndarray
    mean: float


def simulate_power(
    labels: np.ndarray,
    patients: np.ndarray,
    aurocs: np.ndarray,
    differences: np.ndarray,
    design: Design,
    simulations: int,
    seed: int = 0,
) -> SimulatedPower:
    """Simulate normal scores of two models, and test each difference as a report does.

    The findings are simulated independently, as if `finding_correlation` were 0.

    Args:
        labels: [N, C], 0 or 1, each class with both.
        patients: [N], the patient of each image.
        aurocs: [C], AUROCs of the first model.
        differences: [C], differences from those of the second model.
        design: assumptions.
        simulations: number of pairs of models.
        seed: random seed.
    """
    rng = np.random.default_rng(seed)
    patient = np.unique(patients, return_inverse=True)[1].ravel()
    count = labels.shape[1]
    critical = float(ndtri(1 - design.alpha / 2))
    significant = np.zeros(count + 1)
    contrast = np.zeros((count + 1, 2 * count))  # first model minus second, per finding and on average
    contrast[:count] = np.hstack([np.eye(count), -np.eye(count)])
    contrast[count] = contrast[:count].mean(axis=0)
    for _ in range(simulations):
        curves = _simulate(labels, patient, np.stack([aurocs, aurocs - differences]), design, rng)
        gaps = contrast @ [curve.auroc for curve in curves]
        variances = np.einsum("ij,jk,ik->i", contrast, covariance(curves), contrast)
        significant += np.abs(gaps) > critical * np.sqrt(variances)
    fractions = significant / simulations
    return SimulatedPower(simulations, fractions[:count], float(fractions[count]))


def _simulate(
    labels: np.ndarray, patient: np.ndarray, aurocs: np.ndarray, design: Design, rng: np.random.Generator
) -> list[Placements]:
    """Simulate both models on all findings: the curves of the first, then those of the second."""
    n_patients = int(patient.max()) + 1
    curves: list[list[Placements]] = [[], []]
    for column, label in enumerate(labels.T):
        of_patients, of_images = (_two_models((size,), design, rng) for size in (n_patients, len(label)))
        rho = design.patient_correlation
        noise = math.sqrt(rho) * of_patients[:, patient] + math.sqrt(1 - rho) * of_images  # [2, N]
        for model in range(2):
            # Without pairing, the second model has other patients, whose numbers differ from those of the first.
            shift = 0 if design.paired else model * n_patients
            scores = noise[model] + math.sqrt(2) * float(ndtri(aurocs[model, column])) * label
            total = n_patients if design.paired else 2 * n_patients
            curves[model].append(placements(label, scores, patient + shift, total))
    return [*curves[0], *curves[1]]


def _two_models(shape: tuple[int, ...], design: Design, rng: np.random.Generator) -> np.ndarray:
    """Draw standard normal values of two models, [2, *shape], with the correlation of the design."""
    values = rng.standard_normal((2, *shape))
    if design.paired:
        r = design.model_correlation
        values[1] = r * values[0] + math.sqrt(1 - r * r) * values[1]
    return values
