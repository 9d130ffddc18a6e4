"""Choice of a checkpoint: the one given, the published one, or the one that comes with the repository."""

import json
import os
from pathlib import Path

from chexnet._types import LogFn
from chexnet.errors import InputError

_NAME = "pretrained_models/phantom_densenet121.safetensors"

SHIPPED = next(filter(Path.is_file, (folder / _NAME for folder in Path(__file__).parents[1:3])), Path(_NAME))
"""Checkpoint for trying the software, trained on synthetic images only: in an installed package, or in a checkout."""


def choose_checkpoint(given: str | None, published: str, log: LogFn) -> str:
    """Return the checkpoint for predictions on a user's images; SHIPPED if there is no better one.

    Scripts that evaluate, train or export weights never choose SHIPPED by themselves.

    Args:
        given: checkpoint that the user chose, if any.
        published: path of the published weights, used if `given` is None.
        log: receives a line before Paddle is loaded, which takes some seconds.

    Raises:
        InputError: the checkpoint does not exist.
    """
    if given is None and not Path(published).exists() and SHIPPED.is_file():
        log(f"=> no --ckpt and no {published}: loading {_short(SHIPPED)}. {_notice(SHIPPED)}".rstrip())
        return _short(SHIPPED)
    ckpt = published if given is None else given
    check_exists(ckpt)
    log(f"=> loading {ckpt}")
    return ckpt


def check_exists(ckpt: str | os.PathLike[str]) -> None:
    """Raise InputError, with the ways to get a checkpoint, if the file does not exist."""
    if not Path(ckpt).exists():
        raise InputError(
            f"{ckpt}: no such checkpoint. Three ways to get one: convert arnoweng's model.pth.tar with "
            "convert_torch_weights.py, download Paddle-CheXNet's model_paddle.pdparams, or train with train.py "
            "(see pretrained_models/README.md). "
            f"To try the software: --ckpt {_short(SHIPPED)}"
        )


def _short(path: Path) -> str:
    """Return a path relative to the current folder, if it is below it."""
    here = Path.cwd().resolve()
    resolved = path.resolve()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else resolved)


def _notice(ckpt: Path) -> str:
    try:
        return str(json.loads(ckpt.with_suffix(".json").read_text(encoding="utf-8"))["notice"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # loading the weights reports errors in their JSON
