"""Trains CheXNet on list files.

    python train.py --data_dir dataset/images --decay_epochs 10,15,18
    python train.py --resume

The second goes on with a run that was cut short, from what it left in --save_dir.

The defaults are those of Paddle-CheXNet's train.py: ImageNet weights, Adam 0.001, times 0.1 after epochs 10, 15 and
18, 20 epochs of batches of 128. They are not how its published mean AUROC of 0.847 came about: its logs show a run of
10 epochs and a second one, from the weights of the first, that was stopped early (one V100, about 30 minutes an epoch);
the learning rates are not in the logs. This code has not been run on the full data set yet: what was run, with logs, is
in logs/.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli
from chexnet.backbone_registry import list_backbones
from chexnet.config import ON_BAD_IMAGE, OPTIMIZERS, SCALINGS, WEIGHT_FORMATS, EvalConfig, TrainConfig


def build_parser() -> cli.Parser:
    """The flags; their defaults are TrainConfig's."""
    default = TrainConfig()
    parser = cli.Parser("Train CheXNet on ChestX-ray14 list files.", __doc__)
    add = parser.add_argument
    add("--data_dir", default=default.data_dir, help="folder of the images")
    add("--train_list", default=default.train_list, help="list file to train on: `name v1 ... v14` a line")
    add("--classes", metavar="FILE", help="names of the lists' columns, one a line, if they are not the 14")
    add("--backbone", choices=list_backbones(), default=default.backbone, help="network (docs/backbones.md)")
    add("--val_list", default=default.val_list, help="list file that chooses the best epoch")
    add("--save_dir", default=default.save_dir, help="folder for checkpoints, history and curves")
    add("--batch_size", type=cli.positive_int, default=default.batch_size, help="images a step")
    add("--learning_rate", type=cli.positive_float, default=default.learning_rate, help="before decay")
    add("--optimizer", choices=OPTIMIZERS, default=default.optimizer, help="Adam, or SGD with a momentum of 0.9")
    add("--epoch", type=cli.positive_int, default=default.epoch, help="passes over the training list")
    add(
        "--decay_epochs",
        type=cli.rising_epochs,
        default=",".join(map(str, default.decay_epochs)),
        help="epochs after which the learning rate is multiplied, rising, separated by commas",
    )
    add(
        "--decay_factor",
        type=cli.positive_float,
        default=default.decay_factor,
        help="by what it is multiplied",
    )
    add(
        "--init",
        default=default.init,
        help="first weights: imagenet (downloads), random, or a .pdparams or .safetensors file",
    )
    add("--seed", type=cli.seed, default=default.seed, help="of weights, order and augmentation")
    add("--device", choices=("auto", "cpu", "gpu"), default=default.device, help="where to compute")
    add("--num_workers", type=cli.non_negative_int, default=default.num_workers, help="decoding threads")
    add("--resize", type=cli.positive_int, default=default.resize, help="shorter side after resizing, pixels")
    add("--crop", type=cli.positive_int, default=default.crop, help="side of the square crop, pixels")
    add(
        "--scaling",
        choices=SCALINGS,
        default=default.scaling,
        help="of pixels: by ImageNet's mean and deviation, or to -1..1; the checkpoint's JSON says it to the others",
    )
    cli.add_sample_bits_flag(parser, default.sample_bits)
    add("--amp", choices=("off", "O1", "O2"), default=default.amp, help="mixed precision, on a GPU only")
    add(
        "--image_cache",
        default=default.image_cache,
        metavar="DIR",
        help="folder made by tools/build_cache.py; without it images are decoded in every epoch",
    )
    add(
        "--on_bad_image",
        choices=ON_BAD_IMAGE,
        default=default.on_bad_image,
        help="skip: decode every image first, and leave out those that cannot be used, up to 1 %% of a list",
    )
    add("--format", choices=WEIGHT_FORMATS, default=default.format, help="of the weights that are written")
    add(
        "--save_every_minutes",
        type=cli.non_negative_float,
        default=default.save_every_minutes,
        metavar="M",
        help="save the state of the run so often, beside once an epoch; 0: only then",
    )
    add(
        "--save_every_steps",
        type=cli.non_negative_int,
        default=default.save_every_steps,
        metavar="N",
        help="save it after so many steps, too; 0: do not count",
    )
    add("--keep_states", type=cli.positive_int, default=default.keep_states, help="saved states kept, the newest ones")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on from the last state in --save_dir, or from the state PATH; other flags need not be given again",
    )
    add("--force", action="store_true", help="let a resumed run have other epochs, workers, device or data folders")
    return parser


def body(args: argparse.Namespace) -> None:
    """Trains, and says what to do next."""
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    changes = {name: value for name, value in args.given.items() if name in names}
    from chexnet.data import format_skipped
    from chexnet.training import resume, train

    if args.resume is None:
        result = train(TrainConfig(**changes), log=cli.say)
    else:
        result = resume(Path(args.resume) if args.resume else None, changes, args.force, log=cli.say)
    for list_file, skipped in result.skipped.items():
        if skipped:
            print(format_skipped(skipped, list_file))
    print(f"The best model is of epoch {result.best_epoch}, AUROC_avg {result.best_auroc:.4f}: {result.best_model}")
    print(f"Next: {next_command(result.config, result.best_model)}")


def next_command(config: TrainConfig, best_model: Path) -> str:
    """Return the command that scores the best model on the test list, or on the validation list if there is none."""
    beside_val = Path(config.val_list).with_name(Path(EvalConfig.test_list).name)
    lists = (path for path in (beside_val, Path(EvalConfig.test_list)) if path.is_file())
    flags = ["--data_dir", config.data_dir, "--test_list", next(lists, config.val_list), "--ckpt", best_model]
    if config.image_cache:
        flags += ["--image_cache", config.image_cache]
    return cli.command_line("python", "eval.py", *flags)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
