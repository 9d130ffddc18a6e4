"""Recipes: named sets of defaults of a training run, with their sources."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chexnet.config import TrainConfig
from chexnet.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """A set of defaults. docs/recipes.md describes each recipe and where it departs from its source.

    Attributes:
        source: what the settings follow.
        reported: mean AUROC that the authors report, with the split, and how they chose the epoch.
        settings: fields of TrainConfig that differ from its defaults.
    """

    source: str
    reported: str
    settings: Mapping[str, Any] = field(default_factory=dict)


RECIPES: Mapping[str, Recipe] = {
    "paddle-chexnet": Recipe(
        "Paddle-CheXNet, train.py (github.com/jm12138/Paddle-CheXNet)",
        "0.847 on the shared 70/10/20 split by two runs, not by these defaults; highest validation AUROC",
    ),
    "chexnet": Recipe(
        "Rajpurkar et al., CheXNet, arXiv:1711.05225, sections 2.1 and 3",
        "0.841 on its own undisclosed split; lowest validation loss",
        {
            "batch_size": 16,
            "epoch": 50,
            "schedule": "plateau",
            "patience": 0,
            "select": "loss",
            "resize": 224,
            "crop": 224,
        },
    ),
    "zoogzog": Recipe(
        "github.com/zoogzog/chexnet, ChexnetTrainer.py and Main.py",
        "0.851 on the shared 70/10/20 split; lowest validation loss",
        {
            "batch_size": 16,
            "learning_rate": 1e-4,
            "weight_decay": 1e-5,
            "epoch": 100,
            "schedule": "plateau",
            "patience": 5,
            "select": "loss",
            "early_stopping": 0,
            "augment": "resized_crop",
        },
    ),
    "modern": Recipe(
        "github.com/lambert-x/medical_mae, FINETUNE.md (Xiao et al., arXiv:2210.12843), and an average of the weights",
        "0.822 on NIH's official split, by weights pretrained on X-rays; epoch with the highest test AUROC",
        {
            "optimizer": "adamw",
            "weight_decay": 0.05,
            "epoch": 75,
            "schedule": "cosine",
            "warmup_epochs": 5,
            "early_stopping": 0,
            "augment": "resized_crop",
            "ema": 0.9999,
        },
    ),
    "highres": Recipe("paddle-chexnet with four times the pixels", "none", {"resize": 512, "crop": 448}),
}
"""Each of `chexnet.config.RECIPE_NAMES` -> the recipe."""

FIELDS = tuple(
    member.name
    for member in dataclasses.fields(TrainConfig)
    if (member.metadata["group"] == "training" and member.name not in {"recipe", "seed"})
    or member.name in {"resize", "crop", "augment", "no_flip", "init", "backbone"}
)
"""Fields of TrainConfig that a recipe determines, by its settings or by leaving the default."""


def recipe_config(recipe: str = TrainConfig.recipe, **changes: Any) -> TrainConfig:
    """Return the configuration of a recipe.

    Args:
        recipe: one of `chexnet.config.RECIPE_NAMES`.
        changes: fields of TrainConfig, which override the recipe.

    Raises:
        InputError: there is no such recipe.

    Example:
        >>> recipe_config("zoogzog", batch_size=32).learning_rate
        0.0001
    """
    return TrainConfig(**{"recipe": recipe, **_find(recipe).settings, **changes})


def describe(config: TrainConfig) -> list[str]:
    """Return the recipe of a configuration, with all its values, and how the configuration differs from it."""
    expected = recipe_config(config.recipe)
    values = ", ".join(f"{name} {_format(getattr(config, name))}" for name in FIELDS)
    overrides = [
        f"{name} {_format(getattr(config, name))} (recipe: {_format(getattr(expected, name))})"
        for name in FIELDS
        if getattr(config, name) != getattr(expected, name)
    ]
    return [
        f"=> recipe {config.recipe}: {values}",
        *([f"=> overrides of the recipe: {', '.join(overrides)}"] if overrides else []),
    ]


def _find(name: str) -> Recipe:
    if name not in RECIPES:
        raise InputError(f"recipe is {str(name)[:60]!r}, expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "off" if value is None else str(value)
