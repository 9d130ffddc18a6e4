"""Makes list files, `train_list.txt`, `val_list.txt` and `test_list.txt`, from the label files of a data set.

    python tools/prepare_lists.py --metadata Data_Entry_2017_v2020.csv --split official --out dataset/labels

takes NIH's label file and, from the folder that it is in, NIH's train_val_list.txt and test_list.txt. All of them may
be packed (.gz). Another data set comes as a CSV with a column of 0 and 1 for each finding:

    python tools/prepare_lists.py --csv train.csv --image_column Path --label_columns Edema,"Pleural Effusion" \\
        --uncertain zeros --split random --out lists

docs/data.md says what the splits are. Nothing is replaced: --out must not have such lists.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.lists import ImageList, LabelTable
    from chexnet.lists.splits import Parts

NEEDS_LISTS = {"official": ("train_val", "test"), "reference": ("reference",)}
NEEDS_LISTS["clean"] = NEEDS_LISTS["official"] + NEEDS_LISTS["reference"]
SPLITS = ("official", "reference", "random", "clean", "whole")
OF_CSV = ("image_column", "label_columns", "patient_column", "uncertain")


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Make list files from NIH's label file, or from any CSV.")
    add = parser.add_argument
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--metadata", metavar="FILE", help="NIH's label file, Data_Entry_2017*.csv")
    labels.add_argument("--csv", metavar="FILE", help="label file with a column for each finding")
    add(
        "--split",
        choices=SPLITS,
        required=True,
        help="official: NIH's; reference: that of --reference; random: 70/10/20 of the patients; clean: what is for "
        "testing in both of the first two; whole: everything for testing",
    )
    add("--out", required=True, metavar="DIR", help="folder for the lists, without such lists")
    add("--train_val", metavar="FILE", help="NIH's train_val_list.txt, if it is not beside --metadata")
    add("--test", metavar="FILE", help="NIH's test_list.txt, likewise")
    add("--reference", nargs=3, metavar=("TRAIN", "VAL", "TEST"), help="list files whose images are taken")
    add("--val_fraction", type=cli.fraction, default=0.1, metavar="F", help="of the official training patients")
    add("--seed", type=cli.seed, default=0, metavar="K", help="of what is chosen at random")
    add("--image_column", metavar="NAME", help="column of --csv with the image files")
    add("--label_columns", metavar="A,B,...", help="columns of --csv that become the classes, in this order")
    add(
        "--patient_column", metavar="NAME", help="column of --csv with the patients; without it their images' names say"
    )
    add(
        "--uncertain",
        choices=("zeros", "ones", "drop"),
        help="what a label of -1 is; drop: its image is left out",
    )
    return parser


def body(args: argparse.Namespace) -> None:
    """Reads, divides, writes and prints the counts."""
    check(args)
    from chexnet.lists import CLASSES_FILE, splits

    splits.check_unused(args.out)
    table = read_labels(args)
    cli.say(f"=> {table.path}: {len(table):,} images of {len(set(table.patients)):,} patients")
    for name, count in zip(table.classes, table.uncertain, strict=True):
        if count:
            print(f"=> {name}: {count:,} uncertain, --uncertain {args.uncertain}")
    if table.dropped:
        print(f"=> {table.dropped:,} images left out for that")
    parts = divide(args, table)
    print(splits.format_counts(parts, table.classes))
    files = splits.write_lists(parts, table.classes, args.out)
    names = Path(args.out, CLASSES_FILE)
    classes = f" --classes {names}" if names.exists() else ""
    print(f"next: python tools/audit_split.py {' '.join(map(str, files.values()))}{classes}")


def check(args: argparse.Namespace) -> None:
    """Refuses flags that lack others, or mean nothing beside others."""
    if args.csv and not (args.image_column and args.label_columns):
        raise InputError("--csv: needs --image_column and --label_columns, too")
    needless = set(args.given) - {"metadata", "csv", "split", "out", "debug"} - set(OF_CSV if args.csv else ())
    needless -= set(NEEDS_LISTS.get(args.split, ()))
    needless -= {"official": {"val_fraction", "seed"}, "random": {"seed"}}.get(args.split, set())
    if needless:
        source = "--csv" if args.csv else "--metadata"
        raise InputError(f"--{sorted(needless)[0]}: means nothing with {source} and --split {args.split}; leave it out")
    if "reference" in NEEDS_LISTS.get(args.split, ()) and not args.reference:
        raise InputError(f"--split {args.split}: needs --reference TRAIN VAL TEST, the list files of that split")
    if args.csv and args.split in ("official", "clean"):
        raise InputError(f"--split {args.split}: is of NIH's images, expected --metadata, not --csv")


def read_labels(args: argparse.Namespace) -> "LabelTable":
    """The labels of NIH's file or of the CSV."""
    from chexnet.lists import read_csv, read_nih

    if args.metadata:
        return read_nih(args.metadata)
    columns = [column.strip() for column in args.label_columns.split(",")]
    return read_csv(args.csv, args.image_column, columns, args.patient_column, args.uncertain)


def divide(args: argparse.Namespace, table: "LabelTable") -> "Parts":
    """The parts of the split that was asked for."""
    from chexnet.lists import read_list, splits

    if args.split == "whole":
        return splits.whole(table)
    if args.split == "random":
        return splits.random(table, args.seed)
    if args.split == "official":
        return splits.official(table, *official_lists(args), args.val_fraction, args.seed)
    lists = [read_list(path, len(table.classes)) for path in args.reference]
    by_part = dict(zip(("train", "val", "test"), lists, strict=True))
    if args.split == "reference":
        return splits.reference(table, by_part)
    return splits.clean(table, by_part, *official_lists(args))


def official_lists(args: argparse.Namespace) -> "tuple[ImageList, ImageList]":
    """NIH's two lists of names, named or beside the label file."""
    from chexnet.lists import read_list

    def beside(name: str) -> Path:
        path = Path(args.metadata).parent / name
        packed = path.with_name(f"{name}.gz")
        return packed if packed.exists() else path

    train_val = args.train_val or beside("train_val_list.txt")
    return read_list(train_val, n_classes=0), read_list(args.test or beside("test_list.txt"), n_classes=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
