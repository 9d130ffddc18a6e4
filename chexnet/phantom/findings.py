"""The 14 findings by name: changes of the anatomy, and the painter of each finding."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from chexnet.phantom import lung, pleura
from chexnet.phantom.anatomy import RIGHT, Anatomy
from chexnet.phantom.canvas import Array
from chexnet.phantom.chest import Chest
from chexnet.phantom.sites import Site

PAINTERS: dict[str, lung.Painter] = {
    "Emphysema": pleura.emphysema,
    "Cardiomegaly": pleura.cardiomegaly,
    "Edema": lung.edema,
    "Infiltration": lung.infiltration,
    "Fibrosis": lung.fibrosis,
    "Consolidation": lung.consolidation,
    "Pneumonia": lung.pneumonia,
    "Atelectasis": lung.atelectasis,
    "Mass": lung.mass,
    "Nodule": lung.nodule,
    "Effusion": pleura.effusion,
    "Pleural_Thickening": pleura.pleural_thickening,
    "Pneumothorax": pleura.pneumothorax,
    "Hernia": pleura.hernia,
}
"""Finding -> painter, in order of painting. Pneumothorax comes late: the collapsed lung contains the lesions."""


def reshape(
    anatomy: Anatomy,
    findings: Sequence[str],
    sites: Mapping[str, Site],
    rngs: Mapping[str, np.random.Generator],
) -> Anatomy:
    """Return the anatomy with the changes that some findings make to its dimensions.

    Emphysema narrows the heart unless there is Cardiomegaly. So both can be visible in one patient, as they are in
    ChestX-ray14.
    """
    a = anatomy
    if "Emphysema" in findings:
        sampled = rngs["Emphysema"].uniform((2.6, 0.31, 0.12), (3.6, 0.35, 0.16))
        sink, ratio, density = (float(v) for v in sampled)
        low = max(a.dome_left, a.dome_right) + sink
        a = replace(a, dome_right=low - 0.3, dome_left=low, dome_drop=0.7, heart_ratio=ratio)
        a = replace(a, density=density, air=a.air + 0.8, half_width=a.half_width + 0.2)
    if "Cardiomegaly" in findings:
        a = replace(a, heart_ratio=float(rngs["Cardiomegaly"].uniform(0.59, 0.68)))
    if "Atelectasis" in findings:
        rise = float(rngs["Atelectasis"].uniform(2.6, 3.6))
        if sites["Atelectasis"].side == RIGHT:
            a = replace(a, dome_right=a.dome_right - rise)
        else:
            a = replace(a, dome_left=a.dome_left - rise - 1.0)
    return a


def paint(
    chest: Chest,
    findings: Sequence[str],
    sites: Mapping[str, Site],
    rngs: Mapping[str, np.random.Generator],
) -> dict[str, list[Array]]:
    """Draw the findings into `chest` and return their footprints, float32 [S, S], one per box."""
    return {
        finding: painter(chest, sites[finding], rngs[finding])
        for finding, painter in PAINTERS.items()
        if finding in findings
    }
