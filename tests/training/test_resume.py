"""Resuming a run: exactly, or not at all."""

import csv
import os
import re
import shutil
from pathlib import Path

import pytest
from faults.nursery import assert_same_outcome
from miniature import small_config, train_miniature

from chexnet import model
from chexnet.config import TrainConfig
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint import read_weights
from chexnet.training import resume, run_state, train


@pytest.fixture(scope="module")
def whole(small_data, tmp_path_factory):
    """Folder of a finished run of the miniature network that kept all states."""
    config = small_config(small_data, tmp_path_factory.mktemp("whole") / "save")
    config = TrainConfig(**{**vars(config), "save_every_steps": 2, "keep_states": 99})
    with pytest.MonkeyPatch.context() as patch:
        train_miniature(patch)
        train(config)
    return Path(config.save_dir)


@pytest.fixture
def copied(whole, tmp_path, monkeypatch):
    """A copy of that folder, for runs of the miniature network."""
    train_miniature(monkeypatch)
    return Path(shutil.copytree(whole, tmp_path / "copied"))


STATES = [f"after_epoch_{epoch:02d}{step}.state" for epoch in (0, 1)
          for step in ("", "_step_000002", "_step_000004", "_step_000006")]  # fmt: skip


def test_states_are_saved_at_the_requested_steps(whole):
    assert [path.name for path in run_state.paths(whole)] == [*STATES, "after_epoch_02.state"]


def test_the_keys_of_a_state_file_do_not_change(whole):
    """States of earlier versions are read by these keys."""
    content = checkpoint.load(whole / STATES[2])
    fields = {"config", "progress", "weights", "optimizer", "scaler", "skipped", "trained_on", "average"}
    assert content.keys() == fields | {"identity", "seen"}
    assert content["seen"].keys() == {"labels", "probabilities"}
    assert content["identity"].keys() == {"Paddle", "content of train_list", "content of val_list"}


def test_the_best_weights_are_those_of_their_epoch(whole):
    """Later training does not change them."""
    last = run_state.load(whole / "after_epoch_02.state").progress
    assert last.best_epoch == 1
    then = run_state.load(whole / "after_epoch_01.state").weights
    for name, value in read_weights(whole / "best_model.pdparams").items():
        assert value.tobytes() == last.best_weights[name].tobytes() == then[name].tobytes()


@pytest.mark.parametrize("name", STATES)
def test_a_run_resumed_from_any_state_ends_with_the_same_bytes(whole, copied, tmp_path, name):
    result = resume(whole / name, {"save_dir": str(tmp_path / "resumed")})
    assert_same_outcome(tmp_path / "resumed", whole)
    assert result.best_model == tmp_path / "resumed" / "best_model.pdparams"


def test_the_real_network_resumed_within_an_epoch_ends_with_the_same_bytes(real_run, tmp_path):
    """DenseNet-121 with 606 tensors, and the state of an optimizer that updates them in one call."""
    whole = Path(real_run[0].save_dir)
    resume(whole / "after_epoch_01_step_000004.state", {"save_dir": str(tmp_path / "resumed")})
    assert_same_outcome(tmp_path / "resumed", whole)


def test_sgd_resumed_ends_with_the_same_bytes(small_run, tmp_path):
    """Its state differs from that of Adam. The normalization is stored with the weights."""
    config = small_run(optimizer="sgd", normalization="minus_one_one", save_every_steps=4)
    train(config)
    middle = Path(config.save_dir) / "after_epoch_01_step_000004.state"
    assert any("velocity" in name for name in run_state.load(middle).optimizer)
    resume(middle, {"save_dir": str(tmp_path / "resumed")})
    assert_same_outcome(tmp_path / "resumed", Path(config.save_dir))
    metadata = checkpoint.read_metadata_file(tmp_path / "resumed" / "best_model.pdparams")
    assert metadata["normalization"] == "minus_one_one"
    with pytest.raises(InputError, match=r"this run has optimizer sgd \(now adam\)"):
        resume(tmp_path / "resumed", {"optimizer": "adam"}, force=True)


def test_a_state_of_an_earlier_version_resumes_to_the_same_bytes(small_run, tmp_path):
    """States of 0.1.0 have `scaling: symmetric`, `optimizer: momentum` and `classes`."""
    config = small_run(optimizer="sgd", normalization="minus_one_one", save_every_steps=4)
    train(config)
    middle = Path(config.save_dir) / "after_epoch_01_step_000004.state"
    content = checkpoint.load(middle)
    config_now = content["config"]
    renamed = {"scaling": "symmetric", "optimizer": "momentum", "classes": config_now.pop("classes_file")}
    del config_now["normalization"]
    content["config"] = {**config_now, **renamed}
    checkpoint.save(content, tmp_path / middle.name)
    resume(tmp_path / middle.name, {"save_dir": str(tmp_path / "resumed")})
    assert_same_outcome(tmp_path / "resumed", Path(config.save_dir))


def test_the_history_of_a_resumed_epoch_covers_all_its_samples(whole, copied, tmp_path):
    """Loss and AUROC include the samples before the interruption, and the time is the sum."""
    name = "after_epoch_01_step_000004.state"
    state = run_state.load(whole / name)
    assert len(state.metric_state["labels"]) == 8
    rows = resume(whole / name, {"save_dir": str(tmp_path / "resumed")}).history
    with (tmp_path / "resumed" / "history.csv").open() as file:
        written = list(csv.DictReader(file))
    assert len(rows) == len(written) == 2
    assert float(written[1]["seconds"]) >= round(state.progress.seconds, 1)


def test_the_newest_states_are_kept(small_run):
    config = small_run(save_every_steps=1, keep_states=3)
    train(config)
    newest = ["after_epoch_01_step_000005.state", "after_epoch_01_step_000006.state", "after_epoch_02.state"]
    assert [path.name for path in run_state.paths(Path(config.save_dir))] == newest


def test_a_damaged_newest_state_is_named_and_the_state_before_it_is_used(whole, copied):
    newest = run_state.paths(copied)[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    logged: list[str] = []
    resume(None, {"save_dir": str(copied)}, log=logged.append)
    assert re.match(rf"=> {newest}: damaged: ", logged[0])
    assert f"=> resuming from {copied / STATES[-1]}: epoch 2, step 6" in logged
    assert newest.with_suffix(".damaged").read_bytes() == data
    newest.with_suffix(".damaged").unlink()
    assert_same_outcome(copied, whole)


def test_a_folder_of_damaged_states_is_an_error(copied):
    for path in run_state.paths(copied):
        os.truncate(path, 100)
    with pytest.raises(InputError, match=rf"{copied}: .*expected a file \*\.state"):
        resume(copied, {})


def test_an_undamaged_newest_state_is_never_renamed(copied):
    """It may come from a newer version, or be unreadable at the moment."""
    newest = run_state.paths(copied)[-1]
    newest.write_bytes(newest.read_bytes().replace(b"\nchexnet schema 1 ", b"\nchexnet schema 9 "))
    with pytest.raises(InputError, match=f"schema 9.* {checkpoint.SCHEMA}"):
        resume(copied, {})
    newest.unlink()
    newest.mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        resume(copied, {})
    assert newest.is_dir()
    assert not list(copied.glob("*.damaged"))


def test_a_finished_run_is_unchanged_and_missing_files_are_written_again(whole, copied):
    (copied / "final.pdparams").unlink()
    (copied / "history.csv").unlink()
    logged: list[str] = []
    result = resume(None, {"save_dir": str(copied)}, log=logged.append)
    assert "finished" in logged[-1]
    assert len(result.history) == 2
    assert_same_outcome(copied, whole)
    assert (copied / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_leftovers_of_a_killed_report_do_not_stop_a_run(whole, copied):
    """`eval.py --output_dir save/report` writes to such a folder before it renames it."""
    leftover = copied / ".report.tmp-0a1b2c3d" / "new"
    leftover.mkdir(parents=True)
    (leftover / "metrics.json").write_text("{")
    (copied / "final.pdparams").unlink()
    resume(None, {"save_dir": str(copied)})
    assert (copied / "final.pdparams").read_bytes() == (whole / "final.pdparams").read_bytes()
    assert leftover.is_dir()


def test_added_epochs_equal_those_of_a_longer_run(copied, small_run, tmp_path):
    longer = small_run(epoch=3, save_dir=str(tmp_path / "longer"))
    train(longer)
    with pytest.raises(InputError, match=r"epoch 2 \(now 3\).*--force"):
        resume(None, {"save_dir": str(copied), "epoch": 3})
    resume(None, {"save_dir": str(copied), "epoch": 3}, force=True)
    assert_same_outcome(copied, tmp_path / "longer")


@pytest.mark.parametrize("force", [False, True])
def test_another_configuration_is_refused_with_the_fields_that_differ(copied, force):
    before = {path: path.read_bytes() for path in copied.iterdir()}
    changes = {"save_dir": str(copied), "learning_rate": 0.5, "batch_size": 4, "seed": 0, "num_workers": 0}
    with pytest.raises(InputError) as caught:
        resume(None, changes, force)
    message = str(caught.value)
    assert "batch_size 2 (now 4)" in message
    assert "learning_rate 0.001 (now 0.5)" in message
    assert ("num_workers 1 (now 0)" in message) is not force
    assert "seed" not in message
    assert {path: path.read_bytes() for path in copied.iterdir()} == before


def test_output_settings_may_change(whole, copied):
    (copied / "after_epoch_02.state").unlink()
    resume(None, {"save_dir": str(copied), "keep_states": 1, "save_every_steps": 0, "format": "safetensors"})
    assert [path.name for path in run_state.paths(copied)] == ["after_epoch_02.state"]
    theirs, ours = run_state.load(whole / "after_epoch_02.state"), model.load(copied / "final.safetensors")
    for name, value in ours.state_dict().items():
        assert value.numpy().tobytes() == theirs.weights[name].tobytes()


def test_other_data_is_refused(copied, small_data, tmp_path):
    moved = tmp_path / "train.txt"
    shutil.copy(small_data / "train.txt", moved)
    resume(None, {"save_dir": str(copied), "train_list": str(moved)}, force=True)
    moved.write_text((small_data / "train.txt").read_text() + "\n")
    with pytest.raises(InputError, match=rf"after_epoch_\d+\.state: train_list \({moved}\) changed"):
        resume(None, {"save_dir": str(copied), "train_list": str(moved)}, force=True)


def test_a_missing_list_is_named(copied, tmp_path):
    with pytest.raises(InputError, match=r"gone\.txt: .*cannot be read: No such file"):
        resume(None, {"save_dir": str(copied), "val_list": str(tmp_path / "gone.txt")}, force=True)


def test_an_older_state_is_not_resumed_in_a_folder_with_a_newer_one(copied):
    with pytest.raises(InputError, match=r"after_epoch_02\.state is newer.*--save_dir"):
        resume(copied / STATES[3], {})


def test_another_runs_folder_is_refused(whole, copied):
    with pytest.raises(InputError, match=rf"^{copied}: .*another run"):
        resume(whole / STATES[3], {"save_dir": str(copied)})


def test_a_run_without_a_state_starts_from_the_beginning(small_run):
    config = small_run()
    logged: list[str] = []
    changes = {name: value for name, value in vars(config).items() if value != getattr(TrainConfig, name)}
    result = resume(None, changes, log=logged.append)
    assert logged[0].startswith(f"=> {config.save_dir} ")
    assert len(result.history) == 2


def test_a_file_that_is_not_a_state_is_refused(copied, tmp_path):
    with pytest.raises(InputError, match=r"missing\.state: "):
        resume(tmp_path / "missing.state", {})
    assert not (tmp_path / "missing.state").exists()
    shutil.copy(copied / "final.pdparams", tmp_path / "weights.state")
    with pytest.raises(InputError, match=r"weights\.state: "):
        resume(tmp_path / "weights.state", {})


@pytest.mark.parametrize(
    ("part", "value"), [("weights", 3), ("config", None), ("progress", {"epoch": "x"}), ("progress", {"rows": {}})]
)
def test_a_state_with_a_part_of_another_type_is_refused(copied, part, value):
    newest = run_state.paths(copied)[-1]
    content = checkpoint.load(newest)
    content[part] = {**content[part], **value} if part == "progress" else value
    checkpoint.save(content, newest)
    name = next(iter(value)) if part == "progress" else part
    with pytest.raises(InputError, match=rf"\.state: .*\b{name}\b"):
        run_state.load(newest)
