"""A report on an evaluation."""

import paddle

from chexnet import audit
from chexnet.evaluation.result import EvalResult, Member
from chexnet.report import Report, build_report


def report_on(result: EvalResult) -> Report:
    """Everything that a report says of an evaluation."""
    alone = len(result.members) == 1
    lists = ((result.config.test_list, result.skipped), (result.config.val_list, result.validation_skipped))
    skipped = [f"Left out of {path}: {one.image}, {one.reason}." for path, of_list in lists for one in of_list]
    return build_report(
        result.predictions,
        result.validation,
        audit=[*(_seen(one, result.config.test_list) for one in result.members), *skipped],
        run={**result.run, "paddle": paddle.__version__},
        ckpt_sha256=result.run["sha256"]["ckpt"],
        one_checkpoint=alone,
    )


def _seen(member: Member, test_list: str) -> str:
    if member.seen is None:
        return f"{member.ckpt}: nothing beside it says on which images it was trained, so it may have seen these."
    return f"{member.ckpt}, on {test_list}: {audit.format_seen(member.seen)}."
