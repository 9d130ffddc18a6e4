"""Write a model card: what a checkpoint is, what it was trained and tested on, and what it is not for.

    python tools/model_card.py --ckpt save/best_model.pdparams --report report/metrics.json \\
        --train_list dataset/labels/train_list.txt --val_list dataset/labels/val_list.txt \\
        --test_list dataset/labels/test_list.txt --details details.json

This writes save/best_model.card.md, in Markdown with Hugging Face's metadata. Numbers come from the files; details.json
has what only people know. Whatever is missing is written as unknown. pretrained_models/README.md lists them.
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import CardConfig


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Write a model card of a checkpoint.", __doc__)
    parser.add_argument("--ckpt", required=True, metavar="FILE", help="checkpoint, .pdparams or .safetensors")
    cli.add_config_arguments(parser, CardConfig)
    parser.group("outputs").add_argument(
        "--output", metavar="FILE.md", help="file to write (default: NAME.card.md next to the checkpoint)"
    )
    return parser


def write_card(args: argparse.Namespace) -> None:
    """Write the card and print what it lacks."""
    config = cli.config_from_args(CardConfig, args)
    from chexnet.evaluation.model_card import DETAILS, card_path, read_card_inputs, render_card
    from chexnet.files import check_writable, write_text

    output = args.output or str(card_path(args.ckpt))
    check_writable(output, ".md", protected=[args.ckpt, *filter(None, vars(config).values())])
    inputs = read_card_inputs(args.ckpt, config)
    write_text(output, render_card(inputs))
    print(f"=> {output}")
    if missing := [name for name in DETAILS if name not in inputs.details]:
        print(f"written as unknown, unless --details FILE.json says it: {', '.join(missing)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), write_card, argv)


if __name__ == "__main__":
    sys.exit(main())
