"""Trains a network of this library on CIFAR-10: small colour photographs of ten kinds of things.

    python examples/cifar10.py --data cifar-10-python.tar.gz
    python examples/cifar10.py --predict photograph.jpg

The second asks the network that the first left in --save_dir. One that was cut short goes on, given the same command
again, after its last whole epoch. The defaults are the recipe of the text that this example comes from: a DenseNet
with a 3 x 3 stem and a growth rate of 12, images moved by up to 4 pixels and mirrored half of the time, SGD 0.1 with
momentum 0.9 and weight decay 0.0001, times 0.1 after epochs 10 and 15, 20 epochs of batches of 128. The text reports
an accuracy of 90.06 %. This code has not been run on the whole of CIFAR-10 yet.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli
from chexnet.config import BACKBONES

REFERENCE = 90.06
"""Test accuracy in percent that the text reports for densenet_cifar after 20 epochs."""


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Train a network on CIFAR-10, or ask a trained one what an image shows.")
    add = parser.add_argument
    add(
        "--data",
        metavar="FILE",
        help="cifar-10-python.tar.gz from www.cs.toronto.edu/~kriz/cifar.html; without, Paddle takes it from its cache "
        "or downloads its 170 MB",
    )
    add("--predict", metavar="IMAGE", help="train nothing: what does this image show? Its middle square is looked at")
    add("--save_dir", default="save/cifar10", help="folder for the network, its curves and the 8 x 8 test images")
    add("--network", choices=BACKBONES, default="densenet_cifar", help="those that take 32 pixels; the others say so")
    add("--epochs", type=cli.positive_int, default=20, help="passes over the training images")
    add("--batch_size", type=cli.positive_int, default=128, help="images a step")
    add("--learning_rate", type=cli.positive_float, default=0.1, help="times 0.1 after epochs 10 and 15")
    add("--seed", type=cli.seed, default=0, help="of weights, order and augmentation")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute")
    return parser


def body(args: argparse.Namespace) -> None:
    """Trains, or predicts, and prints what came of it."""
    from chexnet import device

    device.select(args.device)
    weights = Path(args.save_dir) / "network.pdparams"
    if args.predict:
        predict(Path(args.predict), weights)
    else:
        train(args, weights)


def train(args: argparse.Namespace, weights: Path) -> None:
    """Trains, writes the network, its history and the pictures, and prints accuracies."""
    import cifar10_data
    import cifar10_pictures
    from cifar10_training import Recipe
    from cifar10_training import train as train_network

    from chexnet import checkpoint
    from chexnet.errors import InputError
    from chexnet.files import check_writable
    from chexnet.training.history import write_csv

    if weights.exists():
        raise InputError(f"{weights}: is there already; choose another --save_dir, or ask this network with --predict")
    check_writable(weights, ".pdparams", keep=[])
    if args.data is None:
        cli.say("=> no --data: Paddle takes CIFAR-10 from its cache, or downloads 170 MB into it")
    images, tests = cifar10_data.read_archive(args.data or cifar10_data.download())
    cli.say(f"=> {len(images)} images to train on, {len(tests)} to test on")
    recipe = Recipe(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)})
    state = weights.with_name("run.state")
    with cli.progress_bar("step") as progress:
        network, rows = train_network(recipe, images, tests, state, cli.say, progress)
    write_csv(rows, weights.with_name("history.csv"))
    cifar10_pictures.draw_curves(rows, weights.with_name("curves.png"))
    probabilities = network.predict(tests.pixels)
    cifar10_pictures.draw_samples(tests, probabilities, weights.with_name("samples.png"))
    checkpoint.write_sidecar(weights, dataclasses.asdict(recipe))
    checkpoint.save_weights(network.state_dict(), weights)  # the last file: where it is, the run is over
    state.unlink()
    print(format_accuracies(tests.labels, probabilities.argmax(axis=1)))
    print(f"The text reports {REFERENCE} % for densenet_cifar after 20 epochs.")
    print(f"{weights.parent}: network.pdparams, history.csv, curves.png, samples.png")
    print(f"Next: python examples/cifar10.py --save_dir {weights.parent} --predict IMAGE")


def predict(image: Path, weights: Path) -> None:
    """Prints what a trained network sees in an image, the most probable first."""
    import cifar10_data
    from cifar10_training import Classifier

    from chexnet import checkpoint
    from chexnet.errors import InputError

    network_name = checkpoint.read_sidecar(weights).get("network")
    if network_name not in BACKBONES:
        raise InputError(f"{weights}: no network of this example, expected one; train it first: --data FILE")
    pixels = cifar10_data.read_image(image)
    network = Classifier(network_name)
    checkpoint.load_weights(network, weights)
    probabilities = network.predict(pixels[None])[0]
    for place in probabilities.argsort()[::-1][:3].tolist():
        print(f"{image}: {cifar10_data.CLASSES[place]} {probabilities[place]:.3f}")


def format_accuracies(labels: Sequence[int], guesses: Sequence[int]) -> str:
    """Accuracy over all test images and of each class, with 95 % intervals."""
    from cifar10_data import CLASSES

    from chexnet.metrics.proportions import wilson

    def line(what: str, cases: list[bool]) -> str:
        low, high = wilson(sum(cases), len(cases))
        share = 100 * sum(cases) / len(cases) if cases else float("nan")
        return f"{what:10} {share:6.2f} % ({100 * low:.2f} to {100 * high:.2f}), {sum(cases)} of {len(cases)}"

    right = [(int(label), bool(label == guess)) for label, guess in zip(labels, guesses, strict=True)]
    lines = [f"Accuracy on {len(right)} test images, with 95 % intervals:", line("all", [one for _, one in right])]
    lines += [line(name, [one for label, one in right if label == place]) for place, name in enumerate(CLASSES)]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
