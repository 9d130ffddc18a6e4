"""Makes list files, `train_list.txt`, `val_list.txt` and `test_list.txt`, from the label files of a data set.

    python tools/prepare_lists.py --metadata Data_Entry_2017_v2020.csv --split official --out dataset/labels

takes NIH's label file and, from the folder that it is in, NIH's train_val_list.txt and test_list.txt. All of them may
be packed (.gz). Another data set comes as a CSV with a column of 0 and 1 for each finding:

    python tools/prepare_lists.py --csv train.csv --image_column Path --label_columns Edema,"Pleural Effusion" \\
        --uncertain zeros --split random --out lists

Patients are those of --patient_column, else of the images' names where these say it; where they do not, a random split
is refused unless --each_image_a_patient says that no two images are of one.
docs/data.md says what the splits are. Nothing is replaced: --out must not have such lists.
"""

import argparse
import shlex
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
OF_CSV = ("image_column", "label_columns", "patient_column", "each_image_a_patient", "uncertain")


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Make list files from NIH's label file, or from any CSV.", __doc__)
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
    patients = parser.add_mutually_exclusive_group()
    patients.add_argument(
        "--patient_column",
        metavar="NAME",
        help="column of --csv with the patients, which are kept beside the lists; default: what the images' names say",
    )
    patients.add_argument(
        "--each_image_a_patient", action="store_true", help="no two images of --csv are of one patient"
    )
    add(
        "--uncertain",
        choices=("zeros", "ones", "drop"),
        help="value of a label of -1; drop: its image is left out",
    )
    return parser


def body(args: argparse.Namespace) -> None:
    """Reads, divides, writes and prints the counts."""
    check(args)
    from chexnet.lists import splits

    splits.check_unused(args.out)
    table = read_labels(args)
    cli.say(f"=> {table.path}: {len(table):,} images of {patients(table)}")
    for name, uncertain, blank in zip(table.classes, table.uncertain, table.blank, strict=True):
        if uncertain:
            print(f"=> {name}: {uncertain:,} uncertain, --uncertain {args.uncertain}")
        if blank:
            print(f"=> {name}: {blank:,} blank, taken for absent")
    if table.dropped:
        print(f"=> {table.dropped:,} images left out for that")
    parts = divide(args, table)
    print(splits.format_counts(parts, table.classes))
    files = splits.write_lists(parts, table.classes, args.out)
    print(f"next: {shlex.join(next_command(args, list(files.values())))}")


def next_command(args: argparse.Namespace, files: "Sequence[Path]") -> list[str]:
    """What to run next, which sees all that this has seen."""
    from chexnet.lists import CLASSES_FILE

    command = ["python", "tools/audit_split.py", *map(str, files)]
    if args.metadata:
        command += ["--metadata", args.metadata]
    names = Path(args.out, CLASSES_FILE)
    if names.exists():
        command += ["--classes", str(names)]
    return command


def patients(table: "LabelTable") -> str:
    """How many patients there are, as far as they are known."""
    unknown = table.patients.count(None)
    known = len({*table.patients} - {None})
    if not unknown:
        return f"{known:,} patients"
    return f"{known:,} known patients; the patients of {unknown:,} images are unknown"


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
    from chexnet.lists import each_image_a_patient, read_csv, read_nih

    if args.metadata:
        return read_nih(args.metadata)
    columns = [column.strip() for column in args.label_columns.split(",")]
    table = read_csv(args.csv, args.image_column, columns, args.patient_column, args.uncertain)
    return each_image_a_patient(table) if args.each_image_a_patient else table


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
