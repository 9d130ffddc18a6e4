"""Looks for what is wrong with list files: patients in two of them, changed labels, missing images, seen patients.

    python tools/audit_split.py dataset/labels/*_list.txt --metadata Data_Entry_2017_v2020.csv --data_dir dataset/images

prints counts, what the lists share, and warnings. Files may be packed (.gz). docs/data.md says more.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chexnet import cli
from chexnet.errors import InputError


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Look for what is wrong with list files.", __doc__)
    add = parser.add_argument
    add("lists", nargs="+", metavar="LIST", help="list files of one data set, as for training, validation and testing")
    add("--metadata", metavar="FILE", help="NIH's label file, Data_Entry_2017*.csv: compare the labels with it")
    add("--official", nargs="+", metavar="FILE", help="NIH's test_list.txt or others: compare the images")
    add("--data_dir", metavar="DIR", help="folder of the images: look whether all are there")
    add("--ckpt", metavar="FILE", help="a checkpoint: compare with what it was trained on")
    add("--classes", metavar="FILE", help="names of the labels, one a line, if they are not the 14")
    add("--json", metavar="FILE.json", help="write everything there")
    return parser


def body(args: argparse.Namespace) -> None:
    """Audits, prints and writes."""
    from chexnet.audit import audit, format_audit
    from chexnet.files import check_writable, write_text
    from chexnet.labels import CLASS_NAMES
    from chexnet.lists import read_classes, read_list, read_nih

    official = args.official or []
    inputs = [*args.lists, *official, *filter(None, (args.metadata, args.ckpt, args.classes))]
    if args.json:
        check_writable(args.json, ".json", keep=inputs)
    classes = read_classes(args.classes) if args.classes else CLASS_NAMES
    found = audit(
        [read_list(path, len(classes)) for path in args.lists],
        classes,
        table=read_nih(args.metadata) if args.metadata else None,
        data_dir=args.data_dir,
        official=[read_list(path, n_classes=0) for path in official],
        trained=trained_on(args.ckpt) if args.ckpt else None,
    )
    print(format_audit(found))
    if args.json:
        write_text(args.json, json.dumps(found.facts(), indent=2) + "\n")


def trained_on(ckpt: str) -> dict[str, Any]:
    """The metadata of a checkpoint, which has to say what it was trained on."""
    from chexnet.audit import KEY
    from chexnet.checkpoint import open_weights

    if not Path(ckpt).exists():
        raise InputError(f"{ckpt}: no such checkpoint (--ckpt)")
    file = open_weights(ckpt)
    if KEY not in file.metadata:
        raise InputError(
            f"{file.metadata_source}: does not say what it was trained on, expected {KEY!r} in it, as train.py"
            " writes it; audit the lists that it was trained on instead"
        )
    return file.metadata


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
