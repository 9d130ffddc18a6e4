"""Convert PyTorch weights to Paddle's names and layouts, or back.

    python convert_torch_weights.py --torch_ckpt model.pth.tar --output pretrained_models/model_torch.pdparams
    python convert_torch_weights.py --torch_ckpt densenet121-a639ec97.pth --output densenet121.pdparams
    python convert_torch_weights.py --reverse pretrained_models/model_paddle.pdparams --output model.pth

The first command writes a complete model for `eval.py --ckpt`. The second one turns an ImageNet network of torchvision
or timm into a backbone for `train.py --init`. Code in a file is executed only with --allow_pickle. PyTorch is needed
only for --reverse with `.pth`.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet.cli import Parser, run
from chexnet.config import NORMALIZATIONS
from chexnet.config.argument_types import positive_int
from chexnet.config.crops import CROPS, DEFAULT_CROPS, crops_argument
from chexnet.errors import InputError


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser("Convert PyTorch weights of CheXNet or DenseNet-121 to Paddle, or back.", __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--torch_ckpt",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="PyTorch file with a DenseNet-121: a checkpoint, a state dict or a whole module; also .safetensors",
    )
    source.add_argument(
        "--reverse",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="Paddle model to convert to PyTorch, .pdparams or .safetensors",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        default=argparse.SUPPRESS,
        help="file to write, replaced if it exists: .pdparams or .safetensors; with --reverse, .pth or .safetensors",
    )
    add = parser.add_argument
    add("--key", metavar="NAME", help="name of the network to convert, if --torch_ckpt contains several")
    add(
        "--classes_file",
        metavar="FILE",
        help="file with the class names in the order of the outputs, one per line (default: the 14 of ChestX-ray14)",
    )
    add(
        "--resize",
        type=positive_int,
        help="shorter side after resizing, in pixels (default: that of the program that wrote the file, if recognized; "
        "else 256)",
    )
    add(
        "--crop",
        type=positive_int,
        help="side of the square crop, in pixels (default: that of the program that wrote the file, if recognized; "
        "else 224)",
    )
    add(
        "--crops",
        type=crops_argument,
        choices=CROPS,
        help=f"crops per image that eval.py and predict.py average, or dense evaluation (default: {DEFAULT_CROPS})",
    )
    add(
        "--normalization",
        choices=(*NORMALIZATIONS, "torchxrayvision"),
        help="pixel values that the network was trained on: ImageNet mean/std, [-1, 1], [0, 1] or [-1024, 1024] "
        "(default: imagenet)",
    )
    add(
        "--allow_pickle",
        action="store_true",
        help="allow --torch_ckpt to execute code, which very few files need; only for files that you trust",
    )
    return parser


def convert(args: argparse.Namespace) -> None:
    """Convert and print a summary."""
    if "reverse" in args:
        if others := [name for name in args.explicit_args if name not in ("reverse", "output", "debug")]:
            raise InputError(f"--{others[0]}: is for --torch_ckpt only; leave it out with --reverse")
        from chexnet.model.convert import to_torch

        print(to_torch(args.reverse, args.output))
        return
    from chexnet.data.lists import class_names
    from chexnet.model.convert import ConversionOptions, from_torch

    options = ConversionOptions(
        classes=class_names(args.classes_file) if args.classes_file else None,
        resize=args.resize,
        crop=args.crop,
        crops=args.crops,
        normalization=args.normalization,
        key=args.key,
    )
    print(from_torch(args.torch_ckpt, args.output, args.allow_pickle, options))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(main())
