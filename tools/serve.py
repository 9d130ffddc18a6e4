"""Serve a web page and a JSON API on this computer that show the findings of uploaded images, with heat maps.

    python tools/serve.py --ckpt save/best_model.pdparams
    python tools/serve.py --host 0.0.0.0 --token_file token.txt

This prints an address for the browser. Ctrl-C stops the server. docs/deployment.md describes the API and who can access
it.
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
    parser = cli.Parser("Serve a web page and a JSON API that show the findings of images.", __doc__)
    names = {field.name for field in dataclasses.fields(InferenceConfig)} | {"thresholds"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("server").add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; the default accepts connections from this computer only, others need a token",
    )
    add("--port", type=non_negative_int, default=8000, help="port to listen on; 0 picks a free one")
    add(
        "--token_file",
        metavar="FILE",
        help="file with the token that requests have to contain (default: $CHEXNET_TOKEN, else none)",
    )
    add(
        "--allowed_host",
        metavar="NAME",
        nargs="+",
        default=[],
        help="further host names that the server is reached by, for example that of a reverse proxy",
    )
    return parser


def serve_page(args: argparse.Namespace) -> None:
    """Load the network and serve until interrupted."""
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    from chexnet import web

    config = web.check_server(args.host, args.port, args.token_file, tuple(args.allowed_host))
    with web.listen(config) as listener:  # a port in use is reported before the network is loaded
        from chexnet.inference import Predictor

        predictor = Predictor(cli.config_from_args(InferenceConfig, args, ckpt=ckpt), log=cli.echo)
        path_and_thresholds = predictor.find_thresholds(args.thresholds, cli.echo)
        predictor.load(cli.echo)
        predictor.compile()
        if config.token and not web.is_loopback(config.host):
            cli.echo(f"=> {args.host}: connections are not encrypted; docs/deployment.md describes a reverse proxy")
        service = web.InferenceService(predictor, path_and_thresholds[1] if path_and_thresholds else None)
        web.serve(service, config, listener, lambda address: cli.echo(f"=> open {address}"), cli.echo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), serve_page, argv)


if __name__ == "__main__":
    sys.exit(main())
