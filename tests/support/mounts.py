"""File systems that tests mount, where they may."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """`mount(folder, "--bind", other)`, or with other arguments of mount(8), makes the folder and gives it back."""
    mounted: list[Path] = []

    def mount(folder: Path, *how: str | Path, kind: str = "folder") -> Path:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            folder.touch()
        else:
            folder.mkdir(exist_ok=True)
        try:
            done = subprocess.run(
                ["mount", *map(str, how), str(folder)], capture_output=True, text=True, check=False, timeout=60
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
    """A file system of so many KiB; another call gives another one."""

    def disk(kib: int) -> Path:
        return mount(tmp_path / f"disk_{kib}", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs")

    return disk
