"""Merged image caches against a cache that was built in one run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_folder, run_script, write_png

from chexnet.data import cache
from chexnet.data.cache import building
from chexnet.data.cache.manifest import MANIFEST, PIXELS
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

SMALL = Preprocessing(32, crop=32)
SIZES = ((40, 48), (48, 40), (33, 90))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folder(tmp_path, 11, sizes=SIZES)[0]


@pytest.fixture
def build(images: Path, tmp_path: Path) -> Callable[..., str]:
    """A function that caches some of the images, by their numbers, and returns the folder."""

    def build(folder: str, *numbers: int) -> str:
        names = [f"list_{number:03d}.png" for number in numbers]
        cache.build_cache(images, names, tmp_path / folder, SMALL, 0)
        return str(tmp_path / folder)

    return build


def contents(folder: str | Path) -> tuple[bytes, bytes]:
    return Path(folder, PIXELS).read_bytes(), Path(folder, MANIFEST).read_bytes()


def test_merged_caches_have_the_bytes_of_one_run(build: Callable[..., str], tmp_path: Path) -> None:
    parts = [build("a", 3, 1, 2), build("empty"), build("b", 9, 0), build("c", 4)]
    whole = build("whole", 3, 1, 2, 9, 0, 4)
    seen: list[tuple[int, int]] = []
    assert cache.merge_caches(parts, tmp_path / "m", SMALL, lambda *counts: seen.append(counts)) == 6
    assert contents(tmp_path / "m") == contents(whole)
    assert seen == [(done, 6) for done in range(1, 7)]
    assert {path.name for path in (tmp_path / "m").iterdir()} == {PIXELS, MANIFEST}
    assert cache.ImageCache(tmp_path / "m", SMALL).find_damaged() == []


def test_equal_images_in_two_caches_are_copied_once(build: Callable[..., str], tmp_path: Path) -> None:
    parts = [build("a", 0, 1, 2), build("b", 2, 1, 3)]
    assert cache.merge_caches(parts, tmp_path / "m", SMALL) == 4
    assert contents(tmp_path / "m") == contents(build("whole", 0, 1, 2, 3))


def test_replaced_images_are_left_out(build: Callable[..., str], images: Path, tmp_path: Path) -> None:
    build("a", 0, 1)
    write_png(images / "list_000.png", (50, 60), seed=99)
    parts = [build("a", 0, 1), build("b", 2)]
    assert cache.merge_caches(parts, tmp_path / "m", SMALL) == 3
    assert contents(tmp_path / "m") == contents(build("whole", 1, 0, 2))


def test_different_pixels_of_one_image_are_refused(build: Callable[..., str], images: Path, tmp_path: Path) -> None:
    first = build("a", 0, 1)
    write_png(images / "list_001.png", seed=99)
    with pytest.raises(InputError, match=r"b: list_001\.png has other pixels than in .*a,"):
        cache.merge_caches([first, build("b", 2, 1)], tmp_path / "m", SMALL)
    assert not (tmp_path / "m").exists()


def test_damaged_images_are_refused(build: Callable[..., str], tmp_path: Path) -> None:
    parts = [build("a", 0), build("b", 1, 2)]
    with open(tmp_path / "b" / PIXELS, "r+b") as file:
        file.seek(-1, 2)
        last = file.read()
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(InputError, match=r"list_002\.png is damaged"):
        cache.merge_caches(parts, tmp_path / "m", SMALL)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("key", ["resize", "sample_bits", "fingerprint"])
def test_other_preprocessing_is_refused(key: str, build: Callable[..., str], tmp_path: Path) -> None:
    parts = [build("a", 0), build("b", 1)]
    header, _, rest = (tmp_path / "b" / MANIFEST).read_text().partition("\n")
    (tmp_path / "b" / MANIFEST).write_text(json.dumps(json.loads(header) | {key: 12}) + "\n" + rest)
    with pytest.raises(InputError, match=f"b: the cache has .*{key} 12"):
        cache.merge_caches(parts, tmp_path / "m", SMALL)
    assert not (tmp_path / "m").exists()


def test_an_interruption_leaves_nothing(
    build: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [build("a", 0, 1), build("b", 2)]
    before = set(tmp_path.iterdir())
    monkeypatch.setattr(building, "FLUSH_BYTES", 1)

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.merge_caches(parts, tmp_path / "m", SMALL, interrupt)
    assert set(tmp_path.iterdir()) == before


def test_the_new_cache_needs_a_folder_of_its_own(build: Callable[..., str], tmp_path: Path) -> None:
    parts = [build("a", 0), build("b", 1)]
    before = contents(parts[0])
    for folder in (parts[0], tmp_path):
        with pytest.raises(InputError):
            cache.merge_caches(parts, folder, SMALL)
    assert contents(parts[0]) == before
    with pytest.raises(InputError, match="no image cache"):
        cache.merge_caches([tmp_path / "none"], tmp_path / "m", SMALL)


def test_the_script_merges(build: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [build("a", 0, 1), build("b", 2)]
    flags = ["--output_dir", str(tmp_path / "m"), "--resize", "32"]
    assert run_script("tools/build_cache.py", "--merge", *parts, *flags) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'm'}: 3 images of 2 caches")
    assert run_script("tools/build_cache.py", "--merge", *parts, *flags) == 2
    assert contents(tmp_path / "m") == contents(build("whole", 0, 1, 2))
