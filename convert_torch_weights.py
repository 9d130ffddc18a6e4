"""Converts PyTorch weights to Paddle's names and layouts, or back.

    python convert_torch_weights.py --torch_ckpt model.pth.tar --output pretrained_models/model_torch.pdparams
    python convert_torch_weights.py --torch_ckpt densenet121-a639ec97.pth --output densenet121.pdparams
    python convert_torch_weights.py --reverse pretrained_models/model_paddle.pdparams --output model.pth

The first writes a whole model for `eval.py --ckpt`. The second, an ImageNet network of torchvision or timm, becomes
a backbone for `train.py --init`. No code in a file is executed unless --allow_pickle says so. PyTorch itself is needed
for --reverse alone, and not for `.safetensors`.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet.cli import Parser, positive_int, run
from chexnet.config import CROPS
from chexnet.errors import InputError


def build_parser() -> Parser:
    """The flags, their defaults and help."""
    parser = Parser("Convert PyTorch weights of CheXNet or DenseNet-121 to Paddle, or back.", __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--torch_ckpt",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="PyTorch file with a DenseNet-121: a checkpoint, a state dict or a whole module, .safetensors too",
    )
    source.add_argument(
        "--reverse",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="Paddle model, .pdparams or .safetensors, to convert to PyTorch",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        default=argparse.SUPPRESS,
        help="file to write, replaced if it exists: .pdparams or .safetensors; with --reverse .pth or .safetensors",
    )
    add = parser.add_argument
    add("--key", metavar="NAME", help="network to take, if --torch_ckpt holds several")
    add(
        "--classes",
        metavar="FILE",
        help="names of the outputs, one per line, in their order; the 14 of ChestX-ray14 else",
    )
    add("--resize", type=positive_int, help="shorter side after resizing, pixels; 256 where the program is not known")
    add("--crop", type=positive_int, help="side of the crop, pixels; 224 where the program is not known")
    add("--crops", type=int, choices=CROPS, help="crops per image that eval.py and predict.py average; 10 else")
    add(
        "--scaling",
        choices=("imagenet", "symmetric", "unit", "torchxrayvision"),
        help="pixel values that the network was trained on: ImageNet's mean and deviation, -1..1, 0..1 or -1024..1024; "
        "imagenet else",
    )
    add(
        "--allow_pickle",
        action="store_true",
        help="run the code in --torch_ckpt, which very few files need: only for a file that you trust",
    )
    return parser


def convert(args: argparse.Namespace) -> None:
    """Converts and prints the report."""
    if "reverse" in args:
        if others := [name for name in args.given if name not in ("reverse", "output", "debug")]:
            raise InputError(f"--{others[0]}: is for --torch_ckpt, expected none with --reverse")
        from chexnet.convert import to_torch

        print(to_torch(args.reverse, args.output))
        return
    from chexnet.convert import Choices, from_torch
    from chexnet.lists import class_names

    choices = Choices(
        classes=class_names(args.classes) if args.classes else None,
        resize=args.resize,
        crop=args.crop,
        crops=args.crops,
        scaling=args.scaling,
        key=args.key,
    )
    print(from_torch(args.torch_ckpt, args.output, args.allow_pickle, choices))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns the exit code."""
    return run(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(main())
