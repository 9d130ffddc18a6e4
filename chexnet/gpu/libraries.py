"""Libraries of CUDA that Paddle 2.6 opens by names that NVIDIA's packages on PyPI do not contain."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

from chexnet.errors import InputError

LINKS = {
    "libcudnn.so": ("cudnn", "libcudnn.so.8"),
    "libcublas.so": ("cublas", "libcublas.so.11"),
    "libcublasLt.so": ("cublas", "libcublasLt.so.11"),
    "libnvrtc.so": ("cuda_nvrtc", "libnvrtc.so.11.2"),
}
"""Name that Paddle 2.6 opens -> folder in `site-packages/nvidia` and file of NVIDIA's package. Found in an installation
of paddlepaddle-gpu 2.6.2."""


def missing_libraries() -> list[str]:
    """Return the names of LINKS that cannot be opened here. Opening runs their code: call it in a child process."""
    missing = []
    for name in LINKS:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def link_libraries(folder: str | os.PathLike[str]) -> Path:
    """Create the links that Paddle 2.6 needs, to the libraries of NVIDIA's packages in this Python environment.

    The folder gets all libraries of the packages under their own names, too, because cuDNN looks for its other parts
    next to the link. `LD_LIBRARY_PATH` must contain the folder when Python starts.

    Returns:
        The absolute path of the folder.

    Raises:
        InputError: a package is not installed, or a link cannot be created.
    """
    packages = _nvidia_packages()
    sources: dict[str, Path] = {}
    for name, (package, file) in LINKS.items():
        library = packages / package / "lib" / file
        if not library.exists():
            raise InputError(
                f"{library}: not found; install NVIDIA's packages: pip install -r requirements-gpu-pypi.txt"
            )
        sources |= {path.name: path for path in library.parent.glob("*.so*")}
        sources[name] = library
    target = Path(folder).absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, source in sources.items():
            link = target / name
            if link.exists() and not link.is_symlink():
                raise InputError(f"{link}: exists and is not a link; choose another folder")
            with suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(source)
    except OSError as error:
        raise InputError(f"{target}: the links cannot be created: {error.strerror}") from error
    return target


def _nvidia_packages() -> Path:
    """Return the folder of NVIDIA's packages: the first one on the module path, or where pip would create it."""
    folders = [Path(entry) / "nvidia" for entry in sys.path if entry]
    return next((folder for folder in folders if folder.is_dir()), Path(sys.prefix) / "nvidia")
