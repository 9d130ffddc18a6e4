"""Make the list files `train_list.txt`, `val_list.txt` and `test_list.txt` from the label files of a data set.

    python tools/prepare_lists.py --metadata Data_Entry_2017_v2020.csv --split official --output_dir dataset/labels

This reads NIH's label file and, from the same folder, NIH's train_val_list.txt and test_list.txt. All of them may be
gzip-compressed (.gz). For another data set, use a CSV file with a column of 0 and 1 per finding:

    python tools/prepare_lists.py --csv train.csv --image_column Path --label_columns Edema,"Pleural Effusion" \\
        --uncertain zeros --split random --output_dir lists

Patients are taken from --patient_column, or from the file names if these contain them. Otherwise a random split is
refused, unless --each_image_a_patient states that no two images belong to the same patient. docs/data.md describes the
splits. Nothing is overwritten: --output_dir must not contain such lists.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config.argument_types import fraction, random_seed
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.data.lists import ImageList, LabelTable
    from chexnet.data.lists.splits import Splits

LIST_ARGS = {"official": ("train_val_list", "test_list"), "reference": ("reference",)}
LIST_ARGS["clean"] = LIST_ARGS["official"] + LIST_ARGS["reference"]
SPLITS = ("official", "reference", "random", "clean", "whole")
CSV_ARGS = ("image_column", "label_columns", "patient_column", "each_image_a_patient", "uncertain")


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Make list files from NIH's label file or from any CSV file.", __doc__)
    add = parser.add_argument
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--metadata", metavar="FILE", help="NIH's label file, Data_Entry_2017*.csv")
    labels.add_argument("--csv", metavar="FILE", help="label file with one column per finding")
    add(
        "--split",
        choices=SPLITS,
        required=True,
        help="official: NIH's split; reference: that of --reference; random: 70/10/20 of the patients; clean: images "
        "in the test lists of both official and reference, for testing only; whole: all images for testing",
    )
    add("--output_dir", required=True, metavar="DIR", help="folder for the lists; it must not contain earlier ones")
    add("--seed", type=random_seed, default=0, metavar="K", help="random seed for the split")
    add = parser.group("lists of --split").add_argument
    add("--train_val_list", metavar="FILE", help="NIH's train_val_list.txt (default: the one next to --metadata)")
    add("--test_list", metavar="FILE", help="NIH's test_list.txt (default: the one next to --metadata)")
    add("--reference", nargs=3, metavar=("TRAIN", "VAL", "TEST"), help="list files that define the reference split")
    add(
        "--val_fraction",
        type=fraction,
        default=0.1,
        metavar="F",
        help="fraction of the official training patients for the validation list",
    )
    columns = parser.group("columns of --csv")
    add = columns.add_argument
    add("--image_column", metavar="NAME", help="column with the names of the image files")
    add("--label_columns", metavar="A,B,...", help="columns to use as classes, in this order")
    patients = columns.add_mutually_exclusive_group()
    patients.add_argument(
        "--patient_column",
        metavar="NAME",
        help="column with the patient IDs, which are stored next to the lists (default: taken from the file names)",
    )
    patients.add_argument(
        "--each_image_a_patient", action="store_true", help="state that no two images of --csv show the same patient"
    )
    add(
        "--uncertain",
        choices=("zeros", "ones", "drop"),
        help="value for uncertain labels (-1); drop leaves their images out",
    )
    return parser


def prepare_lists(args: argparse.Namespace) -> None:
    """Read the labels, split the images, write the lists and print the counts."""
    check(args)
    from chexnet.data.lists import splits

    splits.check_unused(args.output_dir)
    table = read_labels(args)
    cli.echo(f"=> {table.path}: {len(table):,} images of {format_patients(table)}")
    for name, uncertain, blank in zip(table.classes, table.uncertain, table.blank, strict=True):
        if uncertain:
            print(f"=> {name}: {uncertain:,} uncertain, --uncertain {args.uncertain}")
        if blank:
            print(f"=> {name}: {blank:,} blank, treated as absent")
    if table.dropped:
        print(f"=> {table.dropped:,} images with uncertain labels left out")
    split = split_images(args, table)
    print(splits.format_counts(split, table.classes))
    files = splits.write_lists(split, table.classes, args.output_dir)
    print(f"Next: {next_command(args, list(files.values()))}")


def next_command(args: argparse.Namespace, files: "Sequence[Path]") -> str:
    """Return the command that audits the lists with the same inputs."""
    from chexnet.data.lists import CLASSES_FILE

    command = ["python", "tools/audit_split.py", *map(str, files)]
    if args.metadata:
        command += ["--metadata", args.metadata]
    names = Path(args.output_dir, CLASSES_FILE)
    if names.exists():
        command += ["--classes_file", str(names)]
    return cli.command_line(*command)


def format_patients(table: "LabelTable") -> str:
    """Return the numbers of known patients and of images without one, as text."""
    unknown = table.patients.count(None)
    known = len({*table.patients} - {None})
    if not unknown:
        return f"{known:,} patients"
    return f"{known:,} known patients; the patients of {unknown:,} images are unknown"


def check(args: argparse.Namespace) -> None:
    """Raise InputError for flags that need other flags or have no effect."""
    if args.csv and not (args.image_column and args.label_columns):
        raise InputError("--csv: needs --image_column and --label_columns too")
    unused = (
        set(args.explicit_args)
        - {"metadata", "csv", "split", "output_dir", "debug"}
        - set(CSV_ARGS if args.csv else ())
    )
    unused -= set(LIST_ARGS.get(args.split, ()))
    unused -= {"official": {"val_fraction", "seed"}, "random": {"seed"}}.get(args.split, set())
    if unused:
        source = "--csv" if args.csv else "--metadata"
        raise InputError(f"--{sorted(unused)[0]}: has no effect with {source} and --split {args.split}; leave it out")
    if "reference" in LIST_ARGS.get(args.split, ()) and not args.reference:
        raise InputError(
            f"--split {args.split}: needs --reference TRAIN VAL TEST, the list files that define the split"
        )
    if args.csv and args.split in ("official", "clean"):
        raise InputError(f"--split {args.split}: only for NIH's images, expected --metadata, not --csv")


def read_labels(args: argparse.Namespace) -> "LabelTable":
    """Read the labels from NIH's file or from the CSV."""
    from chexnet.data.lists import one_patient_per_image, read_csv, read_nih

    if args.metadata:
        return read_nih(args.metadata)
    columns = [column.strip() for column in args.label_columns.split(",")]
    table = read_csv(args.csv, args.image_column, columns, args.patient_column, args.uncertain)
    return one_patient_per_image(table) if args.each_image_a_patient else table


def split_images(args: argparse.Namespace, table: "LabelTable") -> "Splits":
    """Return the split selected by --split."""
    from chexnet.data.lists import read_list, splits

    if args.split == "whole":
        return splits.test_only(table)
    if args.split == "random":
        return splits.random(table, args.seed)
    if args.split == "official":
        return splits.official(table, *official_lists(args), args.val_fraction, args.seed)
    lists = [read_list(path, len(table.classes)) for path in args.reference]
    by_split = dict(zip(("train", "val", "test"), lists, strict=True))
    if args.split == "reference":
        return splits.reference(table, by_split)
    return splits.common_test(table, by_split, *official_lists(args))


def official_lists(args: argparse.Namespace) -> "tuple[ImageList, ImageList]":
    """Read NIH's two lists of names, from the given files or from next to the label file."""
    from chexnet.data.lists import read_list

    def next_to_metadata(name: str) -> Path:
        path = Path(args.metadata).parent / name
        compressed = path.with_name(f"{name}.gz")
        return compressed if compressed.exists() else path

    train_val = args.train_val_list or next_to_metadata("train_val_list.txt")
    return read_list(train_val, n_classes=0), read_list(
        args.test_list or next_to_metadata("test_list.txt"), n_classes=0
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), prepare_lists, argv)


if __name__ == "__main__":
    sys.exit(main())
