"""A page on this machine to drop an image on: findings, and heat maps of where.

    python tools/serve.py --ckpt save/best_model.pdparams

prints an address for the browser. Ctrl-C ends it. docs/predict.md says who can see what.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli, shipped
from chexnet.config import PredictConfig


def build_parser() -> cli.Parser:
    """The flags; their defaults are PredictConfig's."""
    default = PredictConfig()
    parser = cli.Parser("Serve a page to drop an image on.", __doc__)
    add = parser.add_argument
    add("--ckpt", default=default.ckpt, help=shipped.HELP)
    add("--thresholds", metavar="FILE.json", help="operating points; default: those beside the weights, if any")
    add("--host", default="127.0.0.1", help="address to listen on; this one is heard on this machine only")
    add("--port", type=cli.non_negative_int, default=8000, help="to listen on, 0 for any that is free")
    cli.add_checkpoint_flags(parser)
    cli.add_computing_flags(parser, default, workers=False)
    return parser


def body(args: argparse.Namespace) -> None:
    """Loads the network and serves until it is interrupted."""
    ckpt = shipped.choose_checkpoint(args.given.get("ckpt"), args.ckpt, cli.say)
    from chexnet import model
    from chexnet.lists import class_names
    from chexnet.predictor import Predictor
    from chexnet.thresholds import find_thresholds
    from chexnet.web import Looks, serve

    named = class_names(args.classes) if args.classes else None
    opened = model.open_checkpoint(ckpt, args.backbone, named, args.sample_bits)
    classes = opened.description.classes
    crops = args.crops or opened.description.crops
    found = find_thresholds(args.thresholds, ckpt, opened.sha256, classes, crops, cli.say)
    predictor = Predictor(
        opened,
        crops,
        args.engine,
        args.precision,
        args.device,
        report=cli.say,
    )
    if args.host not in ("127.0.0.1", "localhost"):
        cli.say(f"=> {args.host}: whoever reaches this machine can use the page; nothing is encrypted")
    serve(
        Looks(predictor, found[1] if found else None),
        args.host,
        args.port,
        lambda address: cli.say(f"=> open {address}"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
