"""Train the texts' LeNet on MNIST: 28 x 28 gray pictures of handwritten digits.

    python examples/mnist.py --data mnist

The script first prints the shapes of the network, layer by layer. Recipe of the text that this example comes from: SGD
0.001 with momentum 0.9, 5 epochs of batches of 10, pixels in 0..1. Accuracy and loss on the 10,000 test images are
printed after every epoch. A run that was cut short is resumed after its last whole epoch when the same command is given
again. This code has not been run on the whole of MNIST yet.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli

CLASSES = tuple("0123456789")


def build_parser() -> cli.Parser:
    """Return the parser; its defaults are the text's."""
    parser = cli.Parser("Train LeNet on MNIST and measure it on the test images.", __doc__)
    add = parser.add_argument
    add(
        "--data",
        required=True,
        metavar="DIR",
        help="folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
        "t10k-labels-idx1-ubyte, each as it is or as .gz",
    )
    add("--save_dir", default="save/mnist", help="folder for the network, its curves and the 8 x 8 test images")
    add("--activation", choices=("sigmoid", "relu"), default="sigmoid", help="activation between the layers")
    add("--epochs", type=cli.positive_int, default=5, help="passes over the training images")
    add("--batch_size", type=cli.positive_int, default=10, help="images per step")
    add("--learning_rate", type=cli.positive_float, default=0.001, help="of SGD with momentum 0.9")
    add("--seed", type=cli.seed, default=0, help="random seed for weights and order")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    return parser


def body(args: argparse.Namespace) -> None:
    """Read the images, train, and print shapes, epochs and accuracies."""
    from chexnet import device

    device.select(args.device)
    import classification
    import mnist_data
    import pictures
    import text_networks
    from paddle.nn import functional

    from chexnet.errors import InputError
    from chexnet.files import check_writable

    weights = Path(args.save_dir) / "network.pdparams"
    if weights.exists():
        raise InputError(f"{weights}: is there already; choose another --save_dir")
    check_writable(weights, ".pdparams", keep=[])
    images, tests = mnist_data.read_folder(args.data)
    cli.say(f"=> {len(images)} images to train on, {len(tests)} to test on")

    def build() -> classification.Classifier:
        activation = getattr(functional, args.activation)
        lenet = text_networks.LeNet(len(CLASSES), channels=1, side=mnist_data.SIDE, activation=activation)
        return classification.Classifier(lenet, mean=[0.0], std=[1.0])

    for line in text_networks.shapes(build().body, (1, 1, mnist_data.SIDE, mnist_data.SIDE)):
        cli.say(line)
    recipe = classification.Recipe(
        network=f"lenet_{args.activation}",
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
    )
    with cli.progress_bar("step") as progress:
        probabilities = classification.run(recipe, build, images, tests, weights, cli.say, progress)
    pictures.draw_samples(tests, probabilities, CLASSES, weights.with_name("samples.png"))
    print(classification.format_accuracies(tests.labels.tolist(), probabilities.argmax(axis=1).tolist(), CLASSES))
    print(f"{weights.parent}: network.pdparams, history.csv, curves.png, samples.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
