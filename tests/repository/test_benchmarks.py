"""Nothing here is timed: the references compute what ours computes, and every case runs, in miniature."""

import json
import os
import time
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import machine, naive, naive_paddle, networks, processes
from benchmarks.__main__ import MODULE_OF, main, measure
from benchmarks.harness import Comparison, in_child, interleaved, on_one_core, rate
from benchmarks.material import Data, Material, Scale
from benchmarks.targets import Target, format_table
from chexnet import model
from chexnet.config import EvalConfig
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing
from chexnet.evaluation import evaluate
from chexnet.inference import engines

MINIATURE = Scale(
    repetitions=1, evaluated=2, reference=2, decoded=3, cached=5, passes=2, listed=300, steps=12, runs=(2, 3)
)


def comparison(**others) -> Comparison:
    facts = {"case": "c", "ours": "o", "reference": "r", "unit": "s", "our_values": (), "reference_values": ()}
    return Comparison(**{**facts, **others})


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("material"), images=10, size=48, preprocessing=Preprocessing(40, 32))


@pytest.fixture(scope="module")
def ours(material):
    data = material.repeated(4)
    return evaluate(
        EvalConfig(data_dir=str(data.data_dir), test_list=str(data.list_file), ckpt=str(material.ckpt), device="cpu")
    )


@pytest.fixture
def eagerly(monkeypatch):
    """Engines are not compiled, which would take most of the time here; tests/inference/test_engines.py has them."""

    def compiled(choice, network, crop, maps=False):
        return SimpleNamespace(predict=network.predict, crops_a_pass=20)

    monkeypatch.setattr(engines.EngineSpec, "compile", compiled)


def test_sides_take_turns():
    turns = []
    sides = {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}
    assert interleaved(sides, 3) == {"a": (1, 3, 5), "b": (2, 4, 6)}
    assert turns == list("ababab")


def test_a_rate_counts_what_is_done_in_a_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert rate(lambda: clock.__setitem__(0, clock[0] + 4), 10)() == 2.5


def test_a_ratio_is_of_medians_and_needs_both_sides():
    one = comparison(our_values=(1.0, 8.0, 100.0), reference_values=(4.0, 2.0, 0.0))
    assert one.ratio == 4
    assert one.to_dict()["our_median"] == 8
    assert json.loads(json.dumps(one.to_dict()))["ratio"] == 4
    missing = comparison(note="is not installed")
    assert missing.ratio is None
    assert "not available: is not installed" in str(missing)


def test_one_core_is_one_core():
    assert len(on_one_core(os.sched_getaffinity, 0)) == 1
    assert in_child(os.sched_getaffinity, 0) == os.sched_getaffinity(0)
    assert in_child(os.getpid) != os.getpid()


@pytest.mark.parametrize(
    ("at_most", "measured", "verdict"),
    [(False, 3.0, "reached"), (False, 1.9, "NOT reached"), (True, 3.0, "NOT reached"), (True, 1.9, "reached")],
)
def test_a_target_says_whether_it_was_reached(at_most, measured, verdict):
    target = Target("words", "c", "r", 2, at_most=at_most)
    found = comparison(our_values=(measured,), reference_values=(1.0,))
    assert target.row([comparison(case="other"), found], bfloat16=True)[-1] == verdict
    assert target.row([comparison(case="other")], bfloat16=True)[-1] == "not measured"


def test_a_target_of_bfloat16_is_never_claimed_by_a_cpu_without_it():
    target = Target("words", "c", "r", 2, precision="bfloat16")
    found = [
        comparison(our_values=(value,), reference_values=(1.0,), precision=precision)
        for value, precision in ((3.0, "float32"), (4.0, "bfloat16"))
    ]
    assert target.row(found, bfloat16=True)[2:] == ("4 x", "2 x", "reached")
    measured, _, verdict = target.row(found, bfloat16=False)[2:]
    assert measured == "3 x"
    assert "no bfloat16" in verdict


def test_a_list_is_the_radiographs_in_turn(material):
    data = material.repeated(13)
    image_list = read_list(data.list_file)
    pixels = [(data.data_dir / name).read_bytes() for name in image_list.names]
    assert len(set(pixels)) == 10
    assert pixels[10:] == pixels[:3]
    np.testing.assert_array_equal(image_list.labels[10:], image_list.labels[:3])


def test_real_radiographs_take_the_place_of_phantoms(folder, tmp_path):
    images, lists = folder(5)
    material = Material(tmp_path, 3, 0, Preprocessing(40, 32), Data(images, lists))
    data = material.repeated(4)
    pixels = [path.read_bytes() for path in sorted(data.data_dir.iterdir())]
    assert pixels == [(images / f"list_{index:03d}.png").read_bytes() for index in (0, 1, 2, 0)]


def test_the_reference_in_paddle_finds_our_probabilities(material, ours):
    transform = naive_paddle.ten_transform(material.preprocessing)
    probabilities, aurocs = naive_paddle.evaluate(model.load(material.ckpt), material.repeated(4), transform, 3)
    np.testing.assert_allclose(probabilities, ours.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(aurocs, naive.aurocs(ours.labels, probabilities))


def test_the_reference_in_pytorch_finds_our_probabilities(material, ours):
    pytest.importorskip("torch")
    from benchmarks import naive_torch

    network = naive_torch.load(material.ckpt)
    probabilities, _ = naive_torch.evaluate(network, material.repeated(4), material.preprocessing, 3)
    np.testing.assert_allclose(probabilities, ours.probabilities, rtol=0, atol=1e-5)


def test_the_reference_with_one_crop_finds_our_probabilities(material, eagerly):
    data = material.repeated(4)
    config = EvalConfig(
        data_dir=str(data.data_dir), test_list=str(data.list_file), ckpt=str(material.ckpt), crops=1, device="cpu"
    )
    transform = naive_paddle.center_transform(material.preprocessing)
    probabilities, _ = naive_paddle.evaluate(model.load(material.ckpt), data, transform, 4)
    np.testing.assert_allclose(probabilities, evaluate(config).probabilities, rtol=0, atol=1e-5)


def test_the_reference_reads_lists_and_makes_training_input(material):
    data = material.repeated(4)
    names, labels = naive.read_lines(data.list_file)
    image_list = read_list(data.list_file)
    assert tuple(names) == image_list.names
    np.testing.assert_array_equal(labels, image_list.labels)
    assert naive_paddle.training_input(data, material.preprocessing, 3) == 4
    image, truth = naive_paddle.Images(data, naive_paddle.train_transform(material.preprocessing))[0]
    assert (image.shape, str(image.dtype), truth.dtype) == ([3, 32, 32], "paddle.float32", np.float32)


def test_every_case_runs_and_serves_the_targets(material, tmp_path, capsys, monkeypatch, eagerly):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    monkeypatch.setattr(networks, "ENGINES", ("paddle",))
    monkeypatch.setattr(processes, "in_child", lambda function, *args: function(*args))
    path = tmp_path / "results.json"
    comparisons = measure(list(MODULE_OF), material, MINIATURE, str(path))
    assert {one.case for one in comparisons} == set(MODULE_OF)
    assert all(one.ratio > 0 for one in comparisons)
    results = json.loads(path.read_text())
    assert results["machine"]["packages"]["numpy"] == np.__version__
    assert [one["ratio"] for one in results["comparisons"]] == [one.ratio for one in comparisons]
    rows = capsys.readouterr().out.split("verdict")[1].splitlines()
    missing = [row for row in rows if "not measured" in row]
    assert all("10,000 images" in row or "PyTorch" in row for row in missing)  # the miniature's runs are shorter
    assert len(missing) == 1 + (find_spec("torch") is None)


def test_an_engine_that_is_missing_is_said_to_be(material, monkeypatch, eagerly):
    monkeypatch.setattr(networks, "ENGINES", ("paddle", "onnxruntime"))
    monkeypatch.setattr(engines, "why_unavailable", lambda name: "is not installed" if name != "paddle" else "")
    present, missing = networks.network(material, MINIATURE)
    assert present.ratio > 0
    assert str(missing) == "  onnxruntime, float32: not available: --engine onnxruntime: is not installed"


def test_bad_flags_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["ten_crop", "eleven_crop"])
    assert exit_.value.code == 2
    assert "'eleven_crop' is none of" in capsys.readouterr().err
    assert main(["--data_dir", "images"]) == 2
    assert "--data_dir and --list are needed together" in capsys.readouterr().err


def test_a_table_is_aligned():
    assert format_table([("a", "bb"), ("ccc", "d")]) == "a    bb\n---  --\nccc  d"
