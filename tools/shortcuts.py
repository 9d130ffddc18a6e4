"""Find out whether a network uses drains, pacemakers or markers in place of findings, from pairs of images.

    python tools/make_phantom.py --output_dir pairs --pairs 50 --seed 7
    python tools/shortcuts.py --ckpt save/best_model.pdparams --pairs pairs/pairs.csv --output_dir shortcuts

The two images of a pair differ in one thing only. The script prints how much each thing changes the logit of each
finding, and names the shortcuts. It writes shortcuts.json, and pairs of heat maps as PNG. Synthetic pairs are for
networks trained on synthetic images. docs/shortcuts.md has the rule and describes pairs of your own.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.files import shipped_weights


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same defaults."""
    parser = cli.Parser("Find shortcuts of a network from pairs of images.", __doc__)
    cli.add_config_arguments(parser, PredictConfig, {field.name for field in dataclasses.fields(InferenceConfig)})
    parser.group("data").add_argument(
        "--pairs", required=True, metavar="FILE.csv", help="file of pairs: patient, planted, without, with"
    )
    parser.group("outputs").add_argument(
        "--output_dir", required=True, metavar="DIR", help="folder for shortcuts.json and the pictures"
    )
    return parser


def find_shortcuts(args: argparse.Namespace) -> None:
    """Predict the pairs, print the result and write it."""
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    config = cli.config_from_args(InferenceConfig, args, ckpt=ckpt)
    from chexnet.evaluation.shortcuts import check_output, check_shortcuts, format_result, write_result
    from chexnet.inference import Predictor

    check_output(args.output_dir, args.pairs)
    predictor = Predictor(config, log=cli.echo)
    predictor.load(cli.echo)
    with cli.progress_bar("image") as progress:
        result = check_shortcuts(predictor, args.pairs, progress)
    print(format_result(result))
    for path in write_result(result, predictor, args.output_dir):
        print(f"=> {path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), find_shortcuts, argv)


if __name__ == "__main__":
    sys.exit(main())
