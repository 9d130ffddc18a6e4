"""Build a web page that reads radiographs in the browser, without a server: no image leaves the reader's computer.

    python tools/build_page.py --ckpt save/best_model.pdparams --output_dir page
    python -m http.server --directory page --bind 127.0.0.1

This writes a folder of static files that any web server can serve, also below another address. The page needs Node.js
and its packages to be built (`npm ci --prefix chexnet/web/worker`), not to be served. docs/page.md describes it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli
from chexnet.config import PredictConfig
from chexnet.config.crops import CROPS, DENSE, crops_argument
from chexnet.files import shipped_weights


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same meaning."""
    parser = cli.Parser("Build a web page that reads radiographs in the browser.", __doc__)
    cli.add_config_arguments(parser, PredictConfig, ("ckpt", "backbone", "classes_file", "thresholds"))
    parser.group("inference").add_argument(
        "--crops",
        type=crops_argument,
        choices=CROPS,
        default=DENSE,
        help="crops per image, averaged; dense: all windows of the whole image, in one pass (default: %(default)s)",
    )
    parser.group("outputs").add_argument(
        "--output_dir",
        "--out",
        required=True,
        metavar="DIR",
        help="folder for the page; an earlier page is replaced",
    )
    return parser


def build(args: argparse.Namespace) -> None:
    """Build the page and print how to open it."""
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    from chexnet.config import InferenceConfig
    from chexnet.inference import Predictor
    from chexnet.web import static_page

    static_page.check_output(args.output_dir, [Path(ckpt)])
    predictor = Predictor(cli.config_from_args(InferenceConfig, args, ckpt=ckpt, device="cpu"), log=cli.echo)
    path_and_thresholds = predictor.find_thresholds(args.thresholds, cli.echo)
    thresholds = path_and_thresholds[1] if path_and_thresholds else None
    static_page.build_page(predictor, args.output_dir, thresholds, cli.echo)
    size = sum(path.stat().st_size for path in Path(args.output_dir).iterdir())
    print(f"{args.output_dir}: the page, {size / 1e6:.0f} MB. To open it, run")
    print(f"    {cli.command_line('python', '-m', 'http.server', '--bind', '127.0.0.1', '--directory', args.output_dir)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), build, argv)


if __name__ == "__main__":
    sys.exit(main())
