"""The check of machine and installation."""

import importlib.metadata
import os
import sys

import pytest
from conftest import run_script

from chexnet import doctor
from chexnet.doctor import checks
from chexnet.gpu.paddle_build import PaddleBuild


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return list(doctor.check_machine(tmp_path_factory.mktemp("outputs")))


def test_a_working_installation_has_nothing_fatal(found):
    assert not [check for check in found if check.fatal]
    texts = {check.topic: check.found for check in found}
    assert importlib.metadata.version("numpy") in texts["packages"]
    assert "float32" in texts["engine paddle"]
    assert len(texts) == len(found)


def test_the_script_prints_every_check(found, monkeypatch, capsys, tmp_path):
    checked = []
    monkeypatch.setattr(doctor, "check_machine", lambda folder: checked.append(folder) or iter(found))
    assert run_script("tools/doctor.py", "--output_dir", str(tmp_path)) == 0
    assert checked == [str(tmp_path)]
    printed = capsys.readouterr().out
    assert all(check.topic in printed for check in found)


@pytest.mark.parametrize(
    "paddle",
    [
        PaddleBuild(()),
        PaddleBuild(("paddlepaddle 3.3.1", "paddlepaddle-gpu 2.6.2"), "3.3.1"),
        PaddleBuild(("paddlepaddle 3.3.1",), "3.3.1", failure="ended by SIGILL"),
    ],
    ids=["missing", "two packages", "crashes"],
)
def test_a_paddle_that_cannot_work_is_fatal_and_has_a_remedy(paddle, monkeypatch, capsys):
    monkeypatch.setattr(checks, "find_paddle", lambda: paddle)
    monkeypatch.setattr(checks, "ENGINES", ())
    (check,) = [check for check in doctor.check_machine() if check.topic == "Paddle"]
    assert check.fatal
    assert check.advice
    assert run_script("tools/doctor.py") == 2
    assert "Paddle" in capsys.readouterr().err


def test_a_missing_package_is_fatal_only_if_it_is_required(monkeypatch):
    monkeypatch.setattr(checks, "_version", lambda name: "" if name in ("scipy", "pydicom") else "1.0")
    by_topic = {check.topic: check for check in checks._packages()}
    assert by_topic["packages"].fatal
    assert by_topic["packages"].advice == "pip install scipy"
    assert not by_topic["pydicom"].fatal
    assert "paddle-chexnet[dicom]" in by_topic["pydicom"].found


def test_the_extras_that_are_named_exist():
    provided = set(importlib.metadata.metadata("paddle-chexnet").get_all("Provides-Extra"))
    assert {extra for extra, _ in checks.OPTIONAL.values()} <= provided


def test_a_folder_that_cannot_be_written_has_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    check = checks._folder("outputs", str(tmp_path / "file" / "below"), "choose another")
    assert check.advice == "choose another"
    assert checks._folder("outputs", str(tmp_path / "new" / "folder"), "choose another").advice == ""
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's files")
def test_free_memory_is_less_than_the_memory_of_the_machine():
    assert 0 < checks.free_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
