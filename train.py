"""Train CheXNet on list files.

    python train.py --data_dir dataset/images --decay_epochs 10,15,18
    python train.py --recipe zoogzog --save_dir save/zoogzog
    python train.py --resume
    python -m paddle.distributed.launch --gpus 0,1,2,3 --log_dir /tmp/log --log_level ERROR train.py --sync_bn

The third command resumes an interrupted run from the saved states in --save_dir. The fourth trains on several GPUs
(docs/scaling.md).

The defaults are those of Paddle-CheXNet's train.py: ImageNet weights, Adam at 0.001, times 0.1 after epochs 10, 15 and
18, 20 epochs with batches of 128. They did not produce its published mean AUROC of 0.847, which took two runs.
docs/recipes.md describes these and the other recipes. This code has not been run on the full data set yet; logs/
contains the runs so far.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli
from chexnet.config import EvalConfig, TrainConfig
from chexnet.config.training_recipes import recipe_config


def build_parser() -> cli.Parser:
    """Return the parser: the flags of TrainConfig and those that resume a run."""
    parser = cli.Parser("Train CheXNet on ChestX-ray14 list files.", __doc__)
    cli.add_config_arguments(parser, TrainConfig)
    add = parser.group("resuming").add_argument
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="resume from the last state in --save_dir, or from the state PATH; the run keeps its other flags",
    )
    add(
        "--force",
        action="store_true",
        help="with --resume: allow another number of epochs or workers, another device, or moved data",
    )
    return parser


def train_or_resume(args: argparse.Namespace) -> None:
    """Train or resume, and print the best model and the next command."""
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    changes = {name: value for name, value in args.explicit_args.items() if name in names}
    from chexnet.data import format_skipped
    from chexnet.distributed import is_first
    from chexnet.training import resume, train

    if args.resume is None:
        result = train(recipe_config(**changes), log=cli.echo)
    else:
        result = resume(Path(args.resume) if args.resume else None, changes, args.force, log=cli.echo)
    if not is_first():
        return
    for list_file, skipped in result.skipped.items():
        if skipped:
            print(format_skipped(skipped, list_file))
    print(f"Best model: epoch {result.best_epoch}, AUROC_avg {result.best_auroc:.4f}: {result.best_model}")
    print(f"Next: {next_command(result.config, result.best_model)}")


def next_command(config: TrainConfig, best_model: Path) -> str:
    """Return the command that evaluates the best model on the test list or, without one, on the validation list."""
    next_to_val = Path(config.val_list).with_name(Path(EvalConfig.test_list).name)
    lists = (path for path in (next_to_val, Path(EvalConfig.test_list)) if path.is_file())
    flags = ["--data_dir", config.data_dir, "--test_list", next(lists, config.val_list), "--ckpt", best_model]
    if config.image_cache:
        flags += ["--image_cache", config.image_cache]
    return cli.command_line("python", "eval.py", *flags)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), train_or_resume, argv, several_processes=True)


if __name__ == "__main__":
    sys.exit(main())
