"""Converts PyTorch weights to Paddle's names and layouts, or back.

    python convert_torch_weights.py --torch_ckpt model.pth.tar --output pretrained_models/model_torch.pdparams
    python convert_torch_weights.py --torch_ckpt densenet121-a639ec97.pth --output densenet121.pdparams
    python convert_torch_weights.py --reverse pretrained_models/model_paddle.pdparams --output model.pth

The first gives a whole model for `eval.py --ckpt`; the second, an ImageNet network of torchvision or timm,
a backbone for `train.py --init`. PyTorch's own formats need `torch`, `.safetensors` files do not. No code
in a file is executed unless --allow_pickle says so.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet.cli import Parser, run


def build_parser() -> Parser:
    """The flags, their defaults and help."""
    parser = Parser("Convert PyTorch weights of CheXNet or DenseNet-121 to Paddle, or back.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--torch_ckpt",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="PyTorch file: a CheXNet checkpoint or state dict with 14 outputs, or an ImageNet DenseNet-121 "
        "of torchvision or timm; .safetensors too",
    )
    source.add_argument(
        "--reverse",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="go back: convert this Paddle model, .pdparams or .safetensors, to PyTorch",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        default=argparse.SUPPRESS,
        help="file to write, replaced if it exists: .pdparams or .safetensors; with --reverse .pth or .safetensors",
    )
    parser.add_argument(
        "--allow_pickle",
        action="store_true",
        help="run the code in --torch_ckpt, as a whole pickled module needs: only for a file that you trust",
    )
    return parser


def convert(args: argparse.Namespace) -> None:
    """Converts and prints the report."""
    from chexnet.convert import from_torch, to_torch

    if "reverse" in args:
        print(to_torch(args.reverse, args.output))
    else:
        print(from_torch(args.torch_ckpt, args.output, args.allow_pickle))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit code."""
    return run(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(main())
