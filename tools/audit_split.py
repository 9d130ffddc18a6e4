"""Check list files: what they are, patients in two lists, changed labels, missing images, overlap with training data.

    python tools/audit_split.py dataset/labels/*_list.txt --metadata Data_Entry_2017_v2020.csv --data_dir dataset/images

This prints counts, known lists and the published results on them, overlaps between the lists, and warnings. Files may
be gzip-compressed (.gz). docs/data.md has the details.
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
    """Return the parser."""
    parser = cli.Parser("Check list files for problems.", __doc__)
    add = parser.add_argument
    add("lists", nargs="+", metavar="LIST", help="list files of one data set, for example its training and test lists")
    add("--metadata", metavar="FILE", help="NIH's label file, Data_Entry_2017*.csv, to check the labels against")
    add("--official", nargs="+", metavar="FILE", help="NIH's test_list.txt or other lists, to compare the images with")
    add("--data_dir", metavar="DIR", help="folder of the images, to check that none is missing")
    add("--ckpt", metavar="FILE", help="checkpoint whose training images are compared with the lists")
    add(
        "--classes_file",
        metavar="FILE",
        help="file with the class names of the lists, one per line (default: the 14 of ChestX-ray14)",
    )
    add("--output_json", metavar="FILE.json", help="write all results to this JSON file")
    return parser


def audit_lists(args: argparse.Namespace) -> None:
    """Audit the lists, print the result and write it."""
    from chexnet.data.audit import audit, format_audit
    from chexnet.data.lists import count_labels, read_classes, read_list, read_nih
    from chexnet.files import check_writable, write_text
    from chexnet.labels import CLASS_NAMES

    official = args.official or []
    inputs = [*args.lists, *official, *filter(None, (args.metadata, args.ckpt, args.classes_file))]
    if args.output_json:
        check_writable(args.output_json, ".json", protected=inputs)
    classes = read_classes(args.classes_file) if args.classes_file else CLASS_NAMES
    found = audit(
        [read_list(path, len(classes)) for path in args.lists],
        classes,
        table=read_nih(args.metadata) if args.metadata else None,
        data_dir=args.data_dir,
        official=[read_list(path, count_labels(path)) for path in official],
        metadata=read_metadata(args.ckpt) if args.ckpt else None,
    )
    print(format_audit(found))
    if args.output_json:
        write_text(args.output_json, json.dumps(found.to_dict(), indent=2) + "\n")


def read_metadata(ckpt: str) -> dict[str, Any]:
    """Return the metadata of a checkpoint, which must include the fingerprint of its training images."""
    from chexnet.data.audit import KEY
    from chexnet.model.checkpoint import open_weights

    if not Path(ckpt).exists():
        raise InputError(f"{ckpt}: no such checkpoint (--ckpt)")
    file = open_weights(ckpt)
    if KEY not in file.metadata:
        raise InputError(
            f"{file.metadata_source}: has no fingerprint of the training images, expected the key {KEY!r} as written "
            "by train.py; pass the training list as another LIST instead of --ckpt"
        )
    return file.metadata


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), audit_lists, argv)


if __name__ == "__main__":
    sys.exit(main())
