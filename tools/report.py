"""Makes a report of files of predictions, this program's or any other's: intervals, curves, calibration, a comparison.

    python tools/report.py --predictions mine.csv --output report
    python tools/report.py --predictions mine.csv theirs.csv --labels dataset/labels/test_list.txt --output comparison

A file has the columns that `eval.py --predictions` writes: image, prob_<class> and label_<class> of the 14 classes, in
any order. docs/report.md describes what is written.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.errors import InputError


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Make a report of files of predictions.", __doc__)
    add = parser.add_argument
    add("--predictions", nargs="+", required=True, metavar="FILE.csv", help="one file, or two to be compared")
    add("--classes", metavar="FILE", help="names of the classes, one a line, if they are not the 14")
    add("--labels", metavar="FILE", help="list file of exactly these images: its labels are taken, not the files'")
    add(
        "--validation",
        metavar="FILE.csv",
        help="the first model's predictions on other images, to choose operating points and fit calibration on",
    )
    add("--output", required=True, metavar="DIR", help="folder for the report: new, empty or that of an earlier report")
    return parser


def body(args: argparse.Namespace) -> None:
    """Reads, computes, writes and says where the report is."""
    if len(args.predictions) > 2:
        raise InputError(f"--predictions: {len(args.predictions)} files, expected one, or two to be compared")
    from chexnet.report import check_folder, format_report, report_from_files, write_report

    check_folder(args.output, keep=[*args.predictions, *filter(None, (args.labels, args.validation, args.classes))])
    report = report_from_files(
        args.predictions[0],
        *args.predictions[1:],
        labels=args.labels,
        validation=args.validation,
        classes=args.classes,
    )
    write_report(report, args.output)
    print(format_report(report, args.output))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
