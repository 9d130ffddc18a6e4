"""Measure how well labels agree with reference labels of the same images, such as those of a panel of radiologists.

    python tools/compare_labels.py --labels Data_Entry_2017_v2020.csv --reference panel.csv
    python tools/compare_labels.py --labels Data_Entry_2017_v2020.csv --reference panel.csv --predictions mine.csv \\
        --map "Airspace opacity=Consolidation|Infiltration" "Nodule or mass=Nodule|Mass"

Both are list files, NIH's label file, or CSV files with a column of image names and a column of 0 and 1 (or yes and no)
per finding. With --predictions, the same probabilities are scored against both. docs/report.md explains the numbers.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from chexnet import cli


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Measure how well labels agree with reference labels of the same images.", __doc__)
    add = parser.add_argument
    add("--labels", required=True, metavar="FILE", help="labels to judge: list file or CSV file")
    add("--reference", required=True, metavar="FILE", help="reference labels; only their images are compared")
    add(
        "--label_classes",
        metavar="FILE",
        help="file with the findings of --labels, one per line (default: for a list, classes.txt next to it or the 14; "
        "for a CSV file, its columns of labels)",
    )
    add("--reference_classes", metavar="FILE", help="the same for --reference")
    add(
        "--map",
        nargs="+",
        default=[],
        metavar="FINDING=LABEL|LABEL",
        help="findings of --reference and the labels that mean them; others belong to the label of the same name",
    )
    add("--predictions", metavar="FILE.csv", help="prediction file of the same images, to score against both")
    add(
        "--classes_file",
        metavar="FILE",
        help="file with the class names of --predictions, one per line (default: the 14 of ChestX-ray14)",
    )
    add(
        "--map_rule",
        choices=("max", "noisy_or"),
        default="max",
        help="combine the probabilities of a finding into their maximum, or into 1 - (1 - p1)(1 - p2)...",
    )
    add(
        "--on_missing_image",
        choices=("error", "skip"),
        default="error",
        help="what to do with images of --reference that --labels or --predictions lack",
    )
    add("--output_json", metavar="FILE.json", help="write all numbers to this JSON file")
    return parser


def compare(args: argparse.Namespace) -> None:
    """Compare the labels and print the agreement."""
    from chexnet.data.lists import class_names
    from chexnet.evaluation.label_agreement import compare_labels, format_agreement
    from chexnet.evaluation.label_sources import read_labels
    from chexnet.evaluation.prediction_table import read_table
    from chexnet.files import check_writable, write_text

    inputs = (args.labels, args.reference, args.label_classes, args.reference_classes, args.predictions)
    if args.output_json:
        inputs = [*filter(None, (*inputs, args.classes_file))]
        check_writable(args.output_json, ".json", protected=inputs, others=[])
    outputs = class_names(args.classes_file)
    agreement = compare_labels(
        read_labels(args.labels, args.label_classes),
        read_labels(args.reference, args.reference_classes),
        mapping=args.map,
        predictions=read_table(args.predictions, outputs, with_labels=False) if args.predictions else None,
        outputs=outputs,
        map_rule=args.map_rule,
        skip_missing=args.on_missing_image == "skip",
    )
    if args.output_json:
        write_text(args.output_json, json.dumps(agreement.to_dict(), indent=2, allow_nan=False) + "\n")
    print(format_agreement(agreement))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
