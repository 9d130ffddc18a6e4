"""Evaluate a CheXNet checkpoint: per-class and mean AUROC, averaged over ten crops.

    python eval.py --ckpt pretrained_models/model_paddle.pdparams --compare
    python eval.py --ckpt save/best_model.pdparams --output_dir report --val_list dataset/labels/val_list.txt

The second command writes a report with confidence intervals, curves, operating points and calibration; docs/report.md
explains it.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import EvalConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.evaluation import EvalResult


def build_parser() -> cli.Parser:
    """Return the parser: the flags of EvalConfig and those for the outputs."""
    parser = cli.Parser("Evaluate a CheXNet checkpoint on a list of images.", __doc__)
    cli.add_config_arguments(parser, EvalConfig)
    add = parser.group("outputs").add_argument
    add("--output_json", metavar="FILE.json", help="write AUROCs, configuration and checksums to this JSON file")
    add("--output_csv", metavar="FILE.csv", help="write each image's probabilities and labels to this CSV file")
    add(
        "--output_dir",
        metavar="DIR",
        help="write a report with confidence intervals, curves and calibration to this folder (docs/report.md)",
    )
    add("--compare", action="store_true", help="print the published AUROCs next to those of this run")
    return parser


def evaluate_checkpoint(args: argparse.Namespace) -> None:
    """Evaluate, print the AUROCs and write the requested files."""
    first, *others = [args.ckpt] if isinstance(args.ckpt, str) else args.ckpt
    config = cli.config_from_args(EvalConfig, args, ckpt=first, ensemble=tuple(others))
    from chexnet.evaluation import evaluate
    from chexnet.files import check_writable, write_each
    from chexnet.model.checkpoint import metadata_path

    if config.val_list and not args.output_dir:
        raise InputError("--val_list: is used for the report only; also set --output_dir DIR")
    ckpts = (config.ckpt, *config.ensemble)
    inputs = [
        config.test_list,
        *filter(None, [config.val_list, config.classes_file]),
        *ckpts,
        *map(metadata_path, ckpts),
    ]
    outputs: list[str] = []
    for path, suffix in ((args.output_json, ".json"), (args.output_csv, ".csv")):
        if path:
            check_writable(path, suffix, protected=inputs, others=outputs)
            outputs.append(path)
    if args.output_dir:
        from chexnet.evaluation.report import check_folder

        check_folder(args.output_dir, protected=inputs, others=outputs)
    with cli.progress_bar("image") as progress:
        result = evaluate(config, cli.echo, progress)
    writers = [partial(result.write_json, args.output_json)] if args.output_json else []
    writers += [partial(result.write_csv, args.output_csv)] if args.output_csv else []
    writers += [partial(show, result, args.compare)]
    writers += [partial(write_evaluation_report, result, args.output_dir)] if args.output_dir else []
    write_each(writers)


def show(result: "EvalResult", compare: bool) -> None:
    """Print the AUROCs and the skipped images."""
    from chexnet.data import format_skipped
    from chexnet.evaluation import format_comparison, format_result

    print(format_result(result))
    if compare:
        print(format_comparison(result))
    if result.skipped:
        print(format_skipped(result.skipped, result.config.test_list))
    if result.config.val_list and result.validation_skipped:
        print(format_skipped(result.validation_skipped, result.config.val_list))


def write_evaluation_report(result: "EvalResult", folder: str) -> None:
    """Write the report and print its summary."""
    from chexnet.evaluation.report import format_report, write_report
    from chexnet.evaluation.reporting import report_from_evaluation

    report = report_from_evaluation(result)
    write_report(report, folder)
    print(format_report(report, folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), evaluate_checkpoint, argv)


if __name__ == "__main__":
    sys.exit(main())
