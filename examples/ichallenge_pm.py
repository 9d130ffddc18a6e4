"""Trains a network of this library to tell pathologic myopia on photographs of the retina (iChallenge-PM, PALM).

    python examples/ichallenge_pm.py --data palm --labels palm/PALM-Validation-GT/PM_Label_and_Fovea_Location.xlsx

It is the library's own training on a list with one column; only the lists are made here. The defaults are the recipe of
the text that this example comes from: 224 pixels scaled to -1..1, SGD 0.001 with momentum 0.9, 5 epochs of batches of
10. But the networks see what the library sees: gray. The photographs are coloured, and become gray as all images do
(ITU-R 601 luma), so the text's numbers are a reference, not a target.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli

if TYPE_CHECKING:
    from chexnet.predictions import Predictions

REFERENCE = {
    "lenet": "that it does not learn",
    "alexnet": "about 94 %",
    "vgg16": "about 94 %",
    "googlenet": "about 95 %",
    "resnet50": "about 95 %",
}
"""What the text reports of each network's accuracy on the validation images, trained on colour."""


def build_parser() -> cli.Parser:
    """The flags; their defaults are the text's."""
    parser = cli.Parser(
        "Train a network on iChallenge-PM's photographs of the retina and measure it on its 400 validation images. The "
        "library makes them gray; the text that this example comes from keeps their colour (examples/README.md)."
    )
    add = parser.add_argument
    add(
        "--data",
        required=True,
        metavar="DIR",
        help="folder with PALM-Training400 and PALM-Validation400 as training.zip and validation.zip unpack; unpack "
        "PALM-Training400/PALM-Training400.zip there, too, and move the archive away",
    )
    add(
        "--labels",
        required=True,
        metavar="FILE",
        help="of the validation images: PM_Label_and_Fovea_Location.xlsx of valid_gt.zip (needs openpyxl), or a CSV "
        "with the columns imgName and Label",
    )
    add("--network", choices=tuple(REFERENCE), default="resnet50", help="what to train")
    add("--save_dir", default="save/ichallenge_pm", help="folder for lists, checkpoints, history and curves")
    add("--epochs", type=cli.positive_int, default=5, help="passes over the training images")
    add("--batch_size", type=cli.positive_int, default=10, help="images a step")
    add("--learning_rate", type=cli.positive_float, default=0.001, help="the same in all epochs; SGD, momentum 0.9")
    add("--seed", type=cli.seed, default=0, help="of weights, order and augmentation")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    return parser


def body(args: argparse.Namespace) -> None:
    """Makes the lists, trains, measures and prints."""
    from ichallenge_pm_lists import write_lists

    from chexnet.config import EvalConfig, TrainConfig
    from chexnet.errors import InputError
    from chexnet.evaluation import evaluate
    from chexnet.training import train

    if (Path(args.save_dir) / "config.json").exists():
        raise InputError(f"{args.save_dir}: holds another run, expected none; choose another --save_dir")
    lists = write_lists(args.data, args.labels, args.save_dir)
    config = TrainConfig(
        data_dir=args.data,
        train_list=str(lists.train),
        val_list=str(lists.val),
        classes=str(lists.classes),
        backbone=args.network,
        save_dir=args.save_dir,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        optimizer="momentum",
        scaling="symmetric",
        epoch=args.epochs,
        decay_epochs=(),
        init="random",
        seed=args.seed,
        device=args.device,
        resize=224,
        crop=224,
    )
    result = train(config, report=cli.say)
    # Not the best epoch's: that was chosen by the images which it would be measured on.
    final = str(result.best_model.with_name("final.pdparams"))
    measured = EvalConfig(data_dir=args.data, test_list=str(lists.val), ckpt=final, crops=1, device=args.device)
    with cli.progress_bar("image") as progress:
        predictions = evaluate(measured, cli.say, progress).predictions
    print(format_scores(predictions))
    print(f"The text reports {REFERENCE[args.network]} for {args.network} on colour.")
    print(f"The network after the last epoch: {final}")


def format_scores(predictions: "Predictions") -> str:
    """Accuracy at 0.5 and AUROC of the one class, with 95 % intervals, and what no network at all would reach."""
    from chexnet.metrics import delong
    from chexnet.metrics.proportions import wilson

    labels, probabilities = predictions.labels[:, 0], predictions.probabilities[:, 0]
    count, positives = len(labels), int(labels.sum())
    right = int(((probabilities >= 0.5) == labels).sum())
    low, high = (100 * end for end in wilson(right, count))
    more_frequent = max(positives, count - positives)
    ranked = delong.estimate(labels, probabilities)
    return (
        f"Accuracy at 0.5 on {count} validation images: {100 * right / count:.2f} % (95 % interval {low:.2f} to "
        f"{high:.2f}); who always gives the more frequent label: {100 * more_frequent / count:.2f} %\n"
        f"AUROC: {ranked.auroc:.4f} (95 % interval {ranked.low:.4f} to {ranked.high:.4f})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
