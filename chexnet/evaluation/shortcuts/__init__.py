"""Does a network use a drain, a pacemaker or a marker in place of a finding? Counterfactual pairs of images answer.

docs/shortcuts.md describes the pairs, the numbers and the rule.
"""

from chexnet.evaluation.shortcuts.effects import (
    FRACTION,
    MIN_LOGIT,
    Change,
    Effect,
    Shortcut,
    Verdict,
    judge,
    measure_effects,
)
from chexnet.evaluation.shortcuts.image_pairs import Pair, read_pairs
from chexnet.evaluation.shortcuts.shortcut_check import ShortcutResult, check_output, check_shortcuts, write_result
from chexnet.evaluation.shortcuts.shortcut_text import format_result

__all__ = [
    "FRACTION",
    "MIN_LOGIT",
    "Change",
    "Effect",
    "Pair",
    "Shortcut",
    "ShortcutResult",
    "Verdict",
    "check_output",
    "check_shortcuts",
    "format_result",
    "judge",
    "measure_effects",
    "read_pairs",
    "write_result",
]
