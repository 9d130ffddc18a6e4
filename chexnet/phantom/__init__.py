"""Synthetic frontal chest radiographs with planted findings.

They are for tests and demonstrations where the real data cannot be had: a chest is composed of path
lengths (trunk, lungs, heart, bones, vessels), the findings change those, and the sum is developed like a
film. Nothing measured on them says anything about patients.

`draw` makes one radiograph, `make_dataset` a data set in the layout of ChestX-ray14. Everything is
determined by seeds, and the same at every size.
"""

from chexnet.phantom.canvas import FIELD_CM
from chexnet.phantom.phantom_dataset import PREVALENCE, Summary, make_dataset, sample_findings
from chexnet.phantom.radiograph import Box, Radiograph, draw

__all__ = [
    "FIELD_CM",
    "PREVALENCE",
    "Box",
    "Radiograph",
    "Summary",
    "draw",
    "make_dataset",
    "sample_findings",
]
