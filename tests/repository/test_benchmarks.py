"""The benchmarks in miniature: the baselines compute the same results as the library, and every case runs.

No test depends on a measured time.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from unittest.mock import create_autospec

import numpy as np
import pytest
from conftest import ROOT

from benchmarks import baseline, baseline_paddle, machine, networks, processes, scaling
from benchmarks.__main__ import CASE_MODULES, main, measure
from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
from benchmarks.harness import Comparison, in_subprocess, interleaved, on_one_core, process_with_threads, rate
from benchmarks.targets import Target, format_table
from chexnet import model
from chexnet.config import EvalConfig, TrainConfig
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing
from chexnet.evaluation import evaluate
from chexnet.inference import engines

MINIATURE = Sizes(
    repetitions=1,
    evaluated=2,
    reference=1,
    decoded=3,
    cached=5,
    passes=2,
    listed=300,
    steps=12,
    trained=12,
    runs=(2, 3),
)


def comparison(**others) -> Comparison:
    defaults = {"case": "c", "ours": "o", "reference": "r", "unit": "s", "our_values": (), "reference_values": ()}
    return Comparison(**{**defaults, **others})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return BenchmarkData(
        tmp_path_factory.mktemp("benchmark_data"), images=10, size=48, preprocessing=Preprocessing(40, 32)
    )


@pytest.fixture(scope="module")
def ours(data):
    listed = data.repeated(4)
    return evaluate(
        EvalConfig(data_dir=str(listed.data_dir), test_list=str(listed.list_file), ckpt=str(data.ckpt), device="cpu")
    )


@pytest.fixture
def eagerly(monkeypatch):
    """Engines are not compiled, which would take most of the time; tests/inference/test_engines.py tests them."""

    def compiled(spec, network, crop, maps=False):
        return SimpleNamespace(predict=network.predict_cam if maps else network.predict, preferred_batch_size=20)

    monkeypatch.setattr(engines.EngineSpec, "compile", compiled)


def test_candidates_alternate():
    turns = []
    candidates = {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}
    assert interleaved(candidates, 3) == {"a": (1, 3, 5), "b": (2, 4, 6)}
    assert turns == list("ababab")


def test_a_rate_is_items_per_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert rate(lambda: clock.__setitem__(0, clock[0] + 4), 10)() == 2.5


def test_a_ratio_is_of_medians_and_needs_values_of_both():
    measured = comparison(our_values=(1.0, 8.0, 100.0), reference_values=(4.0, 2.0, 0.0))
    assert measured.ratio == 4
    assert measured.to_dict()["our_median"] == 8
    assert json.loads(json.dumps(measured.to_dict()))["ratio"] == 4
    missing = comparison(note="is not installed")
    assert missing.ratio is None
    assert "not available: is not installed" in str(missing)


def test_one_core_is_one_core():
    assert len(on_one_core(os.sched_getaffinity, 0)) == 1
    assert in_subprocess(os.sched_getaffinity, 0) == os.sched_getaffinity(0)
    assert in_subprocess(os.getpid) != os.getpid()


@pytest.mark.parametrize(
    ("at_most", "measured", "result"),
    [(False, 3.0, "reached"), (False, 1.9, "NOT reached"), (True, 3.0, "NOT reached"), (True, 1.9, "reached")],
)
def test_a_target_reports_whether_it_was_reached(at_most, measured, result):
    target = Target("description", "c", "r", 2, at_most=at_most)
    found = comparison(our_values=(measured,), reference_values=(1.0,))
    assert target.row([comparison(case="other"), found], bfloat16=True)[-1] == result
    assert target.row([comparison(case="other")], bfloat16=True)[-1] == "not measured"


def test_a_bfloat16_target_is_not_reached_on_a_cpu_without_bfloat16():
    target = Target("description", "c", "r", 2, precision="bfloat16")
    found = [
        comparison(our_values=(value,), reference_values=(1.0,), precision=precision)
        for value, precision in ((3.0, "float32"), (4.0, "bfloat16"))
    ]
    assert target.row(found, bfloat16=True)[2:] == ("4 x", "2 x", "reached")
    measured, _, result = target.row(found, bfloat16=False)[2:]
    assert measured == "3 x"
    assert "no bfloat16" in result


def test_a_list_repeats_the_radiographs(data):
    listed = data.repeated(13)
    image_list = read_list(listed.list_file)
    pixels = [(listed.data_dir / name).read_bytes() for name in image_list.names]
    assert len(set(pixels)) == 10
    assert pixels[10:] == pixels[:3]
    np.testing.assert_array_equal(image_list.labels[10:], image_list.labels[:3])


def test_real_radiographs_replace_phantoms(folder, tmp_path):
    images, lists = folder(5)
    data = BenchmarkData(tmp_path, 3, 0, Preprocessing(40, 32), ListedImages(images, lists))
    listed = data.repeated(4)
    pixels = [path.read_bytes() for path in sorted(listed.data_dir.iterdir())]
    assert pixels == [(images / f"list_{index:03d}.png").read_bytes() for index in (0, 1, 2, 0)]


def test_the_paddle_baseline_computes_our_probabilities(data, ours):
    transform = baseline_paddle.ten_transform(data.preprocessing)
    probabilities, aurocs = baseline_paddle.evaluate(model.load(data.ckpt), data.repeated(4), transform, 3)
    np.testing.assert_allclose(probabilities, ours.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_allclose(aurocs, baseline.aurocs(ours.labels, probabilities))


def test_the_pytorch_baseline_computes_our_probabilities(data, ours):
    pytest.importorskip("torch")
    from benchmarks import baseline_torch

    network = baseline_torch.load(data.ckpt)
    probabilities, _ = baseline_torch.evaluate(network, data.repeated(4), data.preprocessing, 3)
    np.testing.assert_allclose(probabilities, ours.probabilities, rtol=0, atol=1e-5)


def test_the_one_crop_baseline_computes_our_probabilities(data, eagerly):
    listed = data.repeated(4)
    config = EvalConfig(
        data_dir=str(listed.data_dir), test_list=str(listed.list_file), ckpt=str(data.ckpt), crops=1, device="cpu"
    )
    transform = baseline_paddle.center_transform(data.preprocessing)
    probabilities, _ = baseline_paddle.evaluate(model.load(data.ckpt), listed, transform, 4)
    np.testing.assert_allclose(probabilities, evaluate(config).probabilities, rtol=0, atol=1e-5)


def test_the_baseline_reads_lists_and_loads_training_input(data):
    listed = data.repeated(4)
    names, labels = baseline.read_lines(listed.list_file)
    image_list = read_list(listed.list_file)
    assert tuple(names) == image_list.names
    np.testing.assert_array_equal(labels, image_list.labels)
    assert baseline_paddle.training_input(listed, data.preprocessing, 3) == 4
    image, truth = baseline_paddle.Images(listed, baseline_paddle.train_transform(data.preprocessing))[0]
    assert (image.shape, str(image.dtype), truth.dtype) == ([3, 32, 32], "paddle.float32", np.float32)


@pytest.fixture
def small_networks(tmp_path, monkeypatch):
    """Benchmark data with a small network, and stubs of PyTorch's baseline, which has DenseNet-121 only."""
    data = BenchmarkData(tmp_path, images=10, size=48, preprocessing=Preprocessing(40, 32))
    data.ckpt = tmp_path / "small.pdparams"
    facts = {"backbone": "densenet_cifar", "resize": 40, "crop": 32}
    model.checkpoint.save_checkpoint(model.CheXNet(backbone="densenet_cifar").state_dict(), data.ckpt, facts)
    if find_spec("torch"):
        from benchmarks import baseline_torch

        for name in ("load", "evaluate"):
            monkeypatch.setattr(baseline_torch, name, create_autospec(getattr(baseline_torch, name)))
    return data


def test_every_case_runs_and_provides_the_targets(small_networks, tmp_path, capsys, monkeypatch, eagerly):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    monkeypatch.setattr(networks, "ENGINES", ("paddle",))
    monkeypatch.setattr(processes, "in_subprocess", lambda function, *args: function(*args))
    monkeypatch.setattr(networks, "process_with_threads", lambda threads: nullcontext(lambda call, *args: call(*args)))
    for name, value in (("BATCH", 4), ("VALIDATED", 4), ("TrainConfig", partial(TrainConfig, backbone="lenet"))):
        monkeypatch.setattr(scaling, name, value)
    path = tmp_path / "results.json"
    comparisons = measure(list(CASE_MODULES), small_networks, MINIATURE, str(path))
    assert {comparison.case for comparison in comparisons} == set(CASE_MODULES)
    assert all(comparison.ratio > 0 for comparison in comparisons)
    results = json.loads(path.read_text())
    assert results["machine"]["packages"]["numpy"] == np.__version__
    assert [saved["ratio"] for saved in results["comparisons"]] == [comparison.ratio for comparison in comparisons]
    rows = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    missing = [row for row in rows if "not measured" in row]
    assert all("10,000 images" in row or "PyTorch" in row for row in missing)  # the miniature's runs are shorter
    assert len(missing) == 1 + (find_spec("torch") is None)


def test_a_process_has_its_own_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with process_with_threads(3) as first, process_with_threads(2) as second:
        assert [call(os.getenv, "OMP_NUM_THREADS") for call in (first, second)] == ["3", "2"]
        assert len({first(os.getpid), first(os.getpid), second(os.getpid), os.getpid()}) == 3
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_an_engine_that_is_not_installed_is_reported(data, monkeypatch, eagerly):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    monkeypatch.setattr(networks, "ENGINES", ("paddle", "onnxruntime"))
    monkeypatch.setattr(engines, "why_unavailable", lambda name: "is not installed" if name != "paddle" else "")
    monkeypatch.setattr(networks, "CROPS_PER_BATCH", 2)
    present, missing = networks.network(data, replace(MINIATURE, evaluated=1))
    assert present.ratio > 0
    assert (missing.ours, missing.ratio) == ("onnxruntime, float32", None)
    assert "--engine onnxruntime" in str(missing)


def test_bad_flags_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["ten_crop", "eleven_crop"])
    assert exit_.value.code == 2
    assert "'eleven_crop' " in capsys.readouterr().err
    assert main(["--data_dir", "images"]) == 2
    assert "--data_dir and --list" in capsys.readouterr().err


def test_help_lists_the_cases():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in CASE_MODULES)


def test_a_table_is_aligned():
    assert format_table([("a", "bb"), ("ccc", "d")]) == "a    bb\n---  --\nccc  d"
