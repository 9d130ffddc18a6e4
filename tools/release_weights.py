"""Makes a weight file for passing on: half the size, with a line on what it is and is not.

    python tools/release_weights.py --ckpt save/best_model.pdparams --output model.safetensors \\
        --notice "Trained on 1,000 radiographs of one hospital. Not tested on others."

writes model.safetensors in float16, which every script reads, with its metadata in it, and model.json, a copy of that
for people. predict.py shows the notice whenever it uses the weights, and in every picture.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from chexnet import cli


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Make a weight file for passing on.", __doc__)
    add = parser.add_argument
    add("--ckpt", required=True, metavar="FILE", help="weight file; its metadata is passed on, too")
    add("--output", required=True, metavar="FILE.safetensors", help="the file to write")
    add("--notice", default="", metavar="LINE", help="what everybody has to know who uses the weights")
    add(
        "--map_limit",
        type=cli.positive_float,
        metavar="LOGITS",
        help="what heat maps show at full strength, about what those of present findings reach; 10 if nothing is said",
    )
    return parser


def body(args: argparse.Namespace) -> None:
    """Writes the file and prints what is passed on."""
    from chexnet import checkpoint

    facts = checkpoint.release(args.ckpt, args.output, args.notice, args.map_limit)
    print(f"{args.output}: {os.path.getsize(args.output) / 1e6:.1f} MB, SHA-256 {facts[checkpoint.WEIGHTS_SHA256]}")
    print(f"{checkpoint.sidecar_path(args.output)}: {', '.join(facts)}")
    if not facts.get("notice"):
        print("It says nothing of what the weights are: --notice does.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
