"""Train a DenseNet on CIFAR-10: small color photographs of ten kinds of things.

    python examples/cifar10.py --data cifar-10-python.tar.gz
    python examples/cifar10.py --predict photograph.jpg

The second command asks the network that the first one left in --save_dir. A run that was cut short is resumed after its
last whole epoch when the same command is given again.

From the text that this example comes from: a DenseNet with a 3 x 3 stem and a growth rate of 12, pixels scaled to
-1..1, SGD 0.1 with momentum 0.9 and weight decay 0.0001, times 0.1 after epochs 10 and 15, 20 epochs. The text gives no
batch size; 128 is ours. `--augment`, also ours, shifts the images by up to 4 pixels and flips half of them. The text
reports test accuracies of 90.06 % and 89.94 %. This code has not been run on the whole of CIFAR-10 yet.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.backbone_registry import list_backbones

if TYPE_CHECKING:
    from classification import Classifier

NETWORKS = (
    "densenet_cifar",
    "densenet121",
    *(name for name in list_backbones() if name not in ("densenet_cifar", "densenet121")),
)


def build_parser() -> cli.Parser:
    """Return the parser; its defaults are the text's where the text gives a value."""
    parser = cli.Parser("Train a network on CIFAR-10, or ask a trained one what an image shows.", __doc__)
    add = parser.add_argument
    add(
        "--data",
        metavar="PATH",
        help="cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html, or the folder that it unpacks to; "
        "without it Paddle uses its cached copy or downloads 170 MB",
    )
    add("--predict", metavar="IMAGE", help="image to classify with the trained network instead of training; its center")
    add("--save_dir", default="save/cifar10", help="folder for the network, its curves and the 8 x 8 test images")
    add(
        "--network",
        choices=NETWORKS,
        default="densenet_cifar",
        help="network; densenet121 is the text's for 32 pixels, 6,956,298 parameters",
    )
    add("--epochs", type=cli.positive_int, default=20, help="passes over the training images")
    add("--batch_size", type=cli.positive_int, default=128, help="images per step")
    add("--learning_rate", type=cli.positive_float, default=0.1, help="times 0.1 after epochs 10 and 15")
    add("--augment", action="store_true", help="shift training images by up to 4 pixels and flip half of them")
    add("--seed", type=cli.seed, default=0, help="random seed for weights, order and augmentation")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    return parser


def body(args: argparse.Namespace) -> None:
    """Train or predict, and print the result."""
    from chexnet import device

    device.select(args.device)
    weights = Path(args.save_dir) / "network.pdparams"
    if args.predict:
        predict(Path(args.predict), weights)
    else:
        train(args, weights)


def build(network: str) -> "Classifier":
    """Return the text's network or one of `chexnet.backbones`, on pixels scaled to -1..1.

    Raises:
        InputError: it needs larger images.
    """
    from cifar10_data import CLASSES, SIDE
    from classification import Classifier

    from chexnet import backbones
    from chexnet.backbones.densenet import DenseNetCIFAR
    from chexnet.errors import InputError

    if network == "densenet121":
        return Classifier(DenseNetCIFAR(len(CLASSES), growth=32), [0.5], [0.5])
    least = backbones.BACKBONES[network].min_input_size
    if least > SIDE:
        raise InputError(f"--network {network}: needs images of at least {least} pixels, those of CIFAR-10 have {SIDE}")
    return Classifier(backbones.BACKBONES[network](len(CLASSES)), [0.5], [0.5])


def train(args: argparse.Namespace, weights: Path) -> None:
    """Train, write the network, its history and the pictures, and print accuracies."""
    import cifar10_data
    import classification
    import pictures
    from cifar10_data import CLASSES

    from chexnet.errors import InputError
    from chexnet.files import check_writable

    if weights.exists():
        raise InputError(f"{weights}: is there already; choose another --save_dir, or ask this network with --predict")
    check_writable(weights, ".pdparams", keep=[])
    if args.data is None:
        cli.say("=> no --data: Paddle takes CIFAR-10 from its cache, or downloads 170 MB into it")
    images, tests = cifar10_data.read_archive(args.data or cifar10_data.download())
    cli.say(f"=> {len(images)} images to train on, {len(tests)} to test on")
    recipe = classification.Recipe(
        network=args.network,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        augment=args.augment,
        weight_decay=1e-4,
        decay_epochs=(10, 15),
    )
    with cli.progress_bar("step") as progress:
        probabilities = classification.run(
            recipe, lambda: build(args.network), images, tests, weights, cli.say, progress, cifar10_data.augmented
        )
    pictures.draw_samples(tests, probabilities, CLASSES, weights.with_name("samples.png"))
    print(classification.format_accuracies(tests.labels.tolist(), probabilities.argmax(axis=1).tolist(), CLASSES))
    print("The text reports 90.06 % and 89.94 % after 20 epochs.")
    print(f"{weights.parent}: network.pdparams, history.csv, curves.png, samples.png")
    sample = weights.with_name("samples.png")
    print(
        f"Next: {cli.command_line('python', 'examples/cifar10.py', '--save_dir', weights.parent, '--predict', sample)}"
    )


def predict(image: Path, weights: Path) -> None:
    """Print the three most probable classes of an image."""
    import cifar10_data

    from chexnet import checkpoint
    from chexnet.errors import InputError

    network_name = checkpoint.read_metadata(weights)[0].get("network")
    if network_name not in NETWORKS:
        raise InputError(f"{weights}: no network of this example, expected one; train it first: --data FILE")
    pixels = cifar10_data.read_image(image)
    network = build(network_name)
    checkpoint.load_weights(network, weights)
    probabilities = network.predict(pixels[None])[0]
    for index in probabilities.argsort()[::-1][:3].tolist():
        print(f"{image}: {cifar10_data.CLASSES[index]} {probabilities[index]:.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
