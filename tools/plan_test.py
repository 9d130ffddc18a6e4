"""Plan a test: the difference in AUROC that a list of images can show, and the images that a difference needs.

    python tools/plan_test.py --list dataset/labels/test_list.txt
    python tools/plan_test.py --list test_list.txt --difference 0.01 --model_correlation 0.9
    python tools/plan_test.py --images 5000 --patients 2000 --prevalence Mass=0.05 Nodule=0.06 --unpaired

The list gives numbers of positives, and of images per patient. docs/planning.md explains the assumptions, and checks
them by simulation.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from chexnet import cli
from chexnet.config.argument_types import non_negative_int, positive_int
from chexnet.errors import InputError


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Plan a test: what difference in AUROC can a list of images show?", __doc__)
    add = parser.add_argument
    add("--list", metavar="LIST", help="list file with the labels of the test images")
    add("--classes_file", metavar="FILE", help="file with the class names, one per line (default: the 14)")
    add("--images", type=positive_int, metavar="N", help="number of images, without a list")
    add("--patients", type=positive_int, metavar="N", help="number of patients, without a list (default: --images)")
    add(
        "--prevalence",
        nargs="+",
        default=[],
        metavar="FINDING=P",
        help="fraction of images with each finding, without a list",
    )
    add(
        "--auroc",
        nargs="+",
        default=[],
        metavar="[FINDING=]A",
        help="assumed AUROC of the better model, above 0.5 and below 1, for all findings or for one (default: those of "
        "Paddle-CheXNet for the 14, otherwise 0.84)",
    )
    add("--difference", type=open_fraction, metavar="D", help="also compute the images that this difference needs")
    add("--unpaired", action="store_true", help="each model has its own images (default: both have the same)")
    add(
        "--model_correlation",
        type=correlation,
        default=0.8,
        metavar="R",
        help="correlation of the scores of both models for images with the same label",
    )
    add(
        "--patient_correlation",
        type=correlation,
        default=0.5,
        metavar="R",
        help="correlation of the scores of two images of a patient with the same label",
    )
    add(
        "--finding_correlation",
        type=correlation,
        default=0.02,
        metavar="R",
        help="correlation of the sampling errors of two findings, for the mean",
    )
    add("--alpha", type=open_fraction, default=0.05, metavar="P", help="two-sided significance level")
    add("--power", type=open_fraction, default=0.8, metavar="P", help="probability of a significant result")
    add(
        "--simulations",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="check the power with N simulated pairs of models, with independent findings",
    )
    add("--output_json", metavar="FILE.json", help="write the plan to this JSON file")
    return parser


def correlation(text: str) -> float:
    """Parse a correlation from 0 to below 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 to below 1")
    return value


def open_fraction(text: str) -> float:
    """Parse a number between 0 and 1, without these two."""
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number between 0 and 1")
    return value


def _number(text: str) -> float:
    """Parse a number; NaN for other text."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def parse_values(flag: str, texts: Sequence[str], allowed: Callable[[float], bool], expected: str) -> dict[str, float]:
    """Parse `FINDING=VALUE`; a value alone has the key `""`."""
    values: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        value = _number(number)
        if not allowed(value) or name.strip() in values:
            raise InputError(f"{flag}: found {text[:60]!r}, expected {expected}, each finding once")
        values[name.strip()] = value
    return values


def plan(args: argparse.Namespace) -> None:
    """Compute the plan and print it."""
    aurocs = parse_values("--auroc", args.auroc, lambda value: 0.5 < value < 1, "an AUROC above 0.5 and below 1")
    prevalences = parse_values("--prevalence", args.prevalence, lambda value: 0 < value < 1, "FINDING=P, 0 < P < 1")
    if bool(args.list) == bool(args.images) or bool(args.images) != bool(prevalences) or "" in prevalences:
        raise InputError("expected either --list LIST, or --images N with --prevalence FINDING=P")
    if args.images and (args.simulations or args.classes_file):
        raise InputError("--simulations and --classes_file need --list LIST, whose labels and patients they use")
    if args.power <= args.alpha:
        raise InputError(f"--power: found {args.power:g}, expected more than --alpha, {args.alpha:g}")
    from chexnet.evaluation.planning import format_plan, plan_for_counts, plan_for_list
    from chexnet.files import check_writable, write_text
    from chexnet.metrics.sample_size import Design

    if args.output_json:
        check_writable(args.output_json, ".json", protected=[*filter(None, [args.list, args.classes_file])], others=[])
    design = Design(
        paired=not args.unpaired,
        model_correlation=args.model_correlation,
        patient_correlation=args.patient_correlation,
        finding_correlation=args.finding_correlation,
        alpha=args.alpha,
        power=args.power,
    )
    if args.list:
        found = plan_for_list(args.list, args.classes_file, aurocs, design, args.difference, args.simulations)
    else:
        patients = args.patients or args.images
        found = plan_for_counts(args.images, patients, prevalences, aurocs, design, args.difference)
    if args.output_json:
        write_text(args.output_json, json.dumps(found.to_dict(), indent=2, allow_nan=False) + "\n")
    print(format_plan(found))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), plan, argv)


if __name__ == "__main__":
    sys.exit(main())
