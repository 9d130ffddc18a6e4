"""Evaluation of class activation maps against ground-truth boxes that radiologists drew."""

from chexnet.evaluation.localization.box_sheet import write_contact_sheet
from chexnet.evaluation.localization.cases import Case, Sample
from chexnet.evaluation.localization.comparison import LocalizationResult, localize
from chexnet.evaluation.localization.hit_rates import (
    MASK_MEASURES,
    MEASURES,
    HitRate,
    LocalizationScores,
    MeanHitRate,
    score_cases,
)
from chexnet.evaluation.localization.localization_text import format_result

__all__ = [
    "MASK_MEASURES",
    "MEASURES",
    "Case",
    "HitRate",
    "LocalizationResult",
    "LocalizationScores",
    "MeanHitRate",
    "Sample",
    "format_result",
    "localize",
    "score_cases",
    "write_contact_sheet",
]
