"""Sites of the findings in the chest, chosen so that several findings overlap little."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.phantom.anatomy import LEFT, RIGHT


@dataclass(frozen=True)
class Site:
    """A side (RIGHT or LEFT) and a level: upper, middle or lower zone, or wall for the outer pleura."""

    side: int
    level: str


def _both(*levels: str) -> tuple[tuple[Site, ...], ...]:
    return tuple(tuple(Site(side, level) for level in levels) for side in (RIGHT, LEFT))


_CHOICES: dict[str, tuple[tuple[Site, ...], ...]] = {
    "Consolidation": (
        (Site(RIGHT, "upper"),),
        (Site(RIGHT, "middle"), Site(RIGHT, "lower")),
        (Site(LEFT, "lower"),),
    ),
    "Pneumothorax": _both("wall", "upper"),
    "Effusion": _both("lower"),
    "Atelectasis": _both("lower"),
    "Pleural_Thickening": _both("wall"),
    "Pneumonia": _both("middle"),
    "Mass": (*_both("upper"), *_both("middle")),
    "Nodule": (*_both("upper"), *_both("middle")),
}
"""One-sided finding -> sets of sites that it may cover, findings with the fewest options first. A finding is drawn at
the first site of its set."""


def assign_sites(findings: Sequence[str], rngs: Mapping[str, np.random.Generator]) -> dict[str, Site]:
    """Return a site for each finding: the option that overlaps least with the findings before it.

    Findings of both lungs or of the midline get a site too, which their painters ignore.
    """
    taken: Counter[Site] = Counter()
    sites = {finding: Site(RIGHT, "middle") for finding in findings}
    for finding, choices in _CHOICES.items():
        if finding not in sites:
            continue
        order = rngs[finding].permutation(len(choices))
        covered = min((choices[i] for i in order), key=lambda choice: sum(taken[site] for site in choice))
        taken.update(covered)
        sites[finding] = covered[0]
    return sites
