"""The SLURM scripts and the Kubernetes job, with stubs for srun, scontrol and python."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, load_script

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not installed")
SCRIPTS = sorted((ROOT / "examples/slurm").iterdir())

STUBS = {
    # Runs the command once per node, as srun does for one task per node, and forwards SIGTERM.
    "srun": """
        trap 'kill -TERM $pids' TERM
        for node in $(seq 0 $((SLURM_NNODES - 1))); do SLURM_NODEID=$node "$@" & pids="$pids $!"; done
        worst=0
        for pid in $pids; do
            wait $pid; code=$?
            while kill -0 $pid 2>/dev/null; do wait $pid; code=$?; done
            [ $code -eq 0 ] || worst=$code
        done
        exit $worst
    """,
    "scontrol": """
        if [ "$1" = show ]; then echo first.node; echo second.node; else echo "$@" >> "$RECORD/scontrol"; fi
    """,
    # Writes its arguments, one per line; with WAIT it runs until SIGTERM and then ends with code 143.
    "python": """
        for word; do echo "$word"; done > "$RECORD/python.${SLURM_NODEID:-0}"
        while [ $# -gt 0 ]; do
            if [ "$1" = --log_dir ]; then echo "the cause" > "$2/workerlog.1"; echo "$2" > "$RECORD/log_dir"; fi
            shift
        done
        if [ -n "$WAIT" ]; then
            trap 'echo stopped >> "$RECORD/stopped"; exit 143' TERM
            touch "$RECORD/ready"
            while true; do sleep 0.01; done
        fi
        exit ${CODE:-0}
    """,
}


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """A function that starts a script with stubs in a copy of the folder; the stubs write to `record/`."""
    for name, body in STUBS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}")
        path.chmod(0o755)
    for folder in ("record", "tmp"):
        (tmp_path / folder).mkdir()
    shutil.copytree(ROOT / "examples/slurm", tmp_path / "examples/slurm")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "RECORD": str(tmp_path / "record"),
        "TMPDIR": str(tmp_path / "tmp"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "1",
        "SLURM_ARRAY_TASK_ID": "3",
    }

    def start(script: str, *arguments: str, **variables: str) -> subprocess.Popen:
        command = [BASH, f"examples/slurm/{script}", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=tmp_path, env=environment | variables, stdout=pipe, stderr=pipe, text=True)

    return start


def arguments(tmp_path: Path, node: int = 0) -> list[str]:
    return (tmp_path / "record" / f"python.{node}").read_text().splitlines()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_syntax_is_valid(script: Path) -> None:
    subprocess.run([BASH, "-n", script], check=True)


@pytest.mark.parametrize("nodes", [1, 2])
def test_training_starts_one_launcher_per_node(
    start: Callable[..., subprocess.Popen], tmp_path: Path, nodes: int
) -> None:
    job = start("train.sbatch", "--data_dir", "a folder", SLURM_NNODES=str(nodes))
    assert job.wait() == 0, job.stderr.read()
    for node in range(nodes):
        module, name, *launcher = arguments(tmp_path, node)
        assert (module, name) == ("-m", "paddle.distributed.launch")
        script = launcher.index("train.py")
        assert launcher[script + 1 :] == ["--resume", "--data_dir", "a folder"]
        flags = dict(zip(launcher[:script:2], launcher[1:script:2], strict=True))
        assert flags.pop("--log_dir").startswith(str(tmp_path / "tmp"))
        expected = {"--nnodes": str(nodes), "--rank": str(node), "--master": "first.node:24711", "--log_level": "ERROR"}
        assert flags == expected
    assert not list((tmp_path / "tmp").iterdir())  # the launcher's log folders are gone
    assert not (tmp_path / "record/scontrol").exists()


def test_a_failure_prints_the_logs_of_all_processes_and_is_not_requeued(
    start: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    job = start("train.sbatch", CODE="2")
    _, errors = job.communicate()
    assert job.returncode == 2
    assert "the cause" in errors
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "record/scontrol").exists()


@pytest.mark.parametrize("script", ["train.sbatch", "seeds.sbatch"])
def test_the_end_of_the_time_stops_the_run_and_requeues_the_job(
    start: Callable[..., subprocess.Popen], tmp_path: Path, script: str
) -> None:
    job = start(script, WAIT="yes")
    wait_for(tmp_path / "record/ready")
    job.send_signal(signal.SIGUSR1)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 143, errors
    assert (tmp_path / "record/stopped").read_text() == "stopped\n"
    assert (tmp_path / "record/scontrol").read_text() == "requeue 4711\n"
    assert not list((tmp_path / "tmp").iterdir())


def test_seeds_train_in_folders_of_their_own(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    assert start("seeds.sbatch", "--data_dir", "images").wait() == 0
    script, *flags = arguments(tmp_path)
    args = load_script(script).build_parser().parse_args(flags)
    assert (args.resume, args.save_dir, args.seed, args.data_dir) == ("", "save/seed_3", 3, "images")


def test_the_ensemble_has_all_seeds(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    ckpts = [f"save/seed_{seed}/best_model.pdparams" for seed in range(3)]
    for path in ckpts:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"")
    assert start("ensemble.sbatch", "--output_dir", "report").wait() == 0
    script, *flags = arguments(tmp_path)
    args = load_script(script).build_parser().parse_args(flags)
    assert (args.ckpt, args.output_dir) == (ckpts, "report")


def test_an_array_scores_one_part_per_job(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    assert start("score_parts.sbatch", "names.txt", "--output_dir", "parts").wait() == 0
    script, *flags = arguments(tmp_path)
    args = load_script(script).build_parser().parse_args(flags)
    assert (args.names, args.output_dir, args.part) == ("names.txt", "parts", 3)


def test_a_pod_scores_the_part_of_its_index(start: Callable[..., subprocess.Popen], tmp_path: Path) -> None:
    """The command of the job, joined as YAML folds its lines."""
    lines = (ROOT / "examples/kubernetes/score_parts.yaml").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith("exec python"))
    command = " ".join(line.strip() for line in lines[first : first + 2])
    (tmp_path / "examples/slurm/pod").write_text(command)
    assert start("pod", JOB_COMPLETION_INDEX="7").wait() == 0
    script, *flags = arguments(tmp_path)
    args = load_script(script).build_parser().parse_args(flags)
    assert (args.names, args.part, args.part_size) == ("/data/names.txt", 7, 100_000)
