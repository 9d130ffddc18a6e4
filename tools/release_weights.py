"""Make a weight file for publication: half the size, with a notice that describes the weights and their limits.

    python tools/release_weights.py --ckpt save/best_model.pdparams --output model.safetensors \\
        --notice "Trained on 1,000 radiographs of one hospital. Not tested on others." --report report/metrics.json

This writes model.safetensors, which contains the weights in float16 and their metadata, model.json, a readable copy of
the metadata, and model.card.md, the model card that tools/model_card.py describes. Every script reads the weights.
predict.py shows the notice whenever it uses them, and on every picture.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import CardConfig
from chexnet.config.argument_types import positive_float


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Make a weight file for publication.", __doc__)
    add = parser.add_argument
    add("--ckpt", required=True, metavar="FILE", help="checkpoint to publish, with its metadata")
    add("--output", required=True, metavar="FILE.safetensors", help="weight file to write")
    add("--notice", default="", metavar="LINE", help="notice shown to everybody who uses the weights")
    add(
        "--map_limit",
        type=positive_float,
        metavar="LOGITS",
        help="logit shown at full opacity in heat maps, about the peak of a present finding (default: 10)",
    )
    cli.add_config_arguments(parser, CardConfig)
    return parser


def release_weights(args: argparse.Namespace) -> None:
    """Write the file and its model card, and print what they contain."""
    config = cli.config_from_args(CardConfig, args)
    from chexnet.evaluation.model_card import card_path, read_card_inputs, render_card
    from chexnet.files import check_writable, write_text
    from chexnet.model import checkpoint

    card = card_path(args.output)
    check_writable(card, ".md", protected=[args.ckpt, *filter(None, vars(config).values())], others=[args.output])
    read_card_inputs(args.ckpt, config)  # finds errors before anything is written
    facts = checkpoint.export_weights(args.ckpt, args.output, args.notice, args.map_limit, card.name)
    write_text(card, render_card(read_card_inputs(args.output, config)))
    print(f"{args.output}: {os.path.getsize(args.output) / 1e6:.1f} MB, SHA-256 {facts[checkpoint.WEIGHTS_SHA256]}")
    print(f"{checkpoint.metadata_path(args.output)}: {', '.join(facts)}")
    print(f"{card}: the model card; it says unknown where no flag gives a file")
    if not facts.get("notice"):
        print("The file has no notice that describes the weights; --notice adds one.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), release_weights, argv)


if __name__ == "__main__":
    sys.exit(main())
