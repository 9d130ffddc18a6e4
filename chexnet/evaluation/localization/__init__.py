"""Class maps against the boxes that radiologists drew: does the network look where the finding is?"""

from chexnet.evaluation.localization.box_sheet import write_contact_sheet
from chexnet.evaluation.localization.cases import Case, Sample
from chexnet.evaluation.localization.comparison import LocalizationResult, localize
from chexnet.evaluation.localization.hit_rates import MEASURES, HitRate, MeanHitRate, Scores, score_cases
from chexnet.evaluation.localization.localization_text import format_result

__all__ = [
    "MEASURES",
    "Case",
    "HitRate",
    "LocalizationResult",
    "MeanHitRate",
    "Sample",
    "Scores",
    "format_result",
    "localize",
    "score_cases",
    "write_contact_sheet",
]
