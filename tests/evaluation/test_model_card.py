"""tools/model_card.py: what the files say is in the card, and what they do not say is unknown."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT, run_script
from scipy.special import expit

from chexnet.config import CardConfig, TrainConfig
from chexnet.data import audit
from chexnet.errors import InputError
from chexnet.evaluation.model_card import DETAILS, read_card_inputs, render_card
from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report import build_report, class_scores, write_report
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint

SHIPPED = ROOT / "pretrained_models/phantom_densenet121.safetensors"
SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Training, validation and test data",
    "Results",
    "Ethical considerations",
    "Caveats and recommendations",
    "CLAIM",
]
"""Those of Mitchell et al., with both kinds of data in one, and the checklist."""


def predictions(root: Path, name: str, first: int, images: int = 60) -> Predictions:
    """Write a list and return predictions for it."""
    rng = np.random.default_rng(first)
    names = tuple(f"{first + index // 2:08d}_{index % 2:03d}.png" for index in range(images))
    labels = (rng.random((images, len(CLASS_NAMES))) < 0.3).astype(np.uint8)
    lines = [f"{image} {' '.join(map(str, row))}" for image, row in zip(names, labels.tolist(), strict=True)]
    (root / name).write_text("\n".join(lines) + "\n")
    return Predictions(str(root / name), names, labels, expit(rng.normal(size=labels.shape) + 2.0 * labels - 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint with its lists, report, thresholds, settings, shortcuts and details."""
    root = tmp_path_factory.mktemp("card")
    paddle.seed(3)
    ckpt = root / "m.pdparams"
    train = predictions(root, "train.txt", 1)
    metadata = {"backbone": "lenet", "resize": 40, "crop": 32, "epoch": 7, "notice": "Trained on <60> images."}
    metadata[audit.KEY] = audit.fingerprint(train.names)
    checkpoint.save_checkpoint(CheXNet(backbone="lenet").state_dict(), ckpt, metadata)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_scores, "REPLICATES", 20)
        report = build_report(
            predictions(root, "test.txt", 500),
            predictions(root, "val.txt", 300),
            ckpt_sha256=sha256(ckpt),
            run={"sha256": {"ckpt": sha256(ckpt)}, "config": {"crops": 1}},
        )
    write_report(report, root / "report")
    (root / "m.thresholds.json").write_text(report.thresholds[0])
    (root / "config.json").write_text(TrainConfig(optimizer="sgd", init="random").to_json())
    (root / "details.json").write_text(json.dumps({"license": "mit", "intended_use": "Tests | of *cards*."}))
    shortcuts = {"ckpt_sha256": sha256(ckpt), "shortcuts": [{"planted": "drain", "finding": "Mass"}]}
    (root / "shortcuts.json").write_text(json.dumps(shortcuts))
    return root


def flags(folder: Path, **changes: str) -> dict[str, str]:
    files = {
        "report": "report/metrics.json",
        "train_list": "train.txt",
        "val_list": "val.txt",
        "test_list": "test.txt",
        "train_config": "config.json",
        "details": "details.json",
        "shortcuts": "shortcuts.json",
    }
    return {name: str(folder / path) for name, path in {**files, **changes}.items()}


def card(ckpt: Path, **files: str) -> str:
    return render_card(read_card_inputs(ckpt, CardConfig(**files)))


def front_matter(text: str) -> dict:
    yaml = pytest.importorskip("yaml")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return yaml.safe_load(match[1])


def sections(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def rows(text: str) -> dict[str, list[str]]:
    cells = [re.split(r" (?<!\\)\| ", line.strip("|").strip()) for line in text.splitlines() if line.startswith("|")]
    return {first.strip(): rest for first, *rest in cells}


def test_the_card_says_what_the_files_say(folder):
    text = card(folder / "m.pdparams", **flags(folder))
    metrics = json.loads((folder / "report/metrics.json").read_text())
    table = rows(text)
    assert sections(text) == SECTIONS
    assert table["SHA-256"] == [sha256(folder / "m.pdparams")]
    assert table["selected epoch"] == ["7"]
    assert f"Mean AUROC {metrics['mean']['auroc']:.3f} (" in text
    mass = metrics["classes"]["Mass"]
    low, high = mass["auroc_ci"]
    assert f"| {mass['auroc']:.3f} ({low:.3f} to {high:.3f}) |" in text
    assert f"| {mass['calibrated']['platt']['ece']:.3f} |" in text
    assert "train.txt and test.txt share 0 images and 0 patients." in text
    assert "test.txt: none of these images or patients was in the training list" in text
    assert "optimizer sgd" in text
    assert "drain moves Mass" in text
    assert f"fitted on val.txt ({60} images)" in text
    positives = np.loadtxt(folder / "train.txt", dtype=str)[:, 1 + CLASS_NAMES.index("Mass")].astype(int).sum()
    assert f"| Mass | {positives} ({100 * positives / 60:.1f} %) |" in text


def test_the_front_matter_is_yaml_with_the_result(folder):
    found = front_matter(card(folder / "m.pdparams", **flags(folder)))
    metrics = json.loads((folder / "report/metrics.json").read_text())
    assert (found["license"], found["pipeline_tag"]) == ("mit", "image-classification")
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert result["metrics"][0]["value"] == metrics["mean"]["auroc"]
    assert result["dataset"]["type"] == "test.txt"


def test_without_files_everything_is_unknown_and_nothing_is_made_up(folder, tmp_path):
    ckpt = tmp_path / "alone.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), ckpt)
    text = card(ckpt)
    assert sections(text) == SECTIONS
    assert "model-index" not in front_matter(text)
    assert front_matter(text)["license"] == "unknown"
    assert "AUROC 0" not in text
    for line in (
        "Calibration: unknown.",
        "Evaluation: unknown.",
        "- training images: unknown.",
        "- Primary use: unknown",
    ):
        assert line in text.splitlines()
    assert text.count("unknown") > 30


def test_text_of_others_is_no_markup(folder):
    text = card(folder / "m.pdparams", **flags(folder))
    assert r"Trained on \<60\> images." in text
    assert r"Tests \| of \*cards\*." in text


def test_every_detail_is_shown(folder, tmp_path):
    details = {name: f"text-of-{name}" for name in DETAILS}
    (tmp_path / "d.json").write_text(json.dumps(details))
    text = card(folder / "m.pdparams", details=str(tmp_path / "d.json"))
    assert all(value in text for name, value in details.items())


def test_groups_of_the_report_are_shown(folder, tmp_path):
    metrics = json.loads((folder / "report/metrics.json").read_text())
    group = {"auroc": 0.75, "auroc_ci": [0.7, 0.8], "small": False}
    small = {"auroc": None, "auroc_ci": [None, None], "small": True}
    metrics["groups"] = [
        {
            "name": "view",
            "source": "Data_Entry.csv",
            "groups": {"PA": {"images": 40, "patients": 20}, "AP": {"images": 20, "patients": 9}},
            "classes": {name: {"groups": {"PA": group, "AP": small}} for name in CLASS_NAMES},
        }
    ]
    (tmp_path / "m.json").write_text(json.dumps(metrics))
    text = card(folder / "m.pdparams", report=str(tmp_path / "m.json"))
    assert "- Groups that were compared: view (PA, AP)" in text
    assert "| Mass | 0.750 (0.700 to 0.800) | too few images |" in text


def test_the_script_writes_the_card_next_to_the_weights(folder, capsys):
    names = [item for name, path in flags(folder).items() for item in (f"--{name}", path)]
    assert run_script("tools/model_card.py", "--ckpt", str(folder / "m.pdparams"), *names) == 0
    assert (folder / "m.card.md").read_text() == card(folder / "m.pdparams", **flags(folder))
    assert "funding" in capsys.readouterr().out


def changed(path: Path, **changes) -> str:
    return json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes})


REFUSED = {
    "report of others": (
        "report",
        lambda root: changed(root / "report/metrics.json", run={"sha256": {"ckpt": "4a5f"}}),
    ),
    "report of an ensemble": ("report", lambda root: changed(root / "report/metrics.json", run={"members": [1, 2]})),
    "no report": ("report", lambda root: '{"schema": 1}'),
    "later report": ("report", lambda root: changed(root / "report/metrics.json", schema=2)),
    "other classes": ("report", lambda root: changed(root / "report/metrics.json", classes={})),
    "half a report": ("report", lambda root: changed(root / "report/metrics.json", mean={"auroc": "0.8"})),
    "no list": ("train_list", lambda root: "a.png 0 1\n"),
    "no settings": ("train_config", lambda root: '{"planet": 1}'),
    "unknown detail": ("details", lambda root: '{"planet": "mit"}'),
    "two lines": ("details", lambda root: '{"authors": "a\\nb"}'),
    "number": ("details", lambda root: '{"authors": 3}'),
    "license of several words": ("details", lambda root: '{"license": "Apache 2"}'),
    "no shortcuts": ("shortcuts", lambda root: '{"shortcuts": [1]}'),
    "shortcuts of others": ("shortcuts", lambda root: '{"shortcuts": [], "ckpt_sha256": "4a5f"}'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_do_not_belong_to_the_checkpoint_are_refused_in_one_line(name, folder, tmp_path):
    flag, content = REFUSED[name]
    (tmp_path / "file").write_text(content(folder))
    with pytest.raises(InputError) as error:
        card(folder / "m.pdparams", **{flag: str(tmp_path / "file")})
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)


def test_released_weights_have_a_card_of_the_report_on_their_source(folder, tmp_path):
    output = tmp_path / "release.safetensors"
    files = ["--report", str(folder / "report/metrics.json"), "--train_list", str(folder / "train.txt")]
    assert (
        run_script("tools/release_weights.py", "--ckpt", str(folder / "m.pdparams"), "--output", str(output), *files)
        == 0
    )
    text = (tmp_path / "release.card.md").read_text()
    assert rows(text)["SHA-256"] == [sha256(output)]
    assert "evaluated before the weights were rounded to float16" in text
    assert json.loads(output.with_suffix(".json").read_text())["card"] == "release.card.md"


def test_a_release_with_a_wrong_report_writes_nothing(folder, tmp_path):
    (tmp_path / "m.json").write_text('{"schema": 1}')
    flags = ["--output", str(tmp_path / "r.safetensors"), "--report", str(tmp_path / "m.json")]
    assert run_script("tools/release_weights.py", "--ckpt", str(folder / "m.pdparams"), *flags) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_the_shipped_network_has_a_card_of_its_own_weights():
    text = SHIPPED.with_suffix(".card.md").read_text()
    assert rows(text)["SHA-256"] == [sha256(SHIPPED)]
    assert sections(text) == SECTIONS
    assert front_matter(text)["license"] == "apache-2.0"
    assert "Trained on synthetic images only. It says nothing about real patients." in text


@pytest.mark.skipif(importlib.util.find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed")
def test_hugging_face_reads_the_card():
    from huggingface_hub import ModelCard

    data = ModelCard.load(SHIPPED.with_suffix(".card.md")).data
    assert data.eval_results[0].metric_type == "roc_auc"
