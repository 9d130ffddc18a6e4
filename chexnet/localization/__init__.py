"""Class maps against the boxes that radiologists drew: does the network look where the finding is?"""

from chexnet.localization.cases import Case, Sample
from chexnet.localization.comparison import LocalizationResult, localize
from chexnet.localization.scores import MEASURES, Mean, Scores, Share, score_cases
from chexnet.localization.sheet import write_contact_sheet
from chexnet.localization.tables import format_result

__all__ = [
    "MEASURES",
    "Case",
    "LocalizationResult",
    "Mean",
    "Sample",
    "Scores",
    "Share",
    "format_result",
    "localize",
    "score_cases",
    "write_contact_sheet",
]
