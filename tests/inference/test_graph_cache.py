"""The graph cache: a graph from it gives the numbers of a new one, and a damaged one is made again."""

import os
import time
from dataclasses import replace

import numpy as np
import paddle
import pytest
from miniature import Miniature

import chexnet
from chexnet import device
from chexnet.files import user_cache
from chexnet.inference import Predictor, engines, graph_cache, graph_entries
from chexnet.model import CheXNet, checkpoint, open_checkpoint
from chexnet.model.backbones import BACKBONES
from chexnet.phantom import draw

COMPILED = [name for name in ("openvino", "onnxruntime") if not engines.why_unavailable(name)]

pytestmark = pytest.mark.skipif(not COMPILED, reason="no engine whose graphs are kept is installed")

IMAGE = draw([], 64, patient=1).image


def save_random(path, backbone, seed=0):
    """Write random weights with spread probabilities."""
    paddle.seed(seed)
    network = CheXNet(3, backbone)
    head = network.backbone.classifier if network.supports_cam else network.backbone.fc2
    head.weight.set_value(head.weight * 8)
    config = {"backbone": backbone, "resize": 64, "crop": 61, "classes": ["Mass", "Nodule", "Edema"]}
    checkpoint.save_checkpoint(network.state_dict(), path, config)
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """The fastest network; it has no class maps."""
    return save_random(tmp_path_factory.mktemp("ckpt") / "lenet.pdparams", "lenet")


@pytest.fixture(scope="module")
def cam_ckpt(tmp_path_factory):
    return save_random(tmp_path_factory.mktemp("ckpt") / "googlenet.pdparams", "googlenet")


@pytest.fixture(scope="module")
def written(tmp_path_factory, ckpt):
    """A folder with the entry of `ckpt`, and its probabilities."""
    folder = tmp_path_factory.mktemp("written")
    probabilities = predictor(ckpt, folder).predict(IMAGE).probabilities
    assert len(entries(folder)) == 1
    return folder, probabilities


@pytest.fixture
def folder(tmp_path, written):
    """A copy of the folder with the entry."""
    (entry,) = entries(written[0])
    copy = tmp_path / "graphs"
    copy.mkdir()
    (copy / entry.name).write_bytes(entry.read_bytes())
    return copy


def predictor(ckpt, folder, **options):
    return Predictor(ckpt, **{"images": 1, "maps": False, "device": "cpu", "graph_cache": str(folder), **options})


def opened_cache(folder, opened, spec=None, crop=61):
    return graph_cache.open_cache(str(folder), spec or engines.select_engine(), opened, crop, print)


def entries(folder):
    return sorted(folder.glob("*.graph"))


def assert_served(ckpt, folder, written):
    """Check that the folder has a valid entry, which gives the probabilities of `written`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines.EngineSpec, "export", refuse)
        found = predictor(ckpt, folder, log=pytest.fail).predict(IMAGE)
    np.testing.assert_array_equal(found.probabilities, written[1])


def refuse(*_):
    pytest.fail("exported")


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("kind", ["ckpt", "cam_ckpt", "dense"])
def test_a_cached_graph_gives_the_bits_of_a_new_one(request, tmp_path, monkeypatch, kind, name):
    ckpt = request.getfixturevalue("cam_ckpt" if kind == "dense" else kind)
    ways = {"crops": "dense" if kind == "dense" else 10, "engine": name}
    crops = np.random.default_rng(0).integers(0, 256, (5, 1, 61, 61), dtype=np.uint8)
    outcomes = []
    for folder in ("off", tmp_path, tmp_path):
        if outcomes[1:]:
            monkeypatch.setattr(engines.EngineSpec, "export", refuse)
            monkeypatch.setattr(type(open_checkpoint(ckpt)), "build_network", refuse)
        opened = predictor(ckpt, folder, **ways)
        found = opened.predict(IMAGE)
        outcomes.append((found.probabilities, found.maps, found.bias, found.grid, opened.predict_crops(crops)))
    for outcome in outcomes[1:]:
        for value, expected in zip(outcome, outcomes[0], strict=True):
            np.testing.assert_array_equal(value, expected)
    assert len(entries(tmp_path)) == (2 if kind == "cam_ckpt" else 1)  # one with class maps, one with probabilities


def test_the_first_and_the_second_run_have_the_same_engine(ckpt, tmp_path):
    descriptions = []
    for _ in range(2):
        opened = predictor(ckpt, tmp_path)
        opened.predict(IMAGE)
        descriptions.append(opened.engine)
    assert descriptions == [engines.select_engine().description] * 2


def test_a_released_predictor_takes_the_graph_again(ckpt, folder, written, monkeypatch):
    monkeypatch.setattr(engines.EngineSpec, "export", refuse)
    opened = predictor(ckpt, folder)
    for _ in range(2):
        np.testing.assert_array_equal(opened.predict(IMAGE).probabilities, written[1])
        opened.release()


def test_each_part_of_the_key_has_its_own_entry(ckpt, cam_ckpt, tmp_path, monkeypatch):
    opened, spec = open_checkpoint(ckpt), engines.select_engine(COMPILED[0])

    def path(opened=opened, spec=spec, maps=False, crop=61):
        return opened_cache(tmp_path, opened, spec, crop).path(maps)

    def changed(target, name, value):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            return path()

    config = opened.config
    configs = [
        replace(config, backbone="alexnet"),
        replace(config, classes=config.classes[:2]),
        replace(config, preprocessing=replace(config.preprocessing, scaling="zero_one")),
    ]
    assert path() == path()
    found = [
        path(),
        path(maps=True),
        path(crop=64),
        path(crop=None),
        path(replace(opened, sha256="0" * 64)),
        *(path(replace(opened, config=other)) for other in configs),
        path(spec=replace(spec, precision="bfloat16")),
        changed(engines, "_version", lambda engine: "0"),
        changed(device, "paddle_version", lambda: "0"),
        changed(chexnet, "__version__", "0"),
        changed(graph_cache, "_source_checksum", lambda: "0"),
        changed(graph_cache, "_processor", lambda: "0"),
    ]
    if len(COMPILED) > 1:
        found.append(path(spec=engines.select_engine(COMPILED[1])))
    assert len(set(found)) == len(found)
    # What does not change the graph: classes of other names, and the number of threads.
    renamed = replace(config, classes=("a", "b", "c"))
    assert path(replace(opened, config=renamed), replace(spec, threads=99)) == path()


def damaged(data):
    """Return an entry's bytes, damaged in different ways."""
    rng = np.random.default_rng(0)
    for length in (0, 1, len(data) // 2, len(data) - 1):
        yield data[:length]
    for position in rng.integers(0, len(data), 8):
        yield data[:position] + bytes([data[position] ^ 1 << rng.integers(8)]) + data[position + 1 :]
    yield b"\0" * len(data)
    yield data + data


def test_a_damaged_entry_is_reported_and_made_again(ckpt, folder, written):
    (entry,) = entries(folder)
    good = entry.read_bytes()
    for data in damaged(good):
        entry.write_bytes(data)
        lines = []
        np.testing.assert_array_equal(
            predictor(ckpt, folder, log=lines.append).predict(IMAGE).probabilities, written[1]
        )
        assert len(lines) == 2, lines  # damaged, and written
        assert all(str(entry) in line for line in lines)
        assert_served(ckpt, folder, written)


def test_the_entry_of_other_weights_is_refused(tmp_path, folder, written, ckpt):
    other = save_random(tmp_path / "other.pdparams", "lenet", seed=1)
    expected = predictor(other, "off", engine=COMPILED[0]).predict(IMAGE).probabilities
    assert np.abs(expected - written[1]).max() > 1e-3
    spec = engines.select_engine(COMPILED[0])
    path = opened_cache(folder, open_checkpoint(other), spec).path(False)
    entries(folder)[0].rename(path)
    lines = []
    found = predictor(other, folder, engine=COMPILED[0], log=lines.append).predict(IMAGE).probabilities
    np.testing.assert_array_equal(found, expected)
    assert len(lines) == 2


@pytest.mark.parametrize("part", ["probe_output", "weights", "program"])
def test_a_graph_that_fails_the_probe_is_made_again(ckpt, folder, written, part):
    """With a valid checksum: the engine or the processor computes something else than it did."""
    (entry,) = entries(folder)
    state = checkpoint.load(entry)
    if part == "weights" and not state["weights"]:
        pytest.skip("the weights of ONNX are in the program")
    wrong = state[part] + 0.01 if part == "probe_output" else b"\0" * len(state[part])
    checkpoint.save({**state, part: wrong}, entry)
    lines = []
    np.testing.assert_array_equal(predictor(ckpt, folder, log=lines.append).predict(IMAGE).probabilities, written[1])
    assert len(lines) == 2
    assert_served(ckpt, folder, written)


def test_the_probe_tells_networks_apart(written, tmp_path):
    """Its output differs between random weights by more than the tolerance."""
    outputs = []
    for seed in range(3):
        path = save_random(tmp_path / f"{seed}.pdparams", "lenet", seed)
        outputs.append(open_checkpoint(path).build_network().predict(graph_cache._probe(61)))
    for output in outputs[1:]:
        assert np.abs(output - outputs[0]).max() > 10 * graph_cache.TOLERANCE["float32"] * np.abs(output).max()


def test_the_limit_removes_the_entries_used_longest_ago_and_no_other_files(ckpt, folder, written, monkeypatch):
    (entry,) = entries(folder)
    size = entry.stat().st_size
    others = [folder / f"{name * 32}.graph" for name in "abc"]
    for age, path in enumerate(others, start=1):
        path.write_bytes(bytes(size))
        os.utime(path, (time.time() - 1000 * age,) * 2)
    temporary = {name: folder / f".{name * 32}.tmp-01234567.graph" for name in "ab"}
    kept = [folder / "notes.txt", folder / "mine.graph", folder / ".a.tmp-01234567.json", temporary["a"]]
    for path in (*kept, temporary["b"]):
        path.write_bytes(bytes(size))
        os.utime(path, (0, 0))
    os.utime(temporary["a"])  # another process may be writing it
    monkeypatch.setattr(graph_entries, "MAX_BYTES", int(3.5 * size))
    predictor(ckpt, folder).predict(IMAGE)
    assert set(others) < set(folder.iterdir())  # nothing was written, so nothing is removed
    entry.unlink()
    predictor(ckpt, folder).predict(IMAGE)
    assert set(folder.iterdir()) == {entry, *others[:2], *kept}
    monkeypatch.setattr(graph_entries, "MAX_BYTES", 0)
    entry.unlink()
    predictor(ckpt, folder).predict(IMAGE)
    assert set(folder.iterdir()) == {entry, *kept}


def test_a_graph_in_use_is_not_the_oldest(ckpt, folder, written):
    (entry,) = entries(folder)
    os.utime(entry, (0, 0))
    predictor(ckpt, folder).predict(IMAGE)
    assert entry.stat().st_mtime > 0


@pytest.mark.parametrize("choice", ["off", None])
def test_off_writes_and_reads_nothing(ckpt, tmp_path, monkeypatch, choice):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened = predictor(ckpt, "off", graph_cache=choice, log=pytest.fail)  # the tests' environment says off
    opened.predict(IMAGE)
    assert "not compiled" in opened.engine  # for one image
    assert not list(tmp_path.iterdir())


def test_without_a_writable_folder_it_works_as_without_a_cache(ckpt, tmp_path):
    (tmp_path / "file").touch()
    lines = []
    opened = predictor(ckpt, tmp_path / "file" / "graphs", log=lines.append)
    expected = predictor(ckpt, "off").predict(IMAGE)
    np.testing.assert_array_equal(opened.predict(IMAGE).probabilities, expected.probabilities)
    assert len(lines) == 1


def test_a_full_disk_is_one_line(ckpt, small_disk, written):
    disk = small_disk(20)  # KiB; the entry is larger
    lines = []
    found = predictor(ckpt, disk / "graphs", log=lines.append).predict(IMAGE)
    np.testing.assert_array_equal(found.probabilities, written[1])
    assert len(lines) == 1
    assert not [path for path in disk.rglob("*") if path.is_file()]


def test_a_read_only_folder_serves_its_entries(ckpt, folder, written, mount):
    mount(folder, "--bind", "-o", "ro", folder)
    assert_served(ckpt, folder, written)


def test_graphs_of_backbones_from_outside_are_not_kept(ckpt, tmp_path, monkeypatch):
    """Their code may change between two runs."""
    assert opened_cache(tmp_path, open_checkpoint(ckpt))
    monkeypatch.setitem(BACKBONES, "lenet", Miniature)
    assert not opened_cache(tmp_path, open_checkpoint(ckpt))
    monkeypatch.undo()
    assert not opened_cache(tmp_path, open_checkpoint(ckpt), engines.select_engine("paddle"))


def test_numbers_that_are_not_finite_are_not_kept(tmp_path):
    path = save_random(tmp_path / "model.pdparams", "lenet")
    network = open_checkpoint(path).build_network()
    graphs = opened_cache(tmp_path / "graphs", open_checkpoint(path))
    network.backbone.fc2.weight.set_value(network.backbone.fc2.weight * np.float32("nan"))
    graphs.engine(False, lambda: network)
    assert not entries(tmp_path / "graphs")


def test_the_default_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CHEXNET_GRAPH_CACHE", "elsewhere")
    assert user_cache.default_graph_cache() == "elsewhere"
    monkeypatch.delenv("CHEXNET_GRAPH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache.default_graph_cache() == str(tmp_path / "chexnet" / "graphs")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(user_cache.sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache.default_graph_cache() == str(tmp_path / "home" / ".cache" / "chexnet" / "graphs")
    monkeypatch.setenv("HOME", "relative")
    assert user_cache.default_graph_cache() is None
