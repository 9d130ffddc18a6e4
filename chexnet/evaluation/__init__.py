"""Evaluation of checkpoints on lists of images: AUROCs, localization and reports."""

from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports

if TYPE_CHECKING:
    from chexnet.evaluation.evaluator import evaluate as evaluate
    from chexnet.evaluation.result import CheckpointResult as CheckpointResult
    from chexnet.evaluation.result import EvalResult as EvalResult
    from chexnet.evaluation.result import format_comparison as format_comparison
    from chexnet.evaluation.result import format_result as format_result
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "evaluate": "evaluator",
            "CheckpointResult": "result",
            "EvalResult": "result",
            "format_comparison": "result",
            "format_result": "result",
        },
    )
