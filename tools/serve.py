"""Serve a web page on this computer that shows the findings of an image dropped onto it, with heat maps.

    python tools/serve.py --ckpt save/best_model.pdparams

This prints an address for the browser. Ctrl-C stops the server. docs/predict.md describes who can access the page.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.config.argument_types import non_negative_int
from chexnet.files import shipped_weights


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same defaults."""
    parser = cli.Parser("Serve a web page that shows the findings of an image.", __doc__)
    names = {field.name for field in dataclasses.fields(InferenceConfig)} - {"num_workers"} | {"thresholds"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("server").add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; the default accepts connections from this computer only",
    )
    add("--port", type=non_negative_int, default=8000, help="port to listen on; 0 picks a free one")
    return parser


def serve_page(args: argparse.Namespace) -> None:
    """Load the network and serve until interrupted."""
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    from chexnet.inference import Predictor
    from chexnet.web import InferenceService, serve

    predictor = Predictor(cli.config_from_args(InferenceConfig, args, ckpt=ckpt), log=cli.echo)
    path_and_thresholds = predictor.find_thresholds(args.thresholds, cli.echo)
    predictor.load(cli.echo)
    predictor.compile()
    if args.host not in ("127.0.0.1", "localhost"):
        cli.echo(
            f"=> {args.host}: everyone who can reach this computer can use the page; connections are not encrypted"
        )
    serve(
        InferenceService(predictor, path_and_thresholds[1] if path_and_thresholds else None),
        args.host,
        args.port,
        lambda address: cli.echo(f"=> open {address}"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), serve_page, argv)


if __name__ == "__main__":
    sys.exit(main())
