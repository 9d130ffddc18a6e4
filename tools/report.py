"""Write a report on prediction files of this or any other program: intervals, curves, calibration, comparison.

    python tools/report.py --predictions mine.csv --output_dir report
    python tools/report.py --predictions mine.csv theirs.csv --labels test_list.txt --output_dir comparison
    python tools/report.py --predictions mine.csv --metadata Data_Entry_2017_v2020.csv --by sex,view --output_dir groups

A prediction file needs a column of image names, and for each class a probability and a label, in any order.
docs/report.md describes the report and lists the names of columns.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.errors import InputError


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Write a report on prediction files.", __doc__)
    add = parser.add_argument
    add(
        "--predictions",
        nargs="+",
        required=True,
        metavar="FILE.csv",
        help="prediction file of one model, or of two models to compare",
    )
    add(
        "--classes_file",
        metavar="FILE",
        help="file with the class names, one per line (default: the 14 of ChestX-ray14)",
    )
    add(
        "--labels",
        metavar="FILE",
        help="list file with exactly these images; its labels replace those of the prediction files",
    )
    add(
        "--label_classes",
        metavar="FILE",
        help="file with the findings of --labels, one per line, if they are not the classes of the predictions "
        "(default with --map: classes.txt next to the list)",
    )
    add(
        "--map",
        nargs="+",
        default=[],
        metavar="FINDING=OUTPUT|OUTPUT",
        help="findings of --labels and the outputs that mean them; others belong to the output of the same name",
    )
    add(
        "--map_rule",
        choices=("max", "noisy_or"),
        default="max",
        help="combine the outputs of a finding into their maximum, or into 1 - (1 - p1)(1 - p2)...",
    )
    add("--only", metavar="LIST", help="evaluate only the images in this list file, which may have labels")
    add(
        "--by",
        nargs="+",
        default=[],
        metavar="NAMES",
        help="compare groups of images, separated by commas: sex, age_band, view, first_or_followup or another column "
        "of --metadata; NAME=LIST or LIST.txt for images in a list and others; official_test for NIH's list",
    )
    add("--metadata", metavar="FILE.csv", help="CSV file with a column of image names and the columns for --by")
    add(
        "--on_missing_image",
        choices=("error", "skip"),
        default="error",
        help="what to do with images of --only without predictions, and with images that --metadata lacks",
    )
    add(
        "--val_predictions",
        metavar="FILE.csv",
        help="validation predictions of the first model, to select operating points and fit the calibration",
    )
    add(
        "--output_dir",
        required=True,
        metavar="DIR",
        help="folder for the report: new, empty or with an earlier report",
    )
    return parser


def write_report_on_files(args: argparse.Namespace) -> None:
    """Read the predictions, write the report and print its summary."""
    if len(args.predictions) > 2:
        raise InputError(f"--predictions: {len(args.predictions)} files, expected one, or two to compare")
    if args.metadata and not args.by:
        raise InputError("--metadata: is used by --by only; also set --by with names of its columns")
    inputs = (args.labels, args.val_predictions, args.classes_file, args.label_classes, args.only, args.metadata)
    from chexnet.evaluation.report import check_folder, format_report, report_from_files, write_report

    check_folder(
        args.output_dir,
        protected=[*args.predictions, *filter(None, inputs)],
    )
    report = report_from_files(
        args.predictions[0],
        *args.predictions[1:],
        labels=args.labels,
        validation=args.val_predictions,
        classes=args.classes_file,
        label_classes=args.label_classes,
        mapping=args.map,
        map_rule=args.map_rule,
        only=args.only,
        metadata=args.metadata,
        by=args.by,
        skip_missing=args.on_missing_image == "skip",
    )
    write_report(report, args.output_dir)
    print(format_report(report, args.output_dir))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), write_report_on_files, argv)


if __name__ == "__main__":
    sys.exit(main())
