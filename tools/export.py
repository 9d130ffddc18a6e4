"""Export a checkpoint for programs without this library and, with ONNX, without Paddle.

    python tools/export.py --ckpt save/best_model.pdparams --format onnx --output_dir exported

This writes exported/model.onnx and exported/description.json. Before that, it loads the exported network again and
compares its probabilities with those of the checkpoint. docs/export.md shows how to run it.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import EXPORT_FORMATS, InferenceConfig
from chexnet.config.crops import DENSE


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Export a checkpoint as a graph for other programs, and verify it.", __doc__)
    cli.add_config_arguments(parser, InferenceConfig, ("ckpt", "crops", "backbone", "classes_file"))
    add = parser.group("outputs").add_argument
    add("--output_dir", required=True, metavar="DIR", help="folder for the export; an earlier export is replaced")
    add(
        "--format",
        choices=EXPORT_FORMATS,
        default=EXPORT_FORMATS[0],
        help="paddle: for Paddle Inference of the same version; onnx: for other programs (needs paddle2onnx and "
        "onnxruntime)",
    )
    return parser


def export_checkpoint(args: argparse.Namespace) -> None:
    """Export the checkpoint and print the written files."""
    cli.echo(f"=> {args.ckpt}: exporting and verifying; this takes some seconds")
    from chexnet.inference.deployment import DESCRIPTION, deploy

    done = deploy(cli.config_from_args(InferenceConfig, args), args.output_dir, args.format)
    description, outputs = done.description, len(done.description["classes"])
    backbone, crop, difference = description["backbone"], description["crop"], description["largest_difference"]
    takes = f"{'whole images, windows' if description['crops'] == DENSE else 'crops'} of {crop} px"
    print(f"{done.graph}: {backbone}, {outputs} output{'s' * (outputs > 1)}, {takes}")
    print(f"Verified: its probabilities differ from those of {args.ckpt} by at most {difference:.1e}.")
    print(f"{done.folder / DESCRIPTION} describes how to prepare images; docs/export.md has an example.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), export_checkpoint, argv)


if __name__ == "__main__":
    sys.exit(main())
