"""Files that belong together agree or are refused, and checksums are those of the bytes that were used."""

import json
import shutil
from pathlib import Path

import paddle
import pytest
from conftest import make_folder

from chexnet import model
from chexnet.config import EvalConfig, LocalizationConfig, PredictConfig
from chexnet.data import audit
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.evaluation.localization import localize
from chexnet.evaluation.localization.box_files import read_boxes
from chexnet.files import sha256
from chexnet.inference import Predictor
from chexnet.inference.deployment import deploy
from chexnet.inference.file_prediction import predict_files
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.training import resume, run_state, train
from tools import audit_split, release_weights

HERE = {"backbone": "lenet", "resize": 40, "crop": 32}


def saved(path: Path, seed: int, **facts) -> Path:
    """Write a checkpoint of a small network."""
    paddle.seed(seed)
    checkpoint.save_checkpoint(CheXNet(14, "lenet").state_dict(), path, {**HERE, "classes": list(CLASS_NAMES), **facts})
    return path


@pytest.fixture
def ckpt(tmp_path) -> Path:
    return saved(tmp_path / "best_model.pdparams", 1, epoch=1)


# Weights without metadata, with a JSON file next to them, as earlier versions wrote them


def earlier(path: Path, seed: int, **facts) -> Path:
    """Write a checkpoint of a small network as an earlier version did."""
    paddle.seed(seed)
    digest = checkpoint.save_weights(CheXNet(14, "lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {**HERE, "classes": list(CLASS_NAMES), **facts, "weights_sha256": digest})
    return path


def readers(ckpt: Path, folder: Path):
    """Return functions that open the checkpoint, one per reader; their outputs go to `folder`."""
    return (
        lambda: model.load(ckpt),
        lambda: model.open_checkpoint(ckpt),
        lambda: Predictor(ckpt),
        lambda: deploy(ckpt, folder / "out"),
        lambda: model.init_weights(CheXNet(14, "lenet"), str(ckpt)),
        lambda: checkpoint.export_weights(ckpt, folder / "r.safetensors"),
        lambda: audit_split.read_metadata(str(ckpt)),
    )


def test_the_json_of_another_epoch_is_refused_by_every_reader(tmp_path):
    ckpt = earlier(tmp_path / "best_model.pdparams", 1, epoch=1)
    other = earlier(tmp_path / "other" / "best_model.pdparams", 2, epoch=2)
    shutil.copy(other.with_suffix(".json"), ckpt.with_suffix(".json"))
    for reader in readers(ckpt, tmp_path):
        with pytest.raises(InputError, match=r"best_model\.json: describes weights with SHA-256 ") as caught:
            reader()
        assert all(sha256(path) in str(caught.value) for path in (ckpt, other))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "r.safetensors").exists()


def test_stored_metadata_takes_precedence_over_the_json_of_another_epoch(tmp_path):
    ckpt = saved(tmp_path / "best_model.pdparams", 1, epoch=1, **{audit.KEY: audit.fingerprint(["a.png"])})
    other = earlier(tmp_path / "other" / "best_model.pdparams", 2, epoch=2, backbone="densenet121")
    shutil.copy(other.with_suffix(".json"), ckpt.with_suffix(".json"))
    for reader in readers(ckpt, tmp_path):
        reader()
    assert model.open_checkpoint(ckpt).metadata["epoch"] == 1
    assert checkpoint.open_weights(tmp_path / "r.safetensors").metadata["epoch"] == 1


def test_a_json_with_the_right_checksum_or_none_is_used(tmp_path):
    ckpt = earlier(tmp_path / "best_model.pdparams", 1, epoch=1)
    facts = checkpoint.read_metadata_file(ckpt)
    assert facts.pop("weights_sha256") == sha256(ckpt)
    assert model.open_checkpoint(ckpt).metadata == facts
    checkpoint.write_metadata_file(ckpt, facts)
    assert model.open_checkpoint(ckpt).metadata == facts


# One file


@pytest.mark.parametrize("suffix", checkpoint.WEIGHT_SUFFIXES)
def test_training_writes_checkpoints_of_one_file(small_run, suffix):
    result = train(small_run(format=suffix[1:]))
    for name in ("best_model", "final"):
        path = result.best_model.with_stem(name)
        written = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").unlink()
        opened = model.open_checkpoint(path)
        assert written == {**opened.metadata, "weights_sha256": sha256(path)}
        assert opened.config.backbone == opened.metadata["backbone"]


def test_a_release_has_the_metadata_of_its_source_and_its_own_checksum(ckpt, tmp_path, capsys):
    for source in (ckpt, earlier(tmp_path / "earlier.pdparams", 1, epoch=1)):
        target = tmp_path / "r.safetensors"
        assert release_weights.main(["--ckpt", str(source), "--output", str(target)]) == 0
        facts = checkpoint.open_weights(target).metadata
        assert (facts["epoch"], facts["source_sha256"]) == (1, sha256(source))
        assert checkpoint.read_metadata_file(target) == {**facts, "weights_sha256": sha256(target)}
        assert sha256(target) in capsys.readouterr().out


def test_initial_weights_of_other_classes_give_a_warning(small_data, small_run, tmp_path):
    config = small_run(epoch=1)
    first = train(config).best_model
    names = [*CLASS_NAMES[1:], CLASS_NAMES[0]]
    (tmp_path / "names.txt").write_text("\n".join(names))
    lines: list[str] = []
    changes = {"init": str(first), "classes_file": str(tmp_path / "names.txt"), "save_dir": str(tmp_path / "on")}
    train(small_run(epoch=1, **changes), lines.append)
    assert any(line.startswith(f"=> warning: {first}: its classes were ['Atelectasis'") for line in lines)
    lines.clear()
    train(small_run(epoch=1, init=str(first), save_dir=str(tmp_path / "same")), lines.append)
    assert not any("its classes were" in line for line in lines)


# Checksums are those of the bytes that were used


@pytest.fixture
def replaced(ckpt, monkeypatch):
    """SHA-256 of the checkpoint, whose file is replaced as soon as its weights are in the network."""
    other = saved(ckpt.with_name("next.pdparams"), 2).read_bytes()
    digest = sha256(ckpt)
    original = model.Checkpoint.build_network

    def network(opened):
        built = original(opened)
        ckpt.write_bytes(other)
        return built

    monkeypatch.setattr(model.Checkpoint, "build_network", network)
    yield digest
    assert sha256(ckpt) != digest


def test_an_evaluation_reports_the_checksums_of_its_inputs(ckpt, replaced, tmp_path):
    images, test_list = make_folder(tmp_path, 6)
    list_sha256 = sha256(test_list)
    config = EvalConfig(
        data_dir=str(images),
        test_list=str(test_list),
        ckpt=str(ckpt),
        crops=1,
        device="cpu",
        engine="paddle",
        num_workers=0,
    )
    result = evaluate(config)
    test_list.write_text("gone")
    result.write_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["sha256"] == {"ckpt": replaced, "test_list": list_sha256}
    assert result.members[0].sha256 == replaced


def test_predictions_report_the_checksum_of_the_weights(ckpt, replaced, tmp_path):
    images, _ = make_folder(tmp_path, 2)
    config = PredictConfig(ckpt=str(ckpt), crops=1, device="cpu", num_workers=0, output_json=str(tmp_path / "p.json"))
    assert len(list(predict_files(config, [str(images)]))) == 2
    assert json.loads((tmp_path / "p.json").read_text())["ckpt_sha256"] == replaced


def test_thresholds_of_other_weights_are_refused(ckpt, tmp_path):
    images, _ = make_folder(tmp_path, 1)
    point = {"threshold": 0.5, "sensitivity": 0.5, "specificity": 0.5}
    facts = {"schema": 1, "chosen": "", "thresholds": dict.fromkeys(CLASS_NAMES, point)}
    path = tmp_path / "thresholds.json"
    config = PredictConfig(ckpt=str(ckpt), crops=1, device="cpu", num_workers=0, thresholds=str(path))
    lines: list[str] = []
    for digest, warned in ((sha256(ckpt), False), (None, True)):
        path.write_text(json.dumps({**facts, "ckpt_sha256": digest}))
        list(predict_files(config, [str(images)], log=lines.append))
        assert any(line.startswith(f"=> warning: {path}: ") for line in lines) is warned
    path.write_text(json.dumps({**facts, "ckpt_sha256": sha256(path)}))
    with pytest.raises(InputError, match="chosen for weights with SHA-256"):
        list(predict_files(config, [str(images)]))


def test_an_export_contains_the_checksum_of_the_weights(ckpt, replaced, tmp_path):
    assert deploy(ckpt, tmp_path / "out").description["ckpt_sha256"] == replaced


def test_a_localization_reports_the_checksums_of_its_inputs(replaced, tmp_path):
    images, _ = make_folder(tmp_path, 1)
    (tmp_path / "boxes.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\nlist_000.png,Mass,10,10,500,500,,,\n"
    )
    assert read_boxes(tmp_path / "boxes.csv")
    ckpt = tmp_path / "best_model.pdparams"
    config = LocalizationConfig(
        boxes=str(tmp_path / "boxes.csv"),
        data_dir=str(images),
        ckpt=str(ckpt),
        crops=1,
        device="cpu",
        engine="paddle",
        num_workers=0,
    )
    boxes_sha256 = sha256(tmp_path / "boxes.csv")
    result = localize(config)
    (tmp_path / "boxes.csv").write_text("gone")
    result.write_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["sha256"] == {"ckpt": replaced, "boxes": boxes_sha256}


# A run and its outputs


def test_resuming_restores_the_outputs_of_a_run(small_run, tmp_path):
    """`config.json`, the history and both checkpoints are written again from the state."""
    config = small_run()
    train(config)
    folder = Path(config.save_dir)
    complete = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}
    for name in ("config.json", "history.csv", "best_model.json", "final.json"):
        (folder / name).write_text("{}")
    resume(folder, {})
    assert {name: (folder / name).read_bytes() for name in complete} == complete
    assert run_state.load(folder / "after_epoch_02.state").progress.best_epoch in (1, 2)
