"""Files of the graph cache: one graph each, with a checksum."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chexnet.errors import InputError
from chexnet.files import is_leftover
from chexnet.inference.engine_backends import Graph
from chexnet.model import checkpoint
from chexnet.model.feature_grid import FeatureGrid

if TYPE_CHECKING:
    from chexnet.model import CheXNet

MAX_BYTES = 1 << 30
"""Largest size of all entries together. A DenseNet-121 has 29 MB."""

LEFTOVER_SECONDS = 24 * 3600
"""Age from which a temporary file in the folder belongs to a killed process."""

_ENTRY = re.compile(r"[0-9a-f]{32}\.graph")


class NetworkInfo(NamedTuple):
    """Facts about a network that a `Predictor` needs besides its engine.

    Attributes:
        supports_cam: see `CheXNet.supports_cam`.
        grid: see `CheXNet.grid`.
        bias: float32 [C], see `CheXNet.bias`; 0 for a network without class maps.
    """

    supports_cam: bool
    grid: FeatureGrid
    bias: np.ndarray

    @classmethod
    def of(cls, network: "CheXNet") -> "NetworkInfo":
        """Return the facts of a network."""
        bias = network.bias() if network.supports_cam else np.zeros(network.out_size, np.float32)
        return cls(network.supports_cam, network.grid, bias)


class Entry(NamedTuple):
    """A graph with the facts about its network, and its output for the fixed image of `GraphCache`."""

    graph: Graph
    info: NetworkInfo
    probe_output: np.ndarray


def read(path: Path, key: str) -> Entry:
    """Read an entry. Raises InputError if it is damaged or that of another key."""
    state = checkpoint.load(path)
    types = {
        **{"key": str, "program": bytes, "weights": bytes, "supports_cam": bool, "grid": tuple},
        **{"bias": np.ndarray, "probe_output": np.ndarray},
    }
    if {name: type(value) for name, value in state.items()} != types or state["key"] != key or len(state["grid"]) != 2:
        raise InputError(f"{path}: not the graph that its name stands for")
    info = NetworkInfo(state["supports_cam"], FeatureGrid(*state["grid"]), state["bias"])
    return Entry(Graph(state["program"], state["weights"]), info, state["probe_output"])


def write(path: Path, key: str, entry: Entry) -> None:
    """Write an entry atomically. Raises InputError."""
    state = {
        "key": key,
        "program": entry.graph.program,
        "weights": entry.graph.weights,
        "supports_cam": entry.info.supports_cam,
        "grid": tuple(entry.info.grid),
        "bias": entry.info.bias,
        "probe_output": entry.probe_output,
    }
    checkpoint.save(state, path)


def remove_oldest(folder: Path, keep: Path) -> None:
    """Remove the entries used longest ago until all have at most MAX_BYTES, and what killed processes left behind.

    Files that this module did not write stay. Other processes may remove files at the same time.
    """
    entries = []
    for path in folder.iterdir():
        with suppress(OSError):
            status = path.stat()
            if _ENTRY.fullmatch(path.name):
                entries.append((path != keep, -status.st_mtime, status.st_size, path))
            elif (
                is_leftover(path.name) and path.suffix == ".graph" and status.st_mtime < time.time() - LEFTOVER_SECONDS
            ):
                path.unlink()
    total = 0
    for _, _, size, path in sorted(entries):
        total += size
        if total > MAX_BYTES and path != keep:
            with suppress(OSError):  # another process reads it on Windows, or has removed it
                path.unlink()
