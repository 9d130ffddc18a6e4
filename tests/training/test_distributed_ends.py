"""Jobs of several processes that are stopped, killed, or given images and lists that cannot be used."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import launched_training
import pytest
from faults.nursery import assert_same_outcome
from launcher import Job, LaunchedJob, flags, free_endpoints, training

from chexnet.model import checkpoint
from chexnet.training import run_state


@pytest.fixture
def reference(two_processes):
    """Folder of a run of two processes without an interruption."""
    return two_processes.succeed().folder / "save"


@pytest.fixture
def running(lists, tmp_path):
    """A function that starts a job of two processes and returns it in its second epoch, of slower steps."""
    jobs = []

    def start(start_job: Callable[..., Job]) -> Job:
        arguments = flags(lists, tmp_path / "save", "--sync_bn", "--save_every_steps", 3, "--keep_states", 99)
        jobs.append(start_job(tmp_path, 2, arguments, CHEXNET_TEST_PAUSE="0.1"))
        jobs[0].wait_for("Epoch 2/3")
        return jobs[0]

    yield start
    for job in jobs:
        job.kill()


def assert_resumes_to(reference: Path, folder: Path, root: Path) -> None:
    """Assert that every state of a folder can be read and that the run ends as if it had not been interrupted."""
    assert all(run_state.load(path).weights for path in run_state.paths(folder))
    training(root / "again", 2, ["--resume", "--save_dir", str(folder)]).succeed()
    assert_same_outcome(folder, reference)


def test_a_signal_to_one_process_stops_all_after_the_same_step(running, reference, tmp_path):
    job = running(LaunchedJob)
    job.send(signal.SIGTERM, rank=1)
    assert job.end() == 128 + signal.SIGTERM
    for output in (job.output, job.log(1)):
        assert output.splitlines()[-1].startswith("SIGTERM: stopped at epoch 2, step ")
    assert job.output.splitlines()[-1] == job.log(1).splitlines()[-1]
    assert_resumes_to(reference, tmp_path / "save", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_stops_and_saves(running, number):
    job = running(LaunchedJob)
    job.process.send_signal(number)
    assert job.end() != 0
    stopped = [line for line in job.log(0).splitlines() if line.startswith("SIGTERM: stopped at ")]
    assert stopped or "ended by SIGTERM" in job.log(0)  # the launcher sends it three times
    progress = run_state.load(run_state.paths(job.folder / "save")[-1]).progress
    assert [line for line in job.log(1).splitlines() if f"stopped at {progress}, and saved" in line]


def test_a_killed_process_ends_the_job_with_intact_states(running, reference, tmp_path):
    job = running(LaunchedJob)
    job.send(signal.SIGKILL, rank=1)
    assert job.end() != 0
    assert_resumes_to(reference, tmp_path / "save", tmp_path)


@pytest.fixture(scope="module")
def broken(lists, tmp_path_factory):
    """The lists, with an image that only the second of two processes reads in the first step."""
    root = tmp_path_factory.mktemp("broken") / "lists"
    shutil.copytree(lists, root)
    (root / "images" / "train77.png").write_text("<html>")
    return root


@pytest.mark.parametrize(("start_job", "statistics"), [(LaunchedJob, ["--sync_bn"]), (training, [])])
def test_the_last_line_names_the_image_that_one_process_cannot_read(broken, tmp_path, start_job, statistics):
    job = start_job(tmp_path, 2, flags(broken, tmp_path / "save", *statistics))
    assert job.end() == 2
    for output in (job.output, job.log(1)):
        assert output.splitlines()[-1].startswith(f"error: {broken / 'images' / 'train77.png'}: ")
    assert [path.name for path in run_state.paths(tmp_path / "save")] == ["after_epoch_00.state"]


def test_all_processes_skip_the_same_images(broken, tmp_path):
    job = training(tmp_path, 3, flags(broken, tmp_path / "save", "--on_bad_image", "skip", "--epoch", 1)).succeed()
    assert "149 images to train on" in job.output
    assert job.output.count("train77.png (line 78)") == 1
    skipped = checkpoint.read_metadata_file(tmp_path / "save" / "best_model.pdparams")["skipped"]["train"]
    assert [(image["image"], image["line"]) for image in skipped] == [("train77.png", 78)]


def test_a_batch_that_cannot_be_divided_is_refused_in_one_line(lists, tmp_path):
    job = training(tmp_path, 2, flags(lists, tmp_path / "save", "--batch_size", 26, "--accumulate", 2))
    assert job.end() == 2
    assert job.output.splitlines()[-1].startswith("error: --batch_size 26: ")
    assert "4" in job.output.splitlines()[-1]
    assert not (tmp_path / "save").exists()


def test_two_nodes_give_what_two_processes_of_one_give(lists, reference, tmp_path):
    (master,) = free_endpoints(1)
    arguments, node = flags(lists, tmp_path / "save", "--sync_bn"), ["--nnodes", "2", "--master", master, "--rank"]
    for job in [LaunchedJob(tmp_path / str(rank), 1, arguments, [*node, str(rank)]) for rank in (0, 1)]:
        job.succeed()
    assert_same_outcome(tmp_path / "save", reference)


def test_lists_that_differ_between_machines_are_refused_in_one_line(lists, tmp_path):
    arguments = flags(lists, tmp_path / "save", "--sync_bn")
    shorter = tmp_path / "train.txt"
    shorter.write_text("\n".join((lists / "train.txt").read_text().splitlines()[:-1]))
    other = [str(shorter) if value == str(lists / "train.txt") else value for value in arguments]
    job = Job(tmp_path, launched_training.main, arguments, other)
    assert job.end() == 2
    for rank in (0, 1):
        last = job.log(rank).splitlines()[-1]
        assert last.startswith("error: ")
        assert "150" in last
        assert "149" in last
    assert not (tmp_path / "save").exists()


def test_processes_wait_longer_for_the_disk_of_the_first_than_a_collective_may_take(slow_save):
    """The first state takes 32 seconds to save; gloo waits 30 seconds."""
    assert (slow_save.succeed().folder / "save" / "final.pdparams").exists()
