"""Compiled graphs of checkpoints, kept between runs so that the next one need not import Paddle.

An entry is one file. Its name is the checksum of its key: the weights' checksum, what else the graph depends on, the
versions of all programs that made it, and the processor. The file is a pickle of plain values with a checksum, read
without executing anything (`chexnet.model.checkpoint`). Each time, the compiled engine has to reproduce the output for
a fixed image that it gave when the entry was written. An entry that fails any of this is made again.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import chexnet
from chexnet import device, model
from chexnet._types import LogFn
from chexnet.config import GRAPH_CACHE_OFF
from chexnet.config.backbone_registry import is_built_in
from chexnet.errors import InputError
from chexnet.files.user_cache import default_graph_cache
from chexnet.inference import graph_entries
from chexnet.inference.engine_backends import Engine
from chexnet.inference.engines import EngineSpec
from chexnet.inference.graph_entries import Entry, NetworkInfo

if TYPE_CHECKING:
    from chexnet.model import CheXNet

TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 5e-2}
"""Maximum difference between two outputs for the probe, relative to the largest output.

On one processor the outputs are equal; the rest is for processors that call themselves the same."""


@dataclass
class GraphCache:
    """The entries of one checkpoint for one engine.

    Attributes:
        folder: folder of the entries of all checkpoints.
        spec: the engine.
        key: what all entries of this checkpoint have in common.
        crop: side of the network's input, or None for any height and width.
        probe: fixed image, uint8 [1, 1, H, W].
        log: receives a line about each entry that is written, refused or cannot be written.
    """

    folder: Path
    spec: EngineSpec
    key: Mapping[str, Any]
    crop: int | None
    probe: np.ndarray
    log: LogFn

    def __post_init__(self) -> None:
        self._entries: dict[bool, Entry | None] = {}

    def usable(self) -> bool:
        """Return whether there is an entry, or one can be written; if not, say why."""
        if any(self.path(maps).exists() for maps in (True, False)):
            return True
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # entries are copies of the weights
            probe = self.folder / f".{os.getpid()}.graph.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            self.log(f"=> graph cache: {self.folder}: cannot be written: {error.strerror}; continuing without it")
            return False
        return True

    def path(self, maps: bool) -> Path:
        """Return the file of an entry, for class maps or for probabilities."""
        return self.folder / f"{hashlib.sha256(self._key(maps).encode()).hexdigest()[:32]}.graph"

    def info(self) -> NetworkInfo | None:
        """Return the facts of the network, or None if there is no entry of it."""
        return next((entry.info for entry in map(self._entry, (True, False)) if entry), None)

    def engine(self, maps: bool, build_network: Callable[[], "CheXNet"]) -> Engine:
        """Return the compiled engine from its entry; if there is none, compile and write one.

        Args:
            maps: as for `EngineSpec.compile`.
            build_network: builds the network; called only if there is no entry.
        """
        entry = self._entry(maps)
        del self._entries[maps]  # frees the graph
        if entry and (engine := self._verified(entry, maps)):
            return engine
        network = build_network()
        graph = self.spec.export(network, self.crop, maps)
        engine = self.spec.load(graph)
        self._write(maps, Entry(graph, NetworkInfo.of(network), engine.predict(self.probe)))
        return engine

    def _key(self, maps: bool) -> str:
        return json.dumps({**self.key, "maps": maps}, sort_keys=True)

    def _entry(self, maps: bool) -> Entry | None:
        """Read an entry once; None if it does not exist or is damaged."""
        if maps not in self._entries:
            path = self.path(maps)
            self._entries[maps] = None
            if path.exists():
                try:
                    self._entries[maps] = graph_entries.read(path, self._key(maps))
                except InputError as error:
                    self.log(f"=> graph cache: {error}; compiling again")
        return self._entries[maps]

    def _verified(self, entry: Entry, maps: bool) -> Engine | None:
        """Compile the graph of an entry; None if it does not give the output for the probe that it gave before."""
        path = self.path(maps)
        try:
            engine = self.spec.load(entry.graph)
            found, expected = engine.predict(self.probe), entry.probe_output
        except InputError:
            raise
        except Exception as error:  # an engine raises almost anything for a graph that it does not understand
            self.log(f"=> graph cache: {path}: {str(error).splitlines()[0][:200]}; compiling again")
            return None
        tolerance = TOLERANCE[self.spec.precision] * np.abs(expected).max(initial=0)
        if found.shape != expected.shape or not (np.abs(found - expected) <= tolerance).all():
            self.log(f"=> graph cache: {path}: gives other numbers than when it was written; compiling again")
            return None
        with suppress(OSError):  # a folder that cannot be written
            os.utime(path)  # the oldest entries are removed first
        return engine

    def _write(self, maps: bool, entry: Entry) -> None:
        if not np.isfinite(entry.probe_output).all():
            return
        path = self.path(maps)
        try:
            graph_entries.write(path, self._key(maps), entry)
        except InputError as error:
            self.log(f"=> graph cache: {error}; continuing without it")
            return
        size = path.stat().st_size / 1e6
        self.log(f"=> graph cache: wrote {path} ({size:.0f} MB) for a faster start; --graph_cache off writes nothing")
        graph_entries.remove_oldest(self.folder, keep=path)


def open_cache(
    choice: str | None,
    spec: EngineSpec,
    opened: "model.Checkpoint",
    crop: int | None,
    log: LogFn,
    features: bool = False,
) -> GraphCache | None:
    """Return the entries of a checkpoint for an engine.

    Args:
        choice: value of `--graph_cache`.
        spec: the engine.
        opened: the checkpoint.
        crop: side of the network's input, or None for any height and width.
        log: see `GraphCache`.
        features: whether the graphs for class maps are those of `chexnet.model.feature_maps`.

    Returns:
        None if graphs of this engine or of this backbone are not kept, or nothing can be written or read.
    """
    folder = cache_folder(choice)
    if folder is None or not spec.loads_graphs or spec.cuda or not is_built_in(opened.config.backbone):
        return None
    config = opened.config
    key = {
        "ckpt_sha256": opened.sha256,
        "backbone": config.backbone,
        "classes": len(config.classes),
        "normalization": config.preprocessing.scaling,
        "crop": crop,
        "features": features,
        "engine": spec.engine,
        "engine_version": spec.version,
        "precision": spec.precision,
        "paddle": device.paddle_version(),
        "chexnet": chexnet.__version__,
        "source": _source_checksum(),
        "processor": _processor(),
    }
    graphs = GraphCache(folder, spec, key, crop, _probe(config.preprocessing.crop), log)
    return graphs if graphs.usable() else None


def cache_folder(choice: str | None) -> Path | None:
    """Return the folder of the entries, or None if they are turned off.

    Args:
        choice: a folder or `off`; None for `default_graph_cache`.
    """
    choice = choice or default_graph_cache()
    return None if choice in (None, GRAPH_CACHE_OFF) else Path(choice)


def _probe(side: int) -> np.ndarray:
    """Return a fixed image with large and small structures, uint8 [1, 1, side, side]."""
    y, x = np.mgrid[:side, :side] / side
    waves = np.sin(7 * x + 3 * y) + np.sin(31 * x * y) + np.random.default_rng(0).normal(0, 0.3, (side, side))
    return np.clip(128 + 50 * waves, 0, 255).astype(np.uint8)[None, None]


@cache
def _source_checksum() -> str:
    """Return a checksum of the code that turns weights into a graph. A new version of it makes new entries."""
    library = Path(chexnet.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*library.glob("model/**/*.py"), *library.glob("inference/*.py"), *library.glob("data/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _processor() -> str:
    """Return a description of the processor."""
    lines = []
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                break  # the first processor
            if line.startswith(("vendor_id", "model name", "flags", "Features", "CPU ")):
                lines.append(" ".join(line.split()))
    name = "\n".join(lines) or os.environ.get("PROCESSOR_IDENTIFIER", "")
    return f"{platform.machine()} {hashlib.sha256(name.encode()).hexdigest()[:16]}"
