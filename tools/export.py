"""Export a checkpoint for programs without this library and, with ONNX, without Paddle.

    python tools/export.py --ckpt save/best_model.pdparams --output_dir exported

This writes exported/model.onnx, which takes the pixels of whole radiographs and contains resizing, crops, network,
thresholds and the names of the findings, and exported/description.json. Before that, it loads the exported graph again
and compares its results with those of the checkpoint. docs/export.md shows how to run it.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import EXPORT_FORMATS, WEIGHT_TYPES, InferenceConfig, PredictConfig
from chexnet.config.argument_types import int_between
from chexnet.config.crops import DENSE, format_crops

MAX_MAP_SIDE = 4096


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Export a checkpoint as a graph for other programs, and verify it.", __doc__)
    cli.add_config_arguments(parser, InferenceConfig, ("ckpt", "crops", "backbone", "classes_file"))
    cli.add_config_arguments(parser, PredictConfig, ("thresholds",))
    add = parser.group("outputs").add_argument
    add("--output_dir", required=True, metavar="DIR", help="folder for the export; an earlier export is replaced")
    add(
        "--format",
        choices=EXPORT_FORMATS,
        default=EXPORT_FORMATS[0],
        help="onnx: for other programs (needs onnx, onnxruntime and paddle2onnx); paddle: crops for Paddle Inference "
        "of the same version",
    )
    graphs = parser.group("outputs").add_mutually_exclusive_group()
    graphs.add_argument(
        "--whole_image",
        action="store_const",
        const=True,
        help="take the pixels of whole images (default: with --format onnx)",
    )
    graphs.add_argument(
        "--no_whole_image",
        action="store_const",
        const=False,
        dest="whole_image",
        help="take crops that the program has resized and cut (default: with --format paddle)",
    )
    add(
        "--maps",
        type=_map_side,
        metavar="SIZE",
        help="also output class maps: `image` for the size of the image, or the length of their longer side in pixels",
    )
    add("--channels", type=int, choices=(1, 3), help="take gray pixels [H, W] or color [H, W, 3] (default: 1)")
    add(
        "--weights",
        choices=WEIGHT_TYPES,
        help="stored weights; float16 halves the file, the computation remains in float32 (default: float32)",
    )
    return parser


def _map_side(text: str) -> int | str:
    return text if text == "image" else int_between(1, MAX_MAP_SIDE)(text)


def export_checkpoint(args: argparse.Namespace) -> None:
    """Export the checkpoint and print the written files."""
    cli.echo(f"=> {args.ckpt}: exporting and verifying; this takes some seconds")
    from chexnet.inference.deployment import DESCRIPTION, deploy

    done = deploy(
        cli.config_from_args(InferenceConfig, args),
        args.output_dir,
        args.format,
        whole_image=args.whole_image,
        thresholds=args.thresholds,
        log=cli.echo,
        maps=args.maps,
        channels=args.channels,
        weights=args.weights,
    )
    description, outputs = done.description, len(done.description["classes"])
    crops = f"{format_crops(description['crops'])} of {description['crop']} px"
    takes = f"whole images, {crops}" if description["whole_image"] or description["crops"] == DENSE else crops
    print(f"{done.graph}: {description['backbone']}, {outputs} output{'s' * (outputs > 1)}, {takes}")
    for engine, difference in description["differences"].items():
        print(f"Verified in {engine}: its probabilities differ from those of {args.ckpt} by at most {difference:.1e}.")
    for engine in description["not_verified_in"]:
        print(f"Not verified in {engine}, which is not installed.")
    print(f"{done.folder / DESCRIPTION} describes the graph; docs/export.md has examples.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), export_checkpoint, argv)


if __name__ == "__main__":
    sys.exit(main())
