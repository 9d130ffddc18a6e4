"""Receive radiographs over the network (DICOM C-STORE), predict them, and send the results to an archive.

    python tools/dicom_node.py --ckpt save/best_model.pdparams --peer ARCHIVE@127.0.0.1:4242 --spool spool

Ctrl-C ends it; what is not delivered stays in the spool. docs/deployment.md describes the results and the guarantees.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.config.argument_types import non_negative_int, positive_int
from chexnet.config.dicom_addresses import ae_title, peer
from chexnet.errors import InputError
from chexnet.files import shipped_weights

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same defaults."""
    parser = cli.Parser("Receive radiographs by DICOM and send their results to a peer.", __doc__)
    names = {field.name for field in dataclasses.fields(InferenceConfig)} | {"thresholds", "top"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("network").add_argument
    add("--peer", required=True, type=peer, metavar="TITLE@HOST:PORT", help="application that receives the results")
    add("--title", type=ae_title, default="CHEXNET", help="title of this application")
    add("--host", default="127.0.0.1", help="address to listen on; the default accepts this computer only")
    add("--port", type=non_negative_int, default=11112, help="port to listen on; 0 picks a free one")
    add(
        "--allow",
        type=ae_title,
        nargs="+",
        default=[],
        metavar="TITLE",
        help="titles that may send images (default: all; required with another --host)",
    )
    add("--spool", required=True, metavar="DIR", help="folder for images and results that are not delivered yet")
    add("--queue", type=positive_int, default=1000, metavar="N", help="refuse images while N are in the spool")
    return parser


def run_node(args: argparse.Namespace) -> None:
    """Load the network and run until interrupted."""
    if args.host not in LOOPBACK and not args.allow:
        raise InputError(f"--host {args.host}: other computers can send; name the titles that may with --allow")
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    from chexnet.inference import Predictor
    from chexnet.inference.dicom_report import ModelIdentity
    from chexnet.inference.dicom_results import check_installed
    from chexnet.web.dicom_service import NodeConfig, running_node

    check_installed("tools/dicom_node.py", "pynetdicom")
    predictor = Predictor(cli.config_from_args(InferenceConfig, args, ckpt=ckpt), log=cli.echo)
    found = predictor.find_thresholds(args.thresholds, cli.echo)
    predictor.load(cli.echo)
    predictor.compile()
    model = ModelIdentity.of(predictor, found[1] if found else None)
    config = NodeConfig(args.title, args.host, args.port, tuple(args.allow), args.peer, args.top)
    with running_node(config, predictor, model, args.spool, args.queue, cli.echo) as node:
        cli.echo(f"=> {args.title} listens on {args.host}:{node.port} and sends to {args.peer}")
        node.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), run_node, argv)


if __name__ == "__main__":
    sys.exit(main())
