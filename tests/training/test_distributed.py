"""Training in several processes: the same numbers as in one, and exact resuming."""

import os
from pathlib import Path

import numpy as np
import paddle
import pytest
from faults.nursery import assert_same_outcome
from launcher import EVERY_STEP, Job, flags, training

from chexnet import device, distributed
from chexnet.config import TrainConfig
from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.data.loader import PieceLoader
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.training import run_state, train


@pytest.fixture(scope="module")
def jobs(lists, two_processes, slow_save, tmp_path_factory):
    """Runs that do not depend on each other, name -> job; they are started together."""
    root = tmp_path_factory.mktemp("jobs")

    def start(name: str, processes: int, *others: object) -> Job:
        return training(root / name, processes, flags(lists, root / name / "save", *others))

    return {
        "1": start("1", 1),
        "2": two_processes,
        "3": start("3", 3, "--sync_bn"),
        "4": start("4", 4, "--sync_bn"),
        "plain": start("plain", 2),
        "accumulated 1": start("accumulated 1", 1, "--accumulate", 4),
        "accumulated 2": start("accumulated 2", 2, "--accumulate", 4, "--sync_bn", *EVERY_STEP),
    }


@pytest.fixture(scope="module")
def folder(jobs):
    return lambda name: jobs[name].succeed().folder / "save"


@pytest.fixture(scope="module")
def resumed(lists, folder, tmp_path_factory):
    """Run name, name of its state and number of processes -> job that resumed it there."""

    def resume(name: str, state: str, processes: int) -> Job:
        root = tmp_path_factory.mktemp("resumed")
        arguments = ["--resume", str(folder(name) / state), "--save_dir", str(root / "save")]
        return training(root, processes, arguments)

    return resume


def assert_close(ours: Path, theirs: Path) -> None:
    """Assert that the last weights, losses and AUROCs of two runs are equal within rounding."""
    weights, expected = (checkpoint.load(run / "final.pdparams") for run in (ours, theirs))
    for name, value in expected.items():
        np.testing.assert_allclose(weights[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    our_rows, their_rows = (run_state.load(run_state.paths(run)[-1]).progress.rows for run in (ours, theirs))
    for our_row, their_row in zip(our_rows, their_rows, strict=True):
        assert our_row.keys() == their_row.keys()
        for name in our_row.keys() - {"seconds"}:
            # Two of several thousand pairs may be ordered differently.
            assert our_row[name] == pytest.approx(their_row[name], abs=1e-6 if "loss" in name else 2e-3, nan_ok=True), (
                name
            )


@pytest.mark.parametrize("processes", ["2", "3", "4"])
def test_weights_losses_and_aurocs_equal_those_of_one_process(folder, processes):
    """After 21 steps of SGD with momentum; in the last step of an epoch, up to three processes have no image."""
    assert_close(folder(processes), folder("1"))


def test_only_the_first_process_prints(jobs):
    job = jobs["4"].succeed()
    assert "Eval samples: 43\n" in job.output
    assert job.output.count("Best model: ") == 1
    for rank in (1, 2, 3):
        assert not [line for line in job.log(rank).splitlines() if "arn" not in line]


def test_without_sync_bn_the_run_is_finite_and_says_so(jobs, folder):
    weights = checkpoint.load(folder("plain") / "final.pdparams")
    assert all(np.isfinite(value).all() for value in weights.values())
    assert "--sync_bn" in next(line for line in jobs["plain"].output.splitlines() if "2 processes" in line)
    assert "--sync_bn" not in next(line for line in jobs["2"].output.splitlines() if "2 processes" in line)


def test_resuming_is_exact_and_possible_with_another_number_of_processes(resumed, folder):
    state = "after_epoch_01_step_000003.state"
    same, alone, more = (resumed("2", state, processes) for processes in (2, 1, 4))
    assert_same_outcome(same.succeed().folder / "save", folder("2"))
    assert "processes and now" not in same.output
    for job, message in ((alone, "had 2 processes and now has 1"), (more, "had 2 processes and now has 4")):
        assert_close(job.succeed().folder / "save", folder("2"))
        assert message in job.output


def test_the_validation_of_the_same_weights_is_the_same_in_every_bit(resumed, folder):
    """The state is that after the last training step."""
    jobs = [resumed("2", "after_epoch_02_step_000007.state", processes) for processes in (1, 3, 4)]
    expected = run_state.load(folder("2") / "after_epoch_03.state").progress.rows[-1]
    for job in jobs:
        row = run_state.load(job.succeed().folder / "save" / "after_epoch_03.state").progress.rows[-1]
        assert [row[name] for name in row if "AUROC" in name] == [expected[name] for name in row if "AUROC" in name]


def test_accumulated_parts_give_the_same_numbers_and_resume_exactly(resumed, folder):
    job = resumed("accumulated 2", "after_epoch_01_step_000003.state", 2)
    assert_close(folder("accumulated 2"), folder("accumulated 1"))
    assert_same_outcome(job.succeed().folder / "save", folder("accumulated 2"))


def test_accumulating_does_not_change_the_weights_of_a_network_without_batch_norm(small_run, tmp_path):
    runs = []
    for parts in (1, 2, 4):
        config = small_run(
            backbone="lenet", optimizer="sgd", batch_size=4, accumulate=parts, save_dir=str(tmp_path / str(parts))
        )
        train(config)
        runs.append(tmp_path / str(parts))
    assert_close(runs[1], runs[0])
    assert_close(runs[2], runs[0])


def dataset(lists: Path) -> ChestXrayDataSet:
    return ChestXrayDataSet(lists / "images", lists / "train.txt", "train", Preprocessing(40, 32))


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (4, 1), (3, 2), (1, 4), (4, 6)])
def test_pieces_make_up_the_batches(lists, processes, parts):
    """Those that count, part by part and process by process, are the batches that one process gets."""
    loaders = [PieceLoader(dataset(lists), 24, True, 0, rank, processes, parts) for rank in range(processes)]
    whole = BatchLoader(dataset(lists), 24, True, 0)
    assert {len(loader) for loader in loaders} == {len(whole)}
    for number, (batch, *pieces) in enumerate(zip(whole, *loaders, strict=True)):
        images, labels, starts = [], [], [0] * processes
        for part in range(len(pieces[0][2])):
            given = [sizes[part] for _, _, sizes in pieces]
            assert len({(rows, total) for _, rows, total in given}) == 1
            assert given[0][2] == sum(own for own, _, _ in given)
            for rank, (own, rows, _) in enumerate(given):
                mine = slice(starts[rank], starts[rank] + own)
                images.append(pieces[rank][0][mine])
                labels.append(pieces[rank][1][mine])
                starts[rank] += rows
        assert starts == [len(piece[0]) for piece in pieces]
        np.testing.assert_array_equal(np.concatenate(images), batch[0])
        np.testing.assert_array_equal(np.concatenate(labels), batch[1])
        assert loaders[0].size(number) == len(batch[0])


@pytest.mark.parametrize(
    ("choice", "launcher", "backend", "device_set"),
    [
        ("cpu", "", "gloo", "cpu"),
        ("auto", "", "nccl", "auto"),
        ("gpu", "", "nccl", "gpu"),
        ("auto", "gloo", "gloo", "cpu"),  # the launcher chose no GPU
    ],
)
def test_the_backend_follows_the_device_and_not_the_build(monkeypatch, choice, launcher, backend, device_set):
    """A build with GPUs, as far as this function can see."""
    calls = []
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_DISTRI_BACKEND", launcher)
    monkeypatch.setattr(device, "count_gpus", lambda: 2)
    monkeypatch.setattr(device, "set_device", lambda choice, tf32: calls.append(choice))
    monkeypatch.setattr(
        paddle.distributed, "init_parallel_env", lambda: calls.append(os.environ["PADDLE_DISTRI_BACKEND"])
    )
    distributed.join(choice)
    assert calls == [backend, device_set]


def test_a_gpu_that_the_launcher_did_not_give_is_refused(monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_DISTRI_BACKEND", "gloo")
    with pytest.raises(InputError, match=r"--device gpu: .*--gpus"):
        distributed.join("gpu")


def test_earlier_states_have_neither_accumulation_nor_sync_bn():
    stored = {name: value for name, value in vars(TrainConfig()).items() if name not in ("accumulate", "sync_bn")}
    assert TrainConfig.from_dict(stored) == TrainConfig()
