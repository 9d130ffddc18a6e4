"""A page on this machine to drop an image on: findings, and heat maps of where.

    python tools/serve.py --ckpt save/best_model.pdparams

prints an address for the browser. Ctrl-C ends it. docs/predict.md says who can see what.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from chexnet import cli, shipped
from chexnet.config import InferenceConfig, PredictConfig


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
    from chexnet.predictor import Predictor
    from chexnet.web import Looks, serve

    options = {field.name: getattr(args, field.name) for field in fields(InferenceConfig) if hasattr(args, field.name)}
    predictor = Predictor(InferenceConfig(**options), ckpt=ckpt)
    found = predictor.find_thresholds(args.thresholds, cli.say)
    predictor.load(cli.say)
    predictor.compile()
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
