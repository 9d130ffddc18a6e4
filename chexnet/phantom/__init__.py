"""Synthetic frontal chest radiographs with planted findings.

They are for tests and demonstrations without real data. A chest is composed of path lengths of the X-rays through
trunk, lungs, heart, bones and vessels. Findings change these path lengths, and their sum is developed like a film.
Results on these images say nothing about patients.

`draw` makes one radiograph, `make_dataset` a data set in the layout of ChestX-ray14, `make_pairs` pairs of images that
differ in one finding or confounder. Seeds determine everything, and every image size shows the same chest.
"""

from chexnet.phantom.canvas import FIELD_CM
from chexnet.phantom.confounders import CONFOUNDERS
from chexnet.phantom.pairs import PairSummary, make_pairs
from chexnet.phantom.phantom_dataset import PREVALENCE, Summary, make_dataset, sample_findings
from chexnet.phantom.planting import Planting, parse_plantings
from chexnet.phantom.radiograph import Box, Radiograph, draw

__all__ = [
    "CONFOUNDERS",
    "FIELD_CM",
    "PREVALENCE",
    "Box",
    "PairSummary",
    "Planting",
    "Radiograph",
    "Summary",
    "draw",
    "make_dataset",
    "make_pairs",
    "parse_plantings",
    "sample_findings",
]
