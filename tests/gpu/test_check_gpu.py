"""The check for machines of many kinds, simulated by a fake nvidia-smi and invented builds of Paddle."""

import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from conftest import ROOT, run_script

from chexnet.gpu import cards, check_gpu, gpu_check
from chexnet.gpu.builds import BUILDS, suitable_build
from chexnet.gpu.child import ChildResult
from chexnet.gpu.machine_code import has_code_for
from chexnet.gpu.paddle_build import PaddleBuild

posix_only = pytest.mark.skipif(os.name == "nt", reason="the fake nvidia-smi is a shell script")

CARDS = {
    "NVIDIA GeForce GTX 1080": (6, 1),
    "Tesla T4": (7, 5),
    "NVIDIA A100-SXM4-80GB": (8, 0),
    "NVIDIA GeForce RTX 4090": (8, 9),
    "NVIDIA H100 80GB HBM3": (9, 0),
    "NVIDIA B200": (10, 0),
    "NVIDIA GeForce RTX 5090": (12, 0),
}
PYPI = PaddleBuild(("paddlepaddle-gpu 2.6.2",), "2.6.2", "11.8", "8.6.0", (61, 70, 75, 80, 86), 1, 8600)
CPU = PaddleBuild(("paddlepaddle 3.3.1",), "3.3.1")


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A function that puts an nvidia-smi with this shell script first on PATH; None removes it."""

    def install(script: str | None) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        if script is not None:
            program = folder / "nvidia-smi"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(
            "PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin" if script is not None else str(folder)
        )

    monkeypatch.setattr(cards, "PCI_DEVICES", tmp_path / "none")
    return install


def rows(*names: str, driver: str = "580.82.07") -> str:
    """Return a script that prints these cards."""
    lines = [
        f"{index}, {name}, 7000, 8192, {driver}, {CARDS[name][0]}.{CARDS[name][1]}" for index, name in enumerate(names)
    ]
    return "\n".join(f"echo '{line}'" for line in lines)


def checked(monkeypatch, paddle: PaddleBuild, result: ChildResult | None = None):
    """Check with an invented Paddle; without a result, the comparison must not run."""
    monkeypatch.setattr(gpu_check, "find_paddle", lambda: paddle)
    monkeypatch.setattr(gpu_check, "call_in_child", lambda *a, **k: result or pytest.fail("compared"))
    monkeypatch.setattr(gpu_check.sys, "platform", "linux")
    monkeypatch.setattr(gpu_check.platform, "machine", lambda: "x86_64")
    return gpu_check.check_gpu()


def advice(check) -> str:
    return "\n".join(line for step in check.steps for line in (step.reason, *step.remedies))


@posix_only
@pytest.mark.parametrize("name", CARDS)
def test_each_card_is_found_and_gets_a_build_with_code_for_it(name, nvidia_smi, monkeypatch):
    nvidia_smi(rows(name))
    found = cards.find_cards()
    assert (found.driver, found.driver_major, found.problem) == ("580.82.07", 580, "")
    assert [(card.name, card.capability, card.memory) for card in found.cards] == [(name, CARDS[name], (7000, 8192))]
    build = suitable_build(CARDS[name], 580)
    assert build.first <= CARDS[name] <= build.last
    assert build.command in advice(checked(monkeypatch, CPU))


@posix_only
@pytest.mark.parametrize("name", CARDS)
def test_a_wheel_without_code_for_the_card_is_replaced(name, nvidia_smi, monkeypatch):
    nvidia_smi(rows(name))
    agreed = ChildResult(dict.fromkeys(gpu_check.LIMITS, 0.0), "")
    check = checked(monkeypatch, PYPI, agreed)
    assert check.works == (CARDS[name] < (9, 0))
    if not check.works:
        assert name in advice(check)
        assert "pip uninstall -y paddlepaddle-gpu" in advice(check)


def test_machine_code_runs_on_the_same_major_and_a_higher_minor_capability():
    assert has_code_for((8, 9), [86])
    assert has_code_for((8, 6), [80])
    assert not has_code_for((8, 0), [86])
    assert not has_code_for((9, 0), [86, 100])
    assert has_code_for((12, 1), [120])
    assert not has_code_for((12, 0), [100])


@posix_only
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(None, id="absent"),
        pytest.param("sleep 60", id="hangs"),
        pytest.param(
            "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9", id="fails"
        ),
        pytest.param("kill -SEGV $$", id="crashes"),
        pytest.param("echo '<html>'; echo 'a, b'", id="prints something else"),
        pytest.param("printf '\\377\\376\\000,\\n'", id="prints bytes"),
        pytest.param("exit 0", id="prints nothing"),
    ],
)
def test_any_failure_of_nvidia_smi_is_a_problem_and_no_exception(script, nvidia_smi):
    nvidia_smi(script)
    found = cards.find_cards(timeout=1 if script == "sleep 60" else 30)
    assert not found.cards
    assert found.problem
    assert "\n" not in found.problem


@posix_only
def test_drivers_that_know_no_compute_capability_and_partitioned_cards(nvidia_smi):
    nvidia_smi(
        'case "$1" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'; exit 2;; esac\n'
        "echo '0, Tesla V100-SXM2-16GB, [N/A], [N/A], 470.57.02'"
    )
    (card,) = cards.find_cards().cards
    assert (card.name, card.capability, card.memory) == ("Tesla V100-SXM2-16GB", None, None)
    assert str(card) == "0: Tesla V100-SXM2-16GB"


def test_a_card_without_a_driver_is_seen_on_the_bus(nvidia_smi, tmp_path, monkeypatch):
    nvidia_smi(None)
    for name, vendor, kind in (("a", "0x10de", "0x030000"), ("b", "0x10de", "0x040300"), ("c", "0x8086", "0x030000")):
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    (tmp_path / "pci" / "d").mkdir()
    monkeypatch.setattr(cards, "PCI_DEVICES", tmp_path / "pci")
    assert cards.find_cards().plugged_in == 1
    assert "driver" in checked(monkeypatch, CPU).steps[0].remedies[0]


@posix_only
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"packages": ("paddlepaddle 3.3.1", "paddlepaddle-gpu 2.6.2")},
            "pip uninstall -y paddlepaddle paddlepaddle-gpu",
        ),
        ({"missing": ("libcudnn.so",), "opened_cudnn": None}, "--link_libraries"),
        ({"failure": "crashed with SIGABRT", "opened_cudnn": None}, "--link_libraries"),
        ({"failure": "crashed with SIGBUS", "opened_cudnn": None, "devices": None}, "SIGBUS\npip uninstall"),
        ({"opened_cudnn": None}, "cuDNN"),
        ({"devices": 0}, "CUDA_VISIBLE_DEVICES"),
        ({"packages": (), "version": "", "cuda": ""}, "requirements-gpu.txt"),
        ({"cuda": "", "packages": ("paddlepaddle 2.6.2",)}, "pip uninstall -y paddlepaddle\n"),
    ],
)
def test_each_broken_installation_gets_its_own_remedy(change, expected, nvidia_smi, monkeypatch):
    nvidia_smi(rows("Tesla T4"))
    check = checked(monkeypatch, replace(PYPI, **change))
    assert not check.works
    assert expected in advice(check)


@posix_only
def test_an_old_driver_is_reported_or_gets_the_build_that_it_runs(nvidia_smi, monkeypatch):
    nvidia_smi(rows("Tesla T4", driver="470.57.02"))
    assert "/cu118/" in advice(checked(monkeypatch, CPU))
    nvidia_smi(rows("NVIDIA H100 80GB HBM3", driver="470.57.02"))
    assert "470.57.02 is too old" in advice(checked(monkeypatch, CPU))


def test_cards_without_any_build_and_other_platforms_are_sent_to_the_cpu(monkeypatch):
    assert suitable_build((5, 2), None) is None
    assert all(build.first <= build.last for build in BUILDS)
    old = cards.Cards("470.1", (cards.Card("0", "GTX 970", (5, 2), None),), "", 1)
    monkeypatch.setattr(gpu_check, "find_cards", lambda: old)
    assert checked(monkeypatch, CPU).steps[-1].remedies == ("use --device cpu",)
    monkeypatch.setattr(gpu_check, "find_paddle", lambda: CPU)
    monkeypatch.setattr(gpu_check.platform, "machine", lambda: "arm64")
    assert gpu_check.check_gpu().steps[0].remedies == ("use --device cpu",)


@posix_only
@pytest.mark.parametrize(
    ("result", "works"),
    [
        (ChildResult({"loss": 1e-7, "weights": 1e-5, "probabilities": 1e-6, "compared": "GPU"}, ""), True),
        (ChildResult({"loss": 1e-7, "weights": 0.5, "probabilities": 1e-6}, ""), False),
        (ChildResult({"loss": float("nan"), "weights": 0.0, "probabilities": 0.0}, ""), False),
        (ChildResult({"loss": 0.0}, "crashed with SIGSEGV"), False),
        (ChildResult({}, "no answer within 900 s"), False),
    ],
)
def test_the_gpu_works_if_all_differences_are_small(result, works, nvidia_smi, monkeypatch):
    nvidia_smi(rows("Tesla T4"))
    check = checked(monkeypatch, PYPI, result)
    assert check.works == works
    assert bool(check.steps) != works


def test_the_cpu_agrees_with_itself_through_the_whole_check():
    check = check_gpu(device="cpu")
    assert check.works, check
    assert set(check.differences.values()) == {0.0}


@posix_only
@pytest.mark.parametrize("script", [None, rows(*CARDS), "exit 9"])
def test_the_script_fits_one_screen_and_its_exit_code_tells(script, nvidia_smi, monkeypatch, capsys):
    nvidia_smi(script)
    monkeypatch.setattr(
        gpu_check, "find_paddle", lambda: replace(PYPI, opened_cudnn=None, missing=("libcudnn.so",) * 4)
    )
    assert run_script("tools/check_gpu.py") == 2
    output = capsys.readouterr()
    lines = (output.out + output.err).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_the_script_runs_without_paddle(tmp_path):
    """A broken Paddle must not keep the check from running."""
    (tmp_path / "paddle").mkdir()
    (tmp_path / "paddle" / "__init__.py").write_text("raise ImportError('libpaddle.so: broken')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))), "PATH": str(tmp_path)}
    command = [sys.executable, str(ROOT / "tools/check_gpu.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
