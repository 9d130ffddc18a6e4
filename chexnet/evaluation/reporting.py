"""Build a report from an evaluation."""

from chexnet import device
from chexnet.data import audit
from chexnet.evaluation.report import Report, build_report
from chexnet.evaluation.result import CheckpointResult, EvalResult


def report_from_evaluation(result: EvalResult) -> Report:
    """Build the report, with notes on skipped images and on overlap with the training images."""
    config = result.config
    notes = [_training_overlap(member, config.test_list) for member in result.members]
    for path, skipped in ((config.test_list, result.skipped), (config.val_list, result.validation_skipped)):
        notes += [f"Left out of {path}: {image.image}, {image.reason}." for image in skipped]
    return build_report(
        result.predictions,
        result.validation,
        audit=notes,
        run={**result.run, "paddle": device.paddle_version()},
        ckpt_sha256=result.run["sha256"]["ckpt"],
        one_checkpoint=len(result.members) == 1,
        validation_sha256=result.run["sha256"].get("val_list"),
    )


def _training_overlap(member: CheckpointResult, test_list: str) -> str:
    if member.training_overlap is None:
        return f"{member.ckpt}: its training images are not recorded, so they may include images evaluated here."
    return f"{member.ckpt}, on {test_list}: {audit.format_training_overlap(member.training_overlap)}."
