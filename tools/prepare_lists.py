"""Make the list files `train_list.txt`, `val_list.txt` and `test_list.txt` from the label files of a data set.

    python tools/prepare_lists.py --metadata Data_Entry_2017_v2020.csv --split official --output_dir dataset/labels

This reads NIH's label file and, from the same folder, NIH's train_val_list.txt and test_list.txt. All of them may be
gzip-compressed (.gz). Known data sets have a layout, others a column of 0 and 1 per finding:

    python tools/prepare_lists.py --csv train.csv valid.csv --layout chexpert --uncertain zeros --output_dir lists
    python tools/prepare_lists.py --csv train.csv --image_column Path --label_columns Edema,"Pleural Effusion" \\
        --where View=PA --split random --output_dir lists

Patients are taken from --patient_column, or from the file names if these contain them. Otherwise a random split is
refused, unless --each_image_a_patient states that no two images belong to the same patient. docs/data.md describes the
splits and the layouts. Nothing is overwritten: --output_dir must not contain such lists.
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
    from chexnet.data.lists import ImageList, LabelTable, Layout
    from chexnet.data.lists.splits import Splits

LIST_ARGS = {"official": ("train_val_list", "test_list"), "reference": ("reference",)}
LIST_ARGS["clean"] = LIST_ARGS["official"] + LIST_ARGS["reference"]
SPLITS = ("official", "reference", "random", "clean", "whole", "parts")
LAYOUT_ARGS = ("image_column", "finding_column", "patient_column", "patient_pattern", "reader_column", "readers")
LAYOUT_ARGS += ("split_column",)
SOURCE_ARGS = {
    "metadata": (),
    "csv": ("layout", "label_columns", "where", "each_image_a_patient", "uncertain", *LAYOUT_ARGS),
    "annotations": ("label_columns", "each_image_a_patient"),
    "npz": ("reference", "image_cache"),
}


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Make list files from NIH's label file or from those of another data set.", __doc__)
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--metadata", metavar="FILE", help="NIH's label file, Data_Entry_2017*.csv")
    labels.add_argument(
        "--csv",
        nargs="+",
        metavar="FILE",
        help="label files; several are read one after the other or, if one lacks columns, joined by common columns",
    )
    labels.add_argument("--annotations", metavar="FILE.json", help="findings, boxes and polygons of ChestX-Det")
    labels.add_argument("--npz", metavar="FILE", help="ChestMNIST; --reference checks its labels against lists")
    add = parser.add_argument
    add(
        "--split",
        choices=SPLITS,
        help="official: NIH's split; reference: that of --reference; random: 70/10/20 of the patients; clean: images "
        "in the test lists of both official and reference, for testing only; whole: all images for testing; parts: "
        "those of --split_column (default: parts, if there are any)",
    )
    add("--output_dir", required=True, metavar="DIR", help="folder for the lists; it must not contain earlier ones")
    add("--image_cache", metavar="DIR", help="with --npz: write the images to a new image cache in this folder")
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
    add_layout_arguments(parser)
    return parser


def add_layout_arguments(parser: cli.Parser) -> None:
    """Add the flags that say what the columns of --csv contain."""
    columns = parser.group("columns of --csv")
    add = columns.add_argument
    add(
        "--layout", metavar="NAME", help="layout of a known data set, see docs/data.md; other flags replace its columns"
    )
    add("--image_column", metavar="NAME", help="column of image files, or a pattern of columns such as {image_id}.png")
    add(
        "--label_columns",
        metavar="A,B=C|D,...",
        help="columns to use as classes, in this order; B=C|D: class B is present if column C or D is",
    )
    add(
        "--finding_column",
        metavar="NAME",
        help="column that names findings, of which --label_columns are the classes: one, several joined by |, or a "
        "Python list",
    )
    patients = columns.add_mutually_exclusive_group()
    patients.add_argument(
        "--patient_column",
        metavar="NAME",
        help="column with the patient IDs, which are stored next to the lists (default: taken from the file names)",
    )
    patients.add_argument(
        "--patient_pattern", metavar="REGEX", help="regular expression whose first group is the patient in a file name"
    )
    patients.add_argument(
        "--each_image_a_patient", action="store_true", help="state that no two images show the same patient"
    )
    add(
        "--where", action="append", metavar="COLUMN=VALUE", help="use only these rows; repeat for other values, columns"
    )
    add("--reader_column", metavar="NAME", help="column with the readers of images that several have read")
    add(
        "--readers",
        choices=("any", "majority", "all"),
        help="rule for several rows of one image: present if one, more than half, or all of them have the finding",
    )
    add(
        "--split_column",
        metavar="NAME",
        help='column with train, val or test; "files" for files with one of these words in their names',
    )
    add(
        "--uncertain",
        choices=("zeros", "ones", "drop"),
        help="value for uncertain labels (-1, HEDGE); drop leaves their images out",
    )


def prepare_lists(args: argparse.Namespace) -> None:
    """Read the labels, split the images, write the lists and print the counts."""
    check(args)
    from chexnet.data.lists import format_table, splits
    from chexnet.labels import CLASS_NAMES

    splits.check_unused(args.output_dir)
    if args.npz:
        split, classes = read_npz(args), CLASS_NAMES
    else:
        table = read_labels(args)
        cli.echo(format_table(table, args.uncertain))
        split, classes = split_images(args, table), table.classes
    print(splits.format_counts(split, classes))
    files = splits.write_lists(split, classes, args.output_dir)
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


def check(args: argparse.Namespace) -> None:
    """Raise InputError for flags that need other flags or have no effect."""
    source = next(name for name in SOURCE_ARGS if getattr(args, name))
    if source == "csv" and not args.layout and not (args.image_column and args.label_columns):
        raise InputError("--csv: needs --image_column and --label_columns too, or --layout")
    unused = set(args.explicit_args) - {"split", "output_dir", "debug", *SOURCE_ARGS} - set(SOURCE_ARGS[source])
    unused -= set(LIST_ARGS.get(args.split, ()))
    unused -= {"official": {"val_fraction", "seed"}, "random": {"seed"}}.get(args.split, set())
    if source == "npz" and args.split not in (None, "parts"):
        unused.add("split")
    if unused:
        raise InputError(
            f"--{sorted(unused)[0]}: has no effect with --{source} and --split {args.split or 'parts'}; leave it out"
        )
    if "reference" in LIST_ARGS.get(args.split, ()) and not args.reference:
        raise InputError(
            f"--split {args.split}: needs --reference TRAIN VAL TEST, the list files that define the split"
        )
    if source != "metadata" and args.split in ("official", "clean"):
        raise InputError(f"--split {args.split}: only for NIH's images, expected --metadata, not --{source}")


def read_labels(args: argparse.Namespace) -> "LabelTable":
    """Read the labels from NIH's file, CSV files or JSON."""
    from chexnet.data.lists import one_patient_per_image, read_json_labels, read_nih, read_tables
    from chexnet.data.lists.layouts import CHESTX_DET_CLASSES, parse_classes

    if args.metadata:
        return read_nih(args.metadata)
    if args.annotations:
        names = tuple(parse_classes(args.label_columns)) if args.label_columns else CHESTX_DET_CLASSES
        table = read_json_labels(args.annotations, names)
    else:
        table = read_tables(args.csv, layout(args), args.uncertain)
    return one_patient_per_image(table) if args.each_image_a_patient else table


def layout(args: argparse.Namespace) -> "Layout":
    """Return the layout of --layout with the columns of other flags."""
    from dataclasses import replace

    from chexnet.data.lists.layouts import Layout, layout_of, parse_classes, parse_where

    found = layout_of(args.layout) if args.layout else Layout()
    given = {name: value for name in LAYOUT_ARGS if (value := getattr(args, name)) is not None}
    found = replace(found, **{"image" if name == "image_column" else name: value for name, value in given.items()})
    if args.label_columns:
        found = replace(found, classes=parse_classes(args.label_columns))
    if not found.classes:
        raise InputError(f"--layout {args.layout}: needs --label_columns too, the findings to use as classes")
    return replace(found, where=parse_where(args.where)) if args.where else found


def read_npz(args: argparse.Namespace) -> "Splits":
    """Read the labels of --npz, and write its images to --image_cache."""
    from chexnet.data.cache import cache_arrays
    from chexnet.data.lists import read_list, read_npz_labels
    from chexnet.data.transforms import Preprocessing

    reference = None
    if args.reference:
        reference = dict(zip(("train", "val", "test"), map(read_list, args.reference), strict=True))
    data = read_npz_labels(args.npz, reference)
    for note in data.notes:
        cli.echo(f"=> {note}")
    if args.image_cache:
        total = sum(len(split.names) for split in data.splits.values())
        with cli.progress_bar("image") as progress:
            cache_arrays(args.image_cache, data.named_images(), args.npz, Preprocessing(), progress, total)
    return data.splits


def split_images(args: argparse.Namespace, table: "LabelTable") -> "Splits":
    """Return the split selected by --split."""
    from chexnet.data.lists import read_list, splits

    has_parts = any(table.parts)
    if args.split is None and not has_parts:
        raise InputError(f"--split: missing, expected one of {', '.join(SPLITS)}")
    if args.split in (None, "parts"):
        if not has_parts:
            raise InputError(f"{table.path}: does not define parts, expected --split_column or another --split")
        return splits.by_part(table)
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
