"""ChestMNIST: labels and images of a .npz file, checked against reference lists."""

import io
import zipfile

import numpy as np
import pytest
from conftest import load_script

from chexnet.data.cache import ImageCache
from chexnet.data.lists import format_list, read_list, read_npz_labels
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import npz_files
from chexnet.files.npz_files import read_npz
from chexnet.labels import CLASS_NAMES

COUNTS = {"train": 9, "val": 4, "test": 5}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images = {f"{part}_images": rng.integers(0, 256, (count, 28, 28), np.uint8) for part, count in COUNTS.items()}
    labels = {f"{part}_labels": rng.integers(0, 2, (count, 14)) for part, count in COUNTS.items()}
    return {**images, **labels}


def save(path, arrays, write=np.savez_compressed):
    write(path, **arrays)
    return path


def a_reference(folder, arrays, order=None):
    paths = []
    for part, count in COUNTS.items():
        rows = order(count) if order else np.arange(count)
        names = [f"{row + 1:08d}_{len(part):03d}.png" for row in range(count)]
        (folder / f"{part}.txt").write_text(format_list(names, arrays[f"{part}_labels"][rows]))
        paths.append(folder / f"{part}.txt")
    return paths


def prepare(*flags):
    return load_script("tools/prepare_lists.py").main(list(map(str, flags)))


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_lists_and_cache_have_the_names_of_lists_with_equal_labels(tmp_path, arrays, write, capsys):
    path = save(tmp_path / "chestmnist.npz", arrays, write)
    reference = a_reference(tmp_path, arrays)
    out, cache = tmp_path / "lists", tmp_path / "cache"
    assert prepare("--npz", path, "--reference", *reference, "--output_dir", out, "--image_cache", cache) == 0
    assert capsys.readouterr().out.count("in every row") == 3
    stored = ImageCache(cache, Preprocessing())
    assert len(stored) == sum(COUNTS.values())
    for part, source in zip(COUNTS, reference, strict=True):
        listed = read_list(out / f"{part}_list.txt")
        assert (out / f"{part}_list.txt").read_bytes() == source.read_bytes()
        for row, image in zip(stored.rows(listed.names, source, tmp_path), arrays[f"{part}_images"], strict=True):
            np.testing.assert_array_equal(stored.image(row), Preprocessing().resize_image(image))
    assert prepare("--npz", path, "--output_dir", tmp_path / "more", "--image_cache", cache) == 2
    assert f"already has a cache of {len(stored)} images" in capsys.readouterr().err


def test_without_equal_labels_the_images_are_numbered_and_their_patients_unknown(tmp_path, arrays):
    path = save(tmp_path / "chestmnist.npz", arrays)
    orders = {"in another order": lambda count: np.arange(count)[::-1], "other labels: ": lambda count: [0] * count}
    for message, order in orders.items():
        lists = dict(zip(COUNTS, map(read_list, a_reference(tmp_path, arrays, order)), strict=True))
        data = read_npz_labels(path, lists)
        assert all(message in note for note in data.notes)
        assert data.splits["val"].names == tuple(f"val/{row:06d}.png" for row in range(4))
        assert data.splits["val"].patients == (None,) * 4
    named = list(read_npz_labels(path).named_images())
    assert [name for name, _ in named][:2] == ["train/000000.png", "train/000001.png"]
    np.testing.assert_array_equal(named[9][1], arrays["val_images"][0])


def test_arrays_are_read_in_blocks(tmp_path, arrays, monkeypatch):
    monkeypatch.setattr(npz_files, "_BLOCK_BYTES", 2000)
    found = read_npz(save(tmp_path / "a.npz", arrays))
    assert {key: array.shape for key, array in found.items()} == {key: array.shape for key, array in arrays.items()}
    for key, array in found.items():
        blocks = list(array.blocks())
        assert key.endswith("labels") or len(blocks) > 1
        np.testing.assert_array_equal(np.concatenate(blocks), arrays[key])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_labels": None}, r"a\.npz: has no val_labels, .* there are train_images"),
        ({"val_labels": np.zeros((4, 13))}, r"val_labels is \[4, 13\], expected \[images, 14\]"),
        ({"val_labels": np.full((4, 14), 2)}, "row 0 of val_labels has a label other than 0 and 1"),
        ({"val_labels": np.zeros((0, 14))}, r"val_labels is \[0, 14\]"),
        ({"val_images": np.zeros((4, 28, 28, 3), np.uint8)}, r"val_images is uint8 \[4, 28, 28, 3\]"),
        ({"val_images": np.zeros((3, 28, 28), np.uint8)}, r"val_images is uint8 \[3, 28, 28\], expected uint8 \[4,"),
        ({"val_images": np.zeros((4, 28, 28))}, "val_images is float64"),
        ({"val_images": np.zeros((4, 8, 8), np.uint8)}, "a side of at least 16"),
        ({"val_images": np.asfortranarray(np.zeros((4, 28, 28), np.uint8))}, "expected numbers, row by row"),
        ({"val_labels": np.array([{}] * 4, object)}, "val_labels is object"),
        ({"val_labels": np.array(["1"] * 4)}, "val_labels is <U1"),
        ({"val_labels": np.float64(1)}, r"val_labels is float64 \[\]"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, change, message):
    changed = {key: value for key, value in {**arrays, **change}.items() if value is not None}
    with pytest.raises(InputError, match=message):
        read_npz_labels(save(tmp_path / "a.npz", changed))


def test_damaged_files_are_refused(tmp_path, arrays):
    path = save(tmp_path / "a.npz", arrays)
    whole = path.read_bytes()
    for damaged in (b"", b"PK\x03\x04", whole[:-30], whole[:500] + bytes(200) + whole[700:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.npz: "):
            list(read_npz_labels(path).named_images())
    with pytest.raises(InputError, match=r"none\.npz: cannot be read"):
        read_npz(tmp_path / "none.npz")
    header = io.BytesIO()
    np.save(header, np.zeros((4, 14)))
    for data in (b"no array", header.getvalue()[:40], header.getvalue()[:-8]):
        with zipfile.ZipFile(path, "w") as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w") as file:
                    np.save(file, array) if key != "val_labels" else file.write(data)
        with pytest.raises(InputError, match="val_labels"):
            read_npz_labels(path)


@pytest.mark.real_data
def test_the_reference_lists_fit_their_own_labels(reference_lists, tmp_path, monkeypatch):
    """The file has ChestMNIST's shapes; NIH's images are not in it."""
    monkeypatch.setattr("chexnet.data.lists.npz_tables.MIN_SIDE", 1)
    lists = {part: read_list(path) for part, path in reference_lists.items()}
    labels = {f"{part}_labels": listed.labels for part, listed in lists.items()}
    images = {f"{part}_images": np.zeros((len(listed), 1, 1), np.uint8) for part, listed in lists.items()}
    data = read_npz_labels(save(tmp_path / "a.npz", {**labels, **images}), lists)
    assert [len(split.names) for split in data.splits.values()] == [78_468, 11_219, 22_433]
    assert all("in every row" in note for note in data.notes)
    assert len(CLASS_NAMES) == data.splits["train"].labels.shape[1]
