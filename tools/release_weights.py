"""Make a weight file for publication: half the size, with a notice that describes the weights and their limits.

    python tools/release_weights.py --ckpt save/best_model.pdparams --output model.safetensors \\
        --notice "Trained on 1,000 radiographs of one hospital. Not tested on others."

This writes model.safetensors, which contains the weights in float16 and their metadata, and model.json, a readable copy
of the metadata. Every script reads the file. predict.py shows the notice whenever it uses the weights, and on every
picture.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config.argument_types import positive_float


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Make a weight file for publication.", __doc__)
    add = parser.add_argument
    add("--ckpt", required=True, metavar="FILE", help="checkpoint to publish, with its metadata")
    add("--output", required=True, metavar="FILE.safetensors", help="weight file to write")
    add("--notice", default="", metavar="LINE", help="notice shown to everybody who uses the weights")
    add(
        "--map_limit",
        type=positive_float,
        metavar="LOGITS",
        help="logit shown at full opacity in heat maps, about the peak of a present finding (default: 10)",
    )
    return parser


def release_weights(args: argparse.Namespace) -> None:
    """Write the file and print what it contains."""
    from chexnet.model import checkpoint

    facts = checkpoint.export_weights(args.ckpt, args.output, args.notice, args.map_limit)
    print(f"{args.output}: {os.path.getsize(args.output) / 1e6:.1f} MB, SHA-256 {facts[checkpoint.WEIGHTS_SHA256]}")
    print(f"{checkpoint.metadata_path(args.output)}: {', '.join(facts)}")
    if not facts.get("notice"):
        print("The file has no notice that describes the weights; --notice adds one.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), release_weights, argv)


if __name__ == "__main__":
    sys.exit(main())
