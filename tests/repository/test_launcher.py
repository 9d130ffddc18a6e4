"""Scripts under Paddle's launcher, and the launcher's log folder, which contains the whole environment."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, run_script

SCRIPTS = ["eval.py", "predict.py", *(f"tools/{path.name}" for path in sorted(ROOT.glob("tools/*.py")))]
REQUIRED = {
    "predict.py": ["image.png"],
    "tools/audit_split.py": ["a.txt", "b.txt"],
    "tools/build_cache.py": ["--output_dir", "cache"],
    "tools/compare_labels.py": ["--labels", "a.txt", "--reference", "b.txt"],
    "tools/completion.py": ["bash"],
    "tools/build_page.py": ["--output_dir", "page"],
    "tools/contact_sheet.py": ["image.png", "--output", "sheet.png"],
    "tools/dicom_node.py": ["--peer", "A@127.0.0.1:104", "--spool", "spool"],
    "tools/download_nih.py": ["--output_dir", "data"],
    "tools/export.py": ["--output_dir", "exported"],
    "tools/localize.py": ["--boxes", "boxes.csv"],
    "tools/make_phantom.py": ["--output_dir", "data"],
    "tools/prepare_lists.py": ["--csv", "a.csv", "--split", "random", "--output_dir", "lists"],
    "tools/model_card.py": ["--ckpt", "a.pdparams"],
    "tools/release_weights.py": ["--ckpt", "a.pdparams", "--output", "b.safetensors"],
    "tools/report.py": ["--predictions", "a.csv", "--output_dir", "report"],
    "tools/score_parts.py": ["names.txt", "--output_dir", "parts"],
    "tools/shortcuts.py": ["--pairs", "pairs.csv", "--output_dir", "shortcuts"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_but_training_refuses_several_processes(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert run_script(script, *REQUIRED.get(script, [])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "docs/scaling.md" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("processes", ["1", "", "many"])
def test_one_process_is_not_refused(
    processes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", processes)
    assert run_script("tools/report.py", "--predictions", str(tmp_path / "a.csv"), "--output_dir", str(tmp_path)) == 2
    assert "a.csv" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_log_folders_of_the_launcher_are_ignored_and_the_logs_of_the_repository_are_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    ignored = {"log/envlog.0": True, "log_two/workerlog.0": True, "logs/demo.log": False, "docs/log.md": False}
    for name, expected in ignored.items():
        found = subprocess.run(["git", "-C", tmp_path, "check-ignore", "-q", name], check=False).returncode == 0
        assert found == expected, name
