"""Train the tutorial's five networks to detect pathologic myopia in photographs of the retina (iChallenge-PM, PALM).

    python examples/ichallenge_pm.py --data_dir palm --labels palm/PALM-Validation-GT/PM_Label_and_Fovea_Location.xlsx

Networks and recipe are the tutorial's: color images resized to 224 x 224 pixels and scaled to -1..1, SGD 0.001 with
momentum 0.9, batch size 10, 5 epochs. The script prints accuracy and loss on the 400 validation images after every
epoch. The tutorial's exercise, LeNet with ReLU, is `--activation relu`. To resume an interrupted run after its last
complete epoch, repeat the command. This code has not been run on the whole of iChallenge-PM yet.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import DEVICES
from chexnet.config.argument_types import positive_float, positive_int, random_seed

if TYPE_CHECKING:
    from classification import Classifier

REFERENCE = {
    "lenet": "does not train",
    "alexnet": "about 94 %",
    "vgg16": "about 94 %",
    "googlenet": "about 95 %",
    "resnet50": "about 95 %",
}
"""Accuracy on the validation images in the tutorial, for each network."""


def build_parser() -> cli.Parser:
    """Return the parser; its defaults are the tutorial's."""
    parser = cli.Parser(
        "Train a network on iChallenge-PM's photographs of the retina and evaluate it after each epoch.", __doc__
    )
    add = parser.add_argument
    add(
        "--data_dir",
        required=True,
        metavar="DIR",
        help="folder with the contents of training.zip (PALM-Training400) and validation.zip (PALM-Validation400); "
        "also unpack PALM-Training400/PALM-Training400.zip in its folder, and remove that archive",
    )
    add(
        "--labels",
        required=True,
        metavar="FILE",
        help="labels of the validation images: PM_Label_and_Fovea_Location.xlsx of valid_gt.zip (needs openpyxl), or a "
        "CSV with the columns imgName and Label",
    )
    add(
        "--backbone",
        choices=tuple(REFERENCE),
        default="resnet50",
        metavar="NAME",
        help="network to train: %(choices)s",
    )
    add("--activation", choices=("sigmoid", "relu"), default="sigmoid", help="activation of lenet")
    add("--save_dir", default="save/ichallenge_pm", help="folder for the network, its curves and two photographs")
    add("--epoch", type=positive_int, default=5, help="number of epochs")
    add("--batch_size", type=positive_int, default=10, help="images per step")
    add(
        "--learning_rate",
        type=positive_float,
        default=0.001,
        help="learning rate of SGD with momentum 0.9, the same in all epochs",
    )
    add("--seed", type=random_seed, default=0, help="random seed for initial weights and shuffling")
    add("--device", choices=DEVICES, default="auto", help="device to compute on")
    return parser


def build(network: str, activation: str) -> "Classifier":
    """Return a network with one output on 224 x 224 color pixels scaled to -1..1, LeNet with the given activation."""
    import tutorial_networks
    from classification import Classifier
    from paddle.nn import functional

    from chexnet.model.backbones import BACKBONES

    if network == "lenet":
        return Classifier(tutorial_networks.LeNet(1, activation=getattr(functional, activation)), [0.5], [0.5])
    networks = {**BACKBONES, "alexnet": tutorial_networks.AlexNet, "googlenet": tutorial_networks.GoogLeNet}
    return Classifier(networks[network](1), [0.5], [0.5])


def train_and_evaluate(args: argparse.Namespace) -> None:
    """Read the photographs, train, and print accuracy and AUROC."""
    from chexnet import device
    from chexnet.device import paddle  # noqa: F401 - before any module here imports Paddle

    device.set_device(args.device)
    device.expect_equal_shapes()
    import classification
    import ichallenge_pm_data
    import pictures

    from chexnet.errors import InputError
    from chexnet.files import check_writable

    if args.activation == "relu" and args.backbone != "lenet":
        raise InputError(f"--activation relu: changes lenet only, and --backbone is {args.backbone}")
    weights = Path(args.save_dir) / "network.pdparams"
    if weights.exists():
        raise InputError(f"{weights}: exists already; choose another --save_dir")
    photographs, _ = ichallenge_pm_data.find(args.data_dir, args.labels)
    check_writable(weights, ".pdparams", protected=[])
    with cli.progress_bar("image") as progress:
        images, tests = ichallenge_pm_data.read_folder(args.data_dir, args.labels, progress)
    cli.echo(f"=> {len(images)} images to train on, {len(tests)} to validate on")
    pictures.draw_pair(ichallenge_pm_data.pair(photographs), weights.with_name("photographs.png"))
    recipe = classification.Recipe(
        network=f"lenet_{args.activation}" if args.backbone == "lenet" else args.backbone,
        epochs=args.epoch,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
    )
    with cli.progress_bar("step") as progress:
        probabilities = classification.run(
            recipe, lambda: build(args.backbone, args.activation), images, tests, weights, cli.echo, progress
        )
    print(format_scores(tests.labels.tolist(), probabilities[:, 1].tolist()))
    if args.activation == "sigmoid":
        print(f"Published accuracy of {args.backbone} on color images: {REFERENCE[args.backbone]}.")
    print(f"{weights.parent}: network.pdparams, history.csv, curves.png, photographs.png")


def format_scores(labels: Sequence[int], probabilities: Sequence[float]) -> str:
    """Return accuracy at 0.5 and AUROC with 95 % intervals, and the accuracy of always giving the more frequent label.

    Args:
        labels: 0 or 1 per image.
        probabilities: probability of label 1 per image.
    """
    import numpy as np

    from chexnet.metrics import delong
    from chexnet.metrics.proportions import wilson

    count, positives = len(labels), sum(labels)
    correct = sum((probability >= 0.5) == label for label, probability in zip(labels, probabilities, strict=True))
    low, high = (100 * end for end in wilson(correct, count))
    more_frequent = max(positives, count - positives)
    ranked = delong.estimate_auroc(np.array(labels, np.uint8), np.array(probabilities))
    return (
        f"Accuracy at 0.5 on {count} validation images: {100 * correct / count:.2f} % (95 % interval {low:.2f} to "
        f"{high:.2f}); always giving the more frequent label: {100 * more_frequent / count:.2f} %\n"
        f"AUROC: {ranked.auroc:.4f} (95 % interval {ranked.low:.4f} to {ranked.high:.4f})"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), train_and_evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
