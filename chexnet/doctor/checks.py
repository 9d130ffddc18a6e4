"""Check versions, packages, devices, engines, processor, memory and folders."""

import locale
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chexnet import __version__
from chexnet.config import CPUS, ENGINES, GRAPH_CACHE_OFF, GRAPH_CACHE_VARIABLE
from chexnet.errors import InputError
from chexnet.files import check_writable, shipped_weights
from chexnet.files.user_cache import default_graph_cache
from chexnet.gpu.cards import find_cards
from chexnet.gpu.child import call_in_child
from chexnet.gpu.paddle_build import PaddleBuild, find_paddle

REQUIRED = ("numpy", "Pillow", "scipy", "scikit-learn", "matplotlib", "jinja2", "safetensors", "filelock", "tqdm")
"""Packages that an installation of this one brings along."""

OPTIONAL = {
    "openvino": ("cpu", "the fastest engine on a CPU"),
    "onnxruntime": ("onnx", "export to ONNX, and an engine"),
    "paddle2onnx": ("onnx", "export to ONNX"),
    "starlette": ("web", "the server"),
    "pydicom": ("dicom", "DICOM files"),
    "pylibjpeg": ("dicom", "compressed DICOM files"),
    "highdicom": ("dicom", "results as DICOM"),
    "pynetdicom": ("dicom", "receiving and sending DICOM"),
}
"""Package -> extra of this package that installs it, and what it is for."""

MIN_FREE_MEMORY = 2 << 30
"""Bytes of free memory below which ten crops of several images may not fit: one `predict.py` took 0.6 GB."""

_ENGINE_TIMEOUT = 120.0
"""Seconds to wait for an engine's first import."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        topic: what was checked, in a few words.
        found: what was found.
        advice: what to do about it; empty if nothing is wrong.
        fatal: True if nothing can be computed before that is done.
    """

    topic: str
    found: str
    advice: str = ""
    fatal: bool = False


def check_machine(folder: str | os.PathLike[str] = ".") -> Iterator[Check]:
    """Yield the checks, the quick ones first.

    Args:
        folder: the folder for outputs, which is tested for writing.
    """
    yield Check("Paddle-CheXNet", f"{__version__} in {Path(__file__).parents[1]}")
    yield _python()
    yield _processor()
    yield _memory()
    yield from _packages()
    paddle = find_paddle()
    yield _paddle(paddle)
    yield _gpu(paddle)
    if paddle.version and not paddle.failure:
        yield from (_engine(name) for name in ENGINES)
    yield from _folders(folder)
    yield _weights()
    yield _encoding()


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable}), {platform.platform()}"
    return Check("Python", found)


def _processor() -> Check:
    threads = os.environ.get("OMP_NUM_THREADS")
    limit = f", OMP_NUM_THREADS={threads}" if threads else ""
    found = f"{_processor_name()}, {CPUS} of {os.cpu_count()} cores usable{limit}"
    if threads and threads.isdecimal() and int(threads) < CPUS:
        return Check("processor", found, "unset OMP_NUM_THREADS to use all cores")
    return Check("processor", found)


def _processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> Check:
    free = free_memory()
    if free is None:
        return Check("free memory", "unknown on this system")
    found = f"{free / 1e9:.1f} GB"
    if free < MIN_FREE_MEMORY:
        return Check("free memory", found, "close other programs, or use --crops 1 and a smaller --batch_size")
    return Check("free memory", found)


def free_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None if the system does not tell.

    On Linux it is the smaller one of what the machine has available and what is left below the limit of the cgroup.
    """
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        cgroup = Path("/sys/fs/cgroup")
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((cgroup / "memory.current").read_text(encoding="ascii")))
    return min(found, default=None)


def _packages() -> Iterator[Check]:
    missing = [name for name in REQUIRED if not _version(name)]
    found = ", ".join(f"{name} {_version(name)}" for name in REQUIRED if name not in missing)
    if missing:
        yield Check("packages", found, f"pip install {' '.join(missing)}", fatal=True)
    else:
        yield Check("packages", found)
    for name, (extra, purpose) in OPTIONAL.items():
        if found := _version(name):
            yield Check(name, found)
        else:
            yield Check(name, f"not installed; for {purpose}: pip install 'paddle-chexnet[{extra}]'")


def _version(package: str) -> str:
    with suppress(PackageNotFoundError):
        return version(package)
    return ""


def _paddle(paddle: PaddleBuild) -> Check:
    if len(paddle.packages) > 1:
        advice = f"pip uninstall -y {' '.join(name.split()[0] for name in paddle.packages)}, then install one of them"
        return Check("Paddle", f"{' and '.join(paddle.packages)}, which overwrite each other", advice, fatal=True)
    if not paddle.version:
        return Check("Paddle", str(paddle), "pip install paddlepaddle, or for a GPU see docs/gpu.md", fatal=True)
    if paddle.failure:
        return Check(
            "Paddle", f"{paddle}: {paddle.failure}", "install it again in a new virtual environment", fatal=True
        )
    return Check("Paddle", str(paddle))


def _gpu(paddle: PaddleBuild) -> Check:
    cards = find_cards()
    if not cards.cards:
        return Check("GPU", cards.problem or "none")
    found = "; ".join(map(str, cards.cards))
    if not paddle.devices:
        return Check("GPU", f"{found}; Paddle does not use it", "python tools/check_gpu.py names what is missing")
    return Check("GPU", found)


def _engine(name: str) -> Check:
    tried = call_in_child("chexnet.doctor.checks:try_engine", name, timeout=_ENGINE_TIMEOUT)
    topic = f"engine {name}"
    if tried.failure:
        return Check(topic, f"does not work: {tried.failure}", f"use another --engine, or reinstall {name}")
    return Check(topic, tried.values["found"])


def try_engine(name: str) -> Iterator[dict[str, str]]:
    """Ask an engine for its precisions. To be called in a child process."""
    from chexnet.inference import engines

    if reason := engines.why_unavailable(name):
        yield {"found": reason}
    else:
        yield {"found": f"on the CPU: {', '.join(sorted(engines.cpu_precisions(name), reverse=True))}"}


def _folders(folder: str | os.PathLike[str]) -> Iterator[Check]:
    graphs = default_graph_cache()
    yield _folder("outputs", os.path.abspath(folder), "choose a folder that you may write to")
    yield _folder("temporary files", tempfile.gettempdir(), "set TMPDIR to a folder that you may write to")
    if graphs == GRAPH_CACHE_OFF or graphs is None:
        yield Check("cache of graphs", f"off; {GRAPH_CACHE_VARIABLE} names a folder for it")
    else:
        yield _folder(
            "cache of graphs", graphs, f"set {GRAPH_CACHE_VARIABLE} to a folder that you may write to, or to off"
        )


def _folder(topic: str, folder: str, advice: str) -> Check:
    existing = Path(folder)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        check_writable(existing / "chexnet_doctor.txt", ".txt", protected=())
        free = shutil.disk_usage(existing).free
    except (InputError, OSError) as error:
        return Check(topic, str(error), advice)
    return Check(topic, f"{folder}, {free / 1e9:.1f} GB free")


def _weights() -> Check:
    path = shipped_weights.SHIPPED
    found = str(path) if path.is_file() else "not in this installation"
    return Check("weights for trying", found)


def _encoding() -> Check:
    found = f"{locale.getpreferredencoding(False)}, terminal {getattr(sys.__stdout__, 'encoding', None)}"
    return Check("text encoding", found)
