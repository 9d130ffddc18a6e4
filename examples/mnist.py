"""Train the tutorial's LeNet on MNIST: 28 x 28 gray images of handwritten digits.

    python examples/mnist.py --data_dir mnist

The script first prints the shapes of the network, layer by layer. Recipe of the tutorial: SGD 0.001 with momentum 0.9,
batch size 10, 5 epochs, pixels in 0..1. The script prints accuracy and loss on the 10,000 test images after every
epoch. To resume an interrupted run after its last complete epoch, repeat the command. This code has not been run on the
whole of MNIST yet.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli
from chexnet.config import DEVICES
from chexnet.config.argument_types import positive_float, positive_int, random_seed

CLASSES = tuple("0123456789")


def build_parser() -> cli.Parser:
    """Return the parser; its defaults are the tutorial's."""
    parser = cli.Parser("Train LeNet on MNIST and evaluate it on the test images.", __doc__)
    add = parser.add_argument
    add(
        "--data_dir",
        required=True,
        metavar="DIR",
        help="folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        "t10k-labels-idx1-ubyte, each uncompressed or as .gz",
    )
    add(
        "--save_dir", default="save/mnist", help="folder for the network, its curves and a picture of 8 x 8 test images"
    )
    add("--activation", choices=("sigmoid", "relu"), default="sigmoid", help="activation between the layers")
    add("--epoch", type=positive_int, default=5, help="number of epochs")
    add("--batch_size", type=positive_int, default=10, help="images per step")
    add("--learning_rate", type=positive_float, default=0.001, help="learning rate of SGD with momentum 0.9")
    add("--seed", type=random_seed, default=0, help="random seed for initial weights and shuffling")
    add("--device", choices=DEVICES, default="auto", help="device to compute on")
    return parser


def train_lenet(args: argparse.Namespace) -> None:
    """Read the images, train, and print shapes, epochs and accuracies."""
    from chexnet import device
    from chexnet.device import paddle  # noqa: F401 - before any module here imports Paddle

    device.set_device(args.device)
    device.expect_equal_shapes()
    import classification
    import mnist_data
    import pictures
    import tutorial_networks
    from paddle.nn import functional

    from chexnet.errors import InputError
    from chexnet.files import check_writable

    weights = Path(args.save_dir) / "network.pdparams"
    if weights.exists():
        raise InputError(f"{weights}: exists already; choose another --save_dir")
    check_writable(weights, ".pdparams", protected=[])
    images, tests = mnist_data.read_folder(args.data_dir)
    cli.echo(f"=> {len(images)} images to train on, {len(tests)} to test on")

    def build() -> classification.Classifier:
        activation = getattr(functional, args.activation)
        lenet = tutorial_networks.LeNet(len(CLASSES), channels=1, side=mnist_data.SIDE, activation=activation)
        return classification.Classifier(lenet, mean=[0.0], std=[1.0])

    for line in tutorial_networks.shapes(build().body, (1, 1, mnist_data.SIDE, mnist_data.SIDE)):
        cli.echo(line)
    recipe = classification.Recipe(
        network=f"lenet_{args.activation}",
        epochs=args.epoch,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
    )
    with cli.progress_bar("step") as progress:
        probabilities = classification.run(recipe, build, images, tests, weights, cli.echo, progress)
    pictures.draw_samples(tests, probabilities, CLASSES, weights.with_name("samples.png"))
    print(classification.format_accuracies(tests.labels.tolist(), probabilities.argmax(axis=1).tolist(), CLASSES))
    print(f"{weights.parent}: network.pdparams, history.csv, curves.png, samples.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), train_lenet, argv)


if __name__ == "__main__":
    sys.exit(main())
