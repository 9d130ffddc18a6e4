"""Which weights a script takes: the given ones, the published ones, or those that come with the repository."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from chexnet.errors import InputError

SHIPPED = Path(__file__).parents[2] / "pretrained_models" / "phantom_densenet121.safetensors"
"""Trained on synthetic images only, for trying the software out; a package from elsewhere does not have it."""


def choose_checkpoint(given: str | None, published: str, report: Callable[[str], None]) -> str:
    """Return the weights for images of a user's own: where nothing better is there, those for trying out.

    Scripts that measure, train or pass on weights never take the latter by themselves.

    Args:
        given: what the user asked for, None for nothing.
        published: path of the published weights, which are taken where nothing was asked for.
        report: takes a line for a person, at once: what follows loads Paddle for some seconds.

    Raises:
        InputError: there are none.
    """
    if given is None and not Path(published).exists() and SHIPPED.is_file():
        report(f"=> no --ckpt and no {published}: loading {_short(SHIPPED)}. {_notice(SHIPPED)}".rstrip())
        return _short(SHIPPED)
    ckpt = published if given is None else given
    check_exists(ckpt)
    report(f"=> loading {ckpt}")
    return ckpt


def check_exists(ckpt: str | os.PathLike[str]) -> None:
    """Raise InputError, with the ways to get one, unless there is such a file."""
    if not Path(ckpt).exists():
        raise InputError(
            f"{ckpt}: no such checkpoint. Three ways to get one: convert arnoweng's model.pth.tar with "
            "convert_torch_weights.py, download Paddle-CheXNet's model_paddle.pdparams, or train with train.py "
            "(pretrained_models/README.md says where and how). "
            "Just to see it work: --ckpt pretrained_models/phantom_densenet121.safetensors"
        )


def _short(path: Path) -> str:
    """From here, if it lies below."""
    here = Path.cwd().resolve()
    resolved = path.resolve()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else resolved)


def _notice(ckpt: Path) -> str:
    try:
        return str(json.loads(ckpt.with_suffix(".json").read_text(encoding="utf-8"))["notice"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # who loads the weights says what is wrong with their JSON
