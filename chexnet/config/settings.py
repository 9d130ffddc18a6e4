"""Settings: dataclass fields that are also command-line flags."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

GROUPS = ("data", "model", "training", "inference", "hardware", "outputs")
"""Titles of the groups in `--help`, in order."""


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    type: Callable[[str], Any] | None = None,
    choices: tuple[Any, ...] | Callable[[], tuple[Any, ...]] | None = None,
    metavar: str | None = None,
    nargs: str | None = None,
) -> Any:
    """Return a dataclass field with the description of its flag, see `cli.add_config_arguments`.

    Args:
        default: default value; `dataclasses.MISSING` makes the flag required.
        help: help text, in which `%` is written `%%`.
        group: one of GROUPS.
        type: function that converts the text of the flag; None keeps the text.
        choices: allowed values, or a function that returns them when the parser is built.
        metavar: placeholder for the value in `--help`.
        nargs: number of values, as for argparse.
    """
    metadata = {"help": help, "group": group, "type": type, "choices": choices, "metavar": metavar, "nargs": nargs}
    return dataclasses.field(default=default, metadata=metadata)


def same_setting(config: Any, name: str) -> Any:
    """Return a copy of a field of another configuration: same default, same flag."""
    (field,) = (field for field in dataclasses.fields(config) if field.name == name)
    return dataclasses.field(default=field.default, metadata=field.metadata)


def choices_of(field: "dataclasses.Field[Any]") -> tuple[Any, ...] | None:
    """Return the allowed values of a field, or None if all are allowed."""
    choices = field.metadata.get("choices")
    return choices() if callable(choices) else choices


data, model, training, inference, hardware, outputs = (partial(setting, group=group) for group in GROUPS)
"""`setting` for each group."""
