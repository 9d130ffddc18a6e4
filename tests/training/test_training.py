import ast
import csv
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT
from paddle.nn.functional import sigmoid
from PIL import Image

from chexnet.config import EvalConfig, TrainConfig
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.model import checkpoint
from chexnet.training import AUROC, auroc_metric, resume, run_state, train
from chexnet.training.epoch_history import draw_curves
from chexnet.training.extensions import Extensions
from chexnet.training.losses import BinaryCrossEntropy
from chexnet.training.training_data import open_data


def random_batches(count: int, classes: int = 14):
    rng = np.random.default_rng(0)
    return [(rng.random((4, classes), dtype=np.float32), rng.integers(0, 2, (4, classes))) for _ in range(count)]


def private_names(path: Path) -> set[str]:
    """Names with an underscore that a module uses and does not define."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    defined |= {node.attr for node in used if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"}
    outside = {node.attr for node in used if ast.unparse(node.value) not in ("self", "os")}
    return outside | {node.attr for node in used} - defined - {"_exit"}


def test_private_names_of_paddle_are_used_in_one_module():
    modules = (ROOT / "chexnet/training").glob("*.py")
    assert {path.name: names for path in modules if (names := private_names(path))} == {
        "progress_logger.py": {"_updates", "_start"},
        "tracker_callback.py": {"_get_file_writer"},  # of VisualDL, whose own ROC curves are wrong
    }


def test_the_metric_is_exact_over_all_batches_since_the_reset():
    metric = AUROC()
    assert metric.name() == [*(f"AUROC_{name}" for name in CLASS_NAMES), "AUROC_avg"]
    metric.update(*random_batches(1)[0])
    metric.reset()
    batches = random_batches(6)
    for batch in batches:
        metric.update(*batch)
    scores, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    expected = class_aurocs(labels, scores)
    assert metric.accumulate() == [*expected, expected.mean()]


def test_a_class_without_positives_blanks_nothing_else():
    metric = AUROC(2, ["a", "b"])
    metric.update(np.array([[0.1, 0.2], [0.3, 0.1]]), np.array([[0, 1], [0, 0]]))
    values = metric.accumulate()
    assert math.isnan(values[0])
    assert values[1:] == [1.0, 1.0]


def test_values_are_computed_only_on_request(monkeypatch):
    metric = AUROC()
    metric.compute_now = False
    monkeypatch.setattr(auroc_metric, "class_aurocs", lambda *_: pytest.fail("ranked all samples"))
    for batch in random_batches(5):
        metric.update(*batch)
        assert all(map(math.isnan, metric.accumulate()))


def test_a_run_writes_its_outputs(real_run):
    config, result, logged = real_run
    save_dir = Path(config.save_dir)
    assert {path.name for path in save_dir.iterdir()} == {
        *("best_model.pdparams", "best_model.json", "final.pdparams", "final.json"),
        *("after_epoch_01.state", "after_epoch_01_step_000004.state", "after_epoch_02.state", ".lock"),
        *("config.json", "history.csv", "curves.png"),
    }
    assert json.loads((save_dir / "config.json").read_text())["learning_rate"] == config.learning_rate
    assert result.best_model == save_dir / "best_model.pdparams"
    assert result.best_auroc == max(row["val_AUROC_avg"] for row in result.history)
    best, state = (
        checkpoint.load(result.best_model),
        run_state.load(save_dir / f"after_epoch_0{result.best_epoch}.state"),
    )
    for name, value in best.items():
        np.testing.assert_array_equal(value, state.weights[name])
    assert checkpoint.read_metadata_file(result.best_model)["skipped"] == {"train": [], "val": []}
    assert any("no AUROC for Hernia" in line and "13 classes" in line for line in logged)


def test_history_holds_mean_losses_and_the_rate_of_each_epoch(real_run):
    config, result, _ = real_run
    with (Path(config.save_dir) / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.001, 0.0001])
    assert rows[0]["val_AUROC_Hernia"] == "nan"
    assert [float(row["train_loss"]) for row in rows] == [row["train_loss"] for row in result.history]


def test_validation_results_equal_those_of_a_separate_evaluation(small_run):
    """The validation results of the last epoch, compared with an evaluation of the saved weights."""
    config = small_run()
    result = train(config)
    last = Path(config.save_dir) / "final.pdparams"
    scored = evaluate(
        EvalConfig(
            data_dir=config.data_dir,
            test_list=config.val_list,
            ckpt=str(last),
            batch_size=4,
            crops=1,
            device="cpu",
            num_workers=1,
        )
    )
    row = result.history[-1]
    np.testing.assert_allclose(scored.aurocs, [row[f"val_AUROC_{name}"] for name in CLASS_NAMES])
    assert scored.mean == row["val_AUROC_avg"]
    labels, probabilities = scored.labels.astype(float), scored.probabilities.astype(float)
    loss = -(labels * np.log(probabilities) + (1 - labels) * np.log(1 - probabilities)).mean()
    assert row["val_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_same_seed_trains_the_same_weights(small_run, tmp_path):
    config = small_run()
    result = train(config)
    again = train(small_run(save_dir=str(tmp_path / "again"), num_workers=0))
    ours, theirs = (
        checkpoint.load(Path(folder) / "final.pdparams") for folder in (config.save_dir, tmp_path / "again")
    )
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name])
    assert again.best_auroc == result.best_auroc


def test_a_finished_run_is_never_overwritten(real_run):
    config, _, _ = real_run
    files = set(Path(config.save_dir).iterdir()) - {Path(config.save_dir) / ".lock"}
    before = {path: path.stat().st_mtime_ns for path in files}
    with pytest.raises(InputError, match=rf"^{config.save_dir}: .*another run"):
        train(config)
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_curves_show_three_plots(real_run):
    config, _, _ = real_run
    picture = np.asarray(Image.open(Path(config.save_dir) / "curves.png").convert("L"))
    assert picture.shape[1] > 2.5 * picture.shape[0]
    thirds = np.array_split(picture, 3, axis=1)
    assert all((third < 200).sum() > 500 for third in thirds)


def test_curves_survive_an_epoch_without_any_auroc(tmp_path):
    row = {"epoch": 1, "learning_rate": 0.1, "train_loss": 1.0, "val_loss": 1.0}
    draw_curves([{**row, "train_AUROC_avg": math.nan, "val_AUROC_avg": math.nan}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_loss_and_gradient_equal_those_of_paddle():
    scores, labels = random_batches(1)[0]
    results = []
    for loss in (BinaryCrossEntropy(), lambda logits, labels: paddle.nn.BCELoss()(sigmoid(logits), labels)):
        logits = paddle.to_tensor(6 * scores - 3, stop_gradient=False)
        value = loss(logits, paddle.to_tensor(labels.astype(np.float32)))
        value.backward()
        results.append((float(value), logits.grad.numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_bad_images_are_skipped_on_request_and_listed(small_run, small_data, tmp_path):
    originals = (small_data / "train.txt").read_text().splitlines()
    images = tmp_path / "images"
    images.mkdir()
    list_lines = []
    for index in range(100):
        name, labels = originals[index % 12].split(" ", 1)
        shutil.copy(small_data / "images" / name, images / f"{index}.png")
        list_lines.append(f"{index}.png {labels}")
    (images / "7.png").write_bytes(b"<html>not found</html>")
    (tmp_path / "many.txt").write_text("\n".join(list_lines))
    changes = {
        "data_dir": str(images),
        "train_list": str(tmp_path / "many.txt"),
        "val_list": str(tmp_path / "many.txt"),
    }
    with pytest.raises(InputError, match=r"7\.png: "):
        train(small_run(**changes, save_dir=str(tmp_path / "error")))
    config = small_run(**changes, on_bad_image="skip", batch_size=10, save_every_steps=4, keep_states=9)
    result = train(config)
    assert [(image.image, image.line) for image in result.skipped[config.train_list]] == [("7.png", 8)]
    skipped = checkpoint.read_metadata_file(result.best_model)["skipped"]
    assert [image["image"] for image in skipped["train"] + skipped["val"]] == ["7.png", "7.png"]

    shutil.copy(images / "8.png", images / "7.png")  # repaired, but the resumed run still skips it
    again = tmp_path / "again"
    resume(Path(config.save_dir) / "after_epoch_01_step_000004.state", {"save_dir": str(again)})
    assert (again / "final.pdparams").read_bytes() == (Path(config.save_dir) / "final.pdparams").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 300}, "crop 300 .*40"),
        ({"crop": 16}, "crop 16 "),
        ({"save_dir": __file__}, r"test_training\.py"),
        ({"device": "gpu"}, "--device gpu: "),
        ({"amp": "O1"}, "--amp O1: .*GPU"),
        ({"init": "missing.pdparams"}, r"missing\.pdparams: "),
    ],
)
def test_a_run_that_cannot_start_reports_why_and_writes_nothing(real_run, tmp_path, change, message):
    config, _, _ = real_run
    if paddle.is_compiled_with_cuda() and {"device", "amp"} & set(change):
        pytest.skip("this Paddle has CUDA")
    with pytest.raises(InputError, match=message):
        train(TrainConfig(**{**vars(config), "save_dir": str(tmp_path / "new"), **change}))
    assert not (tmp_path / "new").exists()


def test_a_validation_list_without_any_defined_auroc_is_refused(real_run, tmp_path):
    config, _, _ = real_run
    val_list = tmp_path / "one.txt"
    val_list.write_text(f"val0.png {' '.join('0' * 14)}\n")
    with pytest.raises(InputError, match=r"one\.txt: .*positives"):
        train(TrainConfig(**{**vars(config), "val_list": str(val_list), "save_dir": str(tmp_path / "new")}))


def test_the_log_says_what_float32_means_and_whether_a_step_fits(small_run, fake_gpu):
    fake_gpu.free = 10**6
    for tf32, amp, said in (("on", "off", "float32 with TF32"), ("off", "off", "float32"), ("off", "bf16", "AMP bf16")):
        logged = []
        open_data(small_run(device="gpu", tf32=tf32, amp=amp), Extensions(), logged.append)
        assert f", GPU Fake, {said}, seed" in logged[0]
        assert any("warning: a step of 2 images" in line for line in logged)
