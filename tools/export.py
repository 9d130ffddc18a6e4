"""Exports a checkpoint for programs that have neither this library nor, with ONNX, Paddle.

    python tools/export.py --ckpt save/best_model.pdparams --format onnx --out exported

writes exported/model.onnx and exported/description.json, after the written network was loaded again and had given the
checkpoint's probabilities. docs/export.md shows how to run it.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import EXPORT_FORMATS, EvalConfig, InferenceConfig


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Export a checkpoint as a graph for other programs, and verify it.", __doc__)
    add = parser.add_argument
    add("--ckpt", default=EvalConfig.ckpt, metavar="FILE", help="weight file; a JSON beside it may say what it is")
    add("--out", required=True, metavar="DIR", help="folder to write; one that this wrote before is replaced")
    add(
        "--format",
        choices=EXPORT_FORMATS,
        default=EXPORT_FORMATS[0],
        help="paddle: for Paddle Inference of the same version; onnx: for all else (needs paddle2onnx and onnxruntime)",
    )
    cli.add_checkpoint_flags(parser)
    return parser


def body(args: argparse.Namespace) -> None:
    """Exports and prints what was written."""
    cli.say(f"=> {args.ckpt}: exporting, then loading the export again to compare; this takes some seconds")
    from chexnet.deployment import DESCRIPTION, deploy

    config = InferenceConfig(ckpt=args.ckpt, backbone=args.backbone, classes=args.classes)
    done = deploy(config, args.out, args.format)
    facts, outputs = done.facts, len(done.facts["classes"])
    print(f"{done.graph}: {facts['backbone']}, {outputs} output{'s' * (outputs > 1)}, crops of {facts['crop']} px")
    print(f"Loaded again, its probabilities are those of {args.ckpt} to {facts['largest_difference']:.1e}.")
    print(f"{done.folder / DESCRIPTION} says how to prepare images; docs/export.md shows it.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
