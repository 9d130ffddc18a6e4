"""Write a report on prediction files of this or any other program: intervals, curves, calibration, comparison.

    python tools/report.py --predictions mine.csv --output_dir report
    python tools/report.py --predictions mine.csv theirs.csv --labels test_list.txt --output_dir comparison

A prediction file needs the columns that `eval.py --output_csv` writes, in any order: image, and prob_<class> and
label_<class> for each class. docs/report.md describes the report.
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
    from chexnet.evaluation.report import check_folder, format_report, report_from_files, write_report

    check_folder(
        args.output_dir,
        protected=[*args.predictions, *filter(None, (args.labels, args.val_predictions, args.classes_file))],
    )
    report = report_from_files(
        args.predictions[0],
        *args.predictions[1:],
        labels=args.labels,
        validation=args.val_predictions,
        classes=args.classes_file,
    )
    write_report(report, args.output_dir)
    print(format_report(report, args.output_dir))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), write_report_on_files, argv)


if __name__ == "__main__":
    sys.exit(main())
