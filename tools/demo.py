"""Make a synthetic data set, train on it, evaluate on ten crops and write a report; two to four minutes on two cores.

    python tools/demo.py

Each step is a command that is printed before it runs. An interrupted training is resumed.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from chexnet import cli
from chexnet.cli import process
from chexnet.cli.commands import load_script
from chexnet.config.argument_types import positive_int


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Make a synthetic data set, train, evaluate and write a report.", __doc__)
    add = parser.add_argument
    add("--data_dir", default="dataset/phantom", metavar="DIR", help="folder for the synthetic data set")
    add("--save_dir", default="save/demo", metavar="DIR", help="folder for the run and its report")
    add("--images", type=positive_int, default=640, metavar="N", help="number of images")
    add("--epoch", type=positive_int, default=5, metavar="N", help="number of epochs")
    return parser


def commands(data_dir: Path, save_dir: Path, images: int, epochs: int) -> Iterator[tuple[str, list[str]]]:
    """Yield script and arguments of the steps that have not been done."""
    folder, lists, best = str(data_dir / "images"), data_dir / "labels", str(save_dir / "best_model.pdparams")
    val = str(lists / "val_list.txt")
    if not (lists / "test_list.txt").exists():
        size = ["--images", str(images), "--size", "128", "--seed", "0", "--min_prevalence", "0.12"]
        yield "tools/make_phantom.py", ["--output_dir", str(data_dir), *size]
    if not (save_dir / "final.pdparams").exists():
        inputs = ["--data_dir", folder, "--train_list", str(lists / "train_list.txt"), "--val_list", val]
        small = ["--init", "random", "--resize", "72", "--crop", "64", "--batch_size", "16"]
        epoch = ["--epoch", str(epochs), "--decay_epochs", str(max(1, epochs - 1))]
        yield "train.py", ["--resume", *inputs, "--save_dir", str(save_dir), *small, *epoch]
    outputs = ["--output_json", str(save_dir / "result.json"), "--output_dir", str(save_dir / "report")]
    inputs = ["--data_dir", folder, "--test_list", str(lists / "test_list.txt"), "--val_list", val]
    yield "eval.py", [*inputs, "--ckpt", best, *outputs]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    with process.safe_output():
        args = build_parser().parse_args(argv)
        data_dir, save_dir = Path(args.data_dir), Path(args.save_dir)
        for script, arguments in commands(data_dir, save_dir, args.images, args.epoch):
            cli.echo(cli.command_line("python", script, *arguments))
            if code := load_script(script).main(arguments):
                return int(code)
        page = cli.command_line("python", "tools/serve.py", "--ckpt", save_dir / "best_model.pdparams")
        print(f"\nThe report is {save_dir / 'report' / 'report.html'}: open it in a browser.")
        print(f"The curves are {save_dir / 'curves.png'}.")
        print(f"To see the findings of images of {data_dir / 'images'} on a web page, run\n    {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
