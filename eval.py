"""Scores a CheXNet checkpoint: per-class and mean AUROC, averaged over ten crops.

    python eval.py --ckpt pretrained_models/model_paddle.pdparams --compare
    python eval.py --ckpt save/best_model.pdparams --report report --val_list dataset/labels/val_list.txt

The second writes a page with intervals, curves, operating points and calibration; docs/report.md explains it.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import ON_BAD_IMAGE, EvalConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.evaluation import EvalResult


def build_parser() -> cli.Parser:
    """The flags; their defaults are EvalConfig's."""
    default = EvalConfig()
    parser = cli.Parser("Score a CheXNet checkpoint on a list of images.", __doc__)
    add = parser.add_argument
    add("--data_dir", default=default.data_dir, help="folder of the images")
    add("--test_list", default=default.test_list, help="list file to score on: `name v1 ... v14` a line")
    add("--batch_size", type=cli.positive_int, default=default.batch_size, help="images computed together, at most")
    add(
        "--ckpt",
        nargs="+",
        default=default.ckpt,
        help="weight file; a JSON beside it may give its resize and crop; of several, the probabilities are averaged",
    )
    add("--image_cache", metavar="DIR", help="folder made by tools/build_cache.py, read instead of the images")
    add(
        "--on_bad_image",
        choices=ON_BAD_IMAGE,
        default=default.on_bad_image,
        help="missing or broken ones: end the run, or look at all first and leave out up to 1 %% of the list",
    )
    add("--output", metavar="FILE.json", help="write AUROCs, configuration and checksums there")
    add("--predictions", metavar="FILE.csv", help="write each image's probabilities and labels there")
    add("--report", metavar="DIR", help="write a page with intervals, curves and calibration there (docs/report.md)")
    add(
        "--val_list", metavar="FILE", help="for --report: scored too, to choose operating points and fit calibration on"
    )
    add("--compare", action="store_true", help="print the published AUROCs beside this run's")
    cli.add_checkpoint_flags(parser)
    cli.add_computing_flags(parser, default)
    return parser


def body(args: argparse.Namespace) -> None:
    """Evaluates, prints and writes what was asked for."""
    first, *others = [args.ckpt] if isinstance(args.ckpt, str) else args.ckpt
    fields = {field.name: getattr(args, field.name, None) for field in dataclasses.fields(EvalConfig)}
    config = EvalConfig(**{**fields, "ckpt": first, "ensemble": tuple(others)})
    from chexnet.checkpoint import sidecar_path
    from chexnet.evaluation import evaluate
    from chexnet.files import check_writable, write_each

    if config.val_list and not args.report:
        raise InputError("--val_list: is for the report, expected --report DIR with it")
    ckpts = (config.ckpt, *config.ensemble)
    inputs = [config.test_list, *filter(None, [config.val_list, config.classes]), *ckpts, *map(sidecar_path, ckpts)]
    outputs: list[str] = []
    for path, suffix in ((args.output, ".json"), (args.predictions, ".csv")):
        if path:
            check_writable(path, suffix, keep=inputs, others=outputs)
            outputs.append(path)
    if args.report:
        from chexnet.report import check_folder

        check_folder(args.report, keep=inputs, others=outputs)
    with cli.progress_bar("image") as progress:
        result = evaluate(config, cli.say, progress)
    writers = [partial(result.write_json, args.output)] if args.output else []
    writers += [partial(result.write_csv, args.predictions)] if args.predictions else []
    writers += [partial(show, result, args.compare)]
    writers += [partial(write_report_on, result, args.report)] if args.report else []
    write_each(writers)


def show(result: "EvalResult", compare: bool) -> None:
    """Prints the AUROCs and what was left out."""
    from chexnet.data import format_skipped
    from chexnet.evaluation import format_comparison, format_result

    print(format_result(result))
    if compare:
        print(format_comparison(result))
    if result.skipped:
        print(format_skipped(result.skipped, result.config.test_list))
    if result.config.val_list and result.validation_skipped:
        print(format_skipped(result.validation_skipped, result.config.val_list))


def write_report_on(result: "EvalResult", folder: str) -> None:
    """Writes the report and prints what it comes to."""
    from chexnet.evaluation.reporting import report_on
    from chexnet.report import format_report, write_report

    report = report_on(result)
    write_report(report, folder)
    print(format_report(report, folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
