"""Mount file systems in tests, if permitted."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return `mount(folder, "--bind", other)`, or with other arguments of mount(8), which mounts on `folder`."""
    mounted: list[Path] = []

    def mount(folder: Path, *options: str | Path, kind: str = "folder") -> Path:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            folder.touch()
        else:
            folder.mkdir(exist_ok=True)
        try:
            done = subprocess.run(
                ["mount", *map(str, options), str(folder)], capture_output=True, text=True, check=False, timeout=60
            )
        except OSError as error:
            pytest.skip(f"mount: {error}")
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)


@pytest.fixture
def small_disk(tmp_path: Path, mount: Mount) -> Callable[[int], Path]:
    """Return `disk(kib)`, which mounts a new file system of this size."""

    def disk(kib: int) -> Path:
        return mount(tmp_path / f"disk_{kib}", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs")

    return disk
