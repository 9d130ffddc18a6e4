"""predict.py and tools/contact_sheet.py, as a user runs them."""

import csv
import importlib.util
import io
import json
import subprocess
import sys

import numpy as np
import paddle
import pytest
from conftest import ROOT
from dicom_files import SHIPPED, dataset, save
from PIL import Image
from small_backbone import small_densenet121

from chexnet import inference
from chexnet.files import sha256, shipped_weights
from chexnet.files.shipped_weights import choose_checkpoint
from chexnet.inference import engine_backends, engines
from chexnet.inference.contact_sheets import MAX_ROWS
from chexnet.inference.image_checks import MEANINGLESS, is_meaningful
from chexnet.inference.thresholds import thresholds_path
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw

NOTICE = "trained on nothing at all"


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def _small_network():
    with small_densenet121():
        yield


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    paddle.seed(3)
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save_weights(CheXNet().state_dict(), path)
    checkpoint.write_metadata_file(path, {"resize": 40, "crop": 32, "classes": CLASS_NAMES, "notice": NOTICE})
    return path


@pytest.fixture
def images(tmp_path):
    """Two phantoms, one of them as a DICOM file in a subfolder, and a label file."""
    root = tmp_path / "images"
    (root / "inner").mkdir(parents=True)
    Image.fromarray(draw([], 256, patient=1).image).save(root / "a.png")
    save(dataset(draw([], 256, patient=2).image), root / "inner" / "b.dcm")
    (root / "labels.csv").write_text("a.png,1\n")
    return root


@pytest.fixture
def predict(ckpt, capsys, monkeypatch):
    """Run the script without compilation: exit code, lines of standard output, lines of standard error."""
    monkeypatch.setattr(
        engines.EngineSpec, "compile", lambda self, network, crop, maps: engine_backends.EagerEngine(network, maps)
    )

    def run(*arguments, stdin: str = "", name: str = "predict"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        common = ["--ckpt", str(ckpt), "--device", "cpu", "--num_workers", "1", "--crops", "1"]
        code = script(name).main([*map(str, arguments), *common])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def thresholds(path, **changes):
    points = {name: {"threshold": 0.0, "sensitivity": 0.8, "specificity": 0.7} for name in CLASS_NAMES}
    path.write_text(json.dumps({"schema": 1, "chosen": "by hand", "thresholds": {**points, **changes}}))
    return path


def test_an_image_gives_a_table_of_its_top_findings(predict, images):
    code, (loading, *lines), errors = predict(images / "a.png", "--top", 2)
    assert (code, errors) == (0, [])
    assert loading.startswith("=> loading ")
    assert loading.endswith("model.pdparams")
    assert lines[0] == f"=> paddle {paddle.__version__}, not compiled for few images, float32, CPU"
    assert lines[1] == "=> 1 crop of 32 px from 40 px"
    assert lines[2] == str(images / "a.png")
    first, second = (line.split() for line in lines[3:5])
    assert {first[0], second[0]} < set(CLASS_NAMES)
    assert 1 >= float(first[1]) >= float(second[1]) >= 0
    assert lines[5:] == [f"  notice: {NOTICE}"]


def deciding(path, present):
    """Write a threshold file with which exactly these findings are present."""
    absent = {"threshold": 1.0, "sensitivity": 0.5, "specificity": 0.5}
    return thresholds(path, **{name: absent for name in CLASS_NAMES if name not in present})


def table(lines, image):
    """Return the rows of an image, finding -> words, and all lines."""
    below = [line.split() for line in lines[lines.index(str(image)) + 1 :]]
    return {words[0]: words for words in below if words[0] in CLASS_NAMES}, [" ".join(words) for words in below]


def probable(predict, image):
    """Return all findings of an image, the most probable first."""
    return list(table(predict(image, "--top", 14)[1], image)[0])


@pytest.mark.parametrize("count", [0, 1, 5, 14])
def test_present_findings_come_first_and_the_others_are_counted(predict, images, tmp_path, count):
    image = images / "a.png"
    by_probability = probable(predict, image)
    present = by_probability[len(by_probability) - count :]  # the least probable findings, which --top would leave out
    _, lines, _ = predict(image, "--thresholds", deciding(tmp_path / "t.json", present))
    rows, words = table(lines, image)
    absent = [name for name in by_probability if name not in present]
    assert list(rows) == present + absent[: max(0, 3 - count)]
    assert [name for name, row in rows.items() if row[2] == "present"] == present
    assert ("no finding is at or above its threshold" in words) == (count == 0)
    assert (words[0] == "no finding is at or above its threshold") == (count == 0)
    left_out = 14 - max(3, count)
    assert (f"{left_out} more: absent" in words) == (left_out > 0)
    assert not any("absent" in line for line in words if count == 14)


def test_all_present_findings_are_drawn(predict, images, tmp_path):
    present = probable(predict, images / "a.png")[-5:]
    flags = ["--thresholds", deciding(tmp_path / "t.json", present), "--cam", tmp_path / "cam"]
    code, lines, _ = predict(images / "a.png", *flags)
    assert code == 0
    assert {path.stem for path in (tmp_path / "cam").iterdir()} == {f"a_{name}" for name in present}
    assert sum(line.startswith("  drawn: ") for line in lines) == 5


def test_numbers_of_other_images_are_called_meaningless(predict, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    all_present = deciding(tmp_path / "t.json", CLASS_NAMES)
    for flags in ([], ["--thresholds", all_present]):
        outputs = ["--output_json", tmp_path / "p.json", "--output_csv", tmp_path / "p.csv"]
        _, lines, _ = predict(tmp_path / "noise.png", *outputs, *flags)
        rows, words = table(lines, tmp_path / "noise.png")
        assert len(rows) == 3
        assert all(row[2:] == ["meaningless,", "see", "the", "warnings"] for row in rows.values())
        assert not any("present" in line or "absent" in line or "threshold" in line for line in words)
        facts = json.loads((tmp_path / "p.json").read_text())["images"][0]
        assert not is_meaningful(facts["warnings"])
        assert set(facts) == {"image", "probabilities", "warnings", *(["decisions"] if flags else [])}
        assert MEANINGLESS in next(csv.DictReader((tmp_path / "p.csv").open()))["warnings"]


def test_one_sheet_has_all_findings_of_an_image(predict, images, tmp_path):
    flags = ["--cam", tmp_path / "cam", "--sheet", "--output_json", tmp_path / "p.json"]
    code, lines, _ = predict(images, *flags)
    assert code == 0
    sheets = [tmp_path / "cam" / f"{name}_sheet.png" for name in ("a", "b")]
    assert sorted((tmp_path / "cam").iterdir()) == sheets
    assert [line for line in lines if "drawn" in line] == [f"  drawn: {sheet}" for sheet in sheets]
    for entry, sheet in zip(json.loads((tmp_path / "p.json").read_text())["images"], sheets, strict=True):
        assert entry["cam"] == dict.fromkeys(CLASS_NAMES, str(sheet))
        assert Image.open(sheet).size > (5 * 224, 3 * 224)
    code, _, errors = predict(images, "--sheet")
    assert (code, len(errors)) == (2, 1)
    assert "--cam DIR" in errors[0]


def test_the_thresholds_of_the_checkpoint_are_used_by_default(predict, images, ckpt, tmp_path):
    own = thresholds_path(ckpt)
    facts = json.loads(thresholds(tmp_path / "t.json").read_text())
    own.write_text(json.dumps({**facts, "ckpt_sha256": sha256(ckpt)}))
    try:
        _, lines, _ = predict(images / "a.png", "--output_json", tmp_path / "p.json")
        assert f"=> thresholds of {own}: by hand" in lines
        assert len(table(lines, images / "a.png")[0]) == 14
        assert json.loads((tmp_path / "p.json").read_text())["thresholds"]["file"] == str(own)
        code, _, errors = predict(images / "a.png", "--output_json", own)
        assert code == 2
        assert "is read by this run" in errors[0]
    finally:
        own.unlink()


@pytest.mark.parametrize("name", ["predict", "tools/contact_sheet", "tools/serve"])
def test_without_ckpt_the_shipped_weights_are_used_and_reported(name, tmp_path, monkeypatch, capsys):
    class Chosen(Exception):
        pass

    def choose(explicit, published, log):
        raise Chosen(choose_checkpoint(explicit, published, log))

    monkeypatch.setattr(shipped_weights, "choose_checkpoint", choose)
    monkeypatch.chdir(tmp_path)
    Image.new("L", (64, 64)).save(tmp_path / "x.png")
    flags = {"predict": ["x.png"], "tools/contact_sheet": ["x.png", "--output", "s.png"], "tools/serve": []}[name]
    with pytest.raises(Chosen, match="phantom_densenet121"):
        script(name).main(flags)
    (line,) = capsys.readouterr().out.splitlines()
    assert "Trained on synthetic images only" in line
    (tmp_path / "pretrained_models").mkdir()
    (tmp_path / "pretrained_models" / "model_paddle.pdparams").write_bytes(b"published")
    with pytest.raises(Chosen, match=r"^pretrained_models.model_paddle\.pdparams$"):
        script(name).main(flags)
    assert "synthetic" not in capsys.readouterr().out
    code = script(name).main([*flags, "--ckpt", "pretrained_models/none.pdparams"])
    assert code == 2
    assert "no such checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["eval", "tools/localize", "tools/export"])
def test_evaluation_and_export_never_use_the_shipped_weights(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("L", (64, 64)).save(tmp_path / "images" / "a.png")
    (tmp_path / "boxes.csv").write_text("Image Index,Finding Label,Bbox [x,y,w,h],,,\na.png,Mass,1,1,5,5\n")
    flags = {
        "eval": ["--device", "cpu"],
        "tools/localize": ["--boxes", "boxes.csv", "--data_dir", "images", "--device", "cpu"],
        "tools/export": [
            "--ckpt",
            "pretrained_models/model_paddle.pdparams",
            "--output_dir",
            "out",
            "--format",
            "paddle",
        ],
    }[name]
    assert script(name).main(flags) == 2
    captured = capsys.readouterr()
    assert "phantom" not in captured.out
    assert "model_paddle.pdparams: no such checkpoint. Three ways to get one" in captured.err


def test_a_folder_is_read_with_its_subfolders(predict, images):
    _, lines, _ = predict(images)
    assert [line for line in lines if not line.startswith((" ", "=> "))] == [
        str(images / "a.png"),
        str(images / "inner" / "b.dcm"),
        "skipped in folders: .csv (1)",
    ]


def test_warnings_are_printed_and_written(predict, images, tmp_path):
    Image.open(images / "a.png").resize((30, 30)).save(tmp_path / "small.png")
    outputs = ["--output_json", tmp_path / "p.json", "--output_csv", tmp_path / "p.csv"]
    code, lines, _ = predict(tmp_path / "small.png", *outputs)
    warning = "only 30 x 30 pixels, expected at least 32 per side"
    assert code == 0
    assert lines[-1] == f"  warning: {warning}"
    assert json.loads((tmp_path / "p.json").read_text())["images"][0]["warnings"] == [warning]
    assert next(csv.DictReader((tmp_path / "p.csv").open()))["warnings"] == warning


def test_written_results_equal_the_predictions(predict, images, tmp_path, ckpt):
    decisive = thresholds(tmp_path / "t.json", Hernia={"threshold": 1, "sensitivity": 0, "specificity": 1})
    (tmp_path / "bad.png").write_bytes(b"")
    outputs = ["--output_json", tmp_path / "p.json", "--output_csv", tmp_path / "p.csv", "--cam", tmp_path / "cam"]
    code, lines, errors = predict(images, tmp_path / "bad.png", *outputs, "--thresholds", decisive, "--top", 14)
    assert code == 2
    facts = json.loads((tmp_path / "p.json").read_text())
    assert facts["ckpt_sha256"] == sha256(ckpt)
    assert facts["notice"] == NOTICE
    assert facts["preprocessing"] == {"resize": 40, "crop": 32, "scaling": "imagenet", "sample_bits": 16}
    assert (facts["crops"], tuple(facts["classes"])) == (1, CLASS_NAMES)
    assert f"=> {facts['engine']}" in lines
    assert facts["thresholds"]["file"] == str(decisive)
    assert facts["thresholds"]["chosen"] == "by hand"
    assert facts["thresholds"]["points"]["Hernia"] == {"threshold": 1, "sensitivity": 0, "specificity": 1}
    assert [entry["image"] for entry in facts["images"]] == [str(images / "a.png"), str(images / "inner" / "b.dcm")]
    assert facts["errors"] == [errors[0].removeprefix("error: ")]
    assert facts["errors"][0].startswith(f"{tmp_path / 'bad.png'}: cannot be decoded")

    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    for entry, row in zip(facts["images"], rows, strict=True):
        assert row["image"] == entry["image"]
        assert tuple(entry["probabilities"]) == CLASS_NAMES
        start = lines.index(entry["image"]) + 1
        printed = {line.split()[0]: line.split() for line in lines[start : start + 14]}
        for name, value in entry["probabilities"].items():
            assert float(row[f"prob_{name}"]) == value == float(np.float32(value).astype(str))
            present = name != "Hernia"
            assert entry["decisions"][name] is present
            assert row[f"decision_{name}"] == str(int(present))
            assert printed[name][1:3] == [f"{value:.3f}", "present" if present else "absent"]
        for finding, path in entry["cam"].items():
            assert f"  drawn: {path}" in lines
            assert Image.open(path).format == "PNG"
            assert finding in path
        assert len(entry["cam"]) == 14
    assert "absent  (below 1.000, sensitivity 0.00, specificity 1.00)" in next(
        line for line in lines if "Hernia" in line
    )


def test_a_run_that_ends_early_leaves_no_files(ckpt, images, tmp_path):
    from chexnet.config import PredictConfig
    from chexnet.inference import predict_files

    config = PredictConfig(
        ckpt=str(ckpt),
        crops=1,
        device="cpu",
        num_workers=1,
        output_json=str(tmp_path / "o/p.json"),
        output_csv=str(tmp_path / "o/p.csv"),
    )
    results = predict_files(config, [str(images)])
    next(results)
    assert len(list((tmp_path / "o").iterdir())) == 2
    results.close()
    assert list((tmp_path / "o").iterdir()) == []


def test_names_are_read_from_standard_input(predict, images):
    code, lines, errors = predict("-", images / "inner", stdin=f"{images / 'a.png'}\n\nnone.png\r\n")
    assert code == 2
    assert [line for line in lines if not line.startswith((" ", "=> "))] == [
        str(images / "a.png"),
        str(images / "inner" / "b.dcm"),
    ]
    assert errors[0] == "error: none.png: no such image file"
    assert not any("not compiled" in line for line in lines)


def test_unusable_images_give_one_line_each_and_all_others_are_predicted(predict, images, tmp_path):
    whole = (images / "a.png").read_bytes()
    bad = {
        "text.dcm": b"a text, not a radiograph",
        "cut.png": whole[: len(whole) // 2],
        "locked.zip": b"PK\x03\x04\x14\x00\x01\x00",
        "no_pixels.dcm": (SHIPPED / "reportsi.dcm").read_bytes(),
        "cut.dcm": (images / "inner" / "b.dcm").read_bytes()[:9000],
        "zero.png": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    names = [tmp_path / name for name in (*bad, "empty", "none.png")]
    code, lines, errors = predict(*names[:4], images, *names[4:])
    assert code == 2
    assert sum(line.startswith(str(images)) for line in lines) == 2
    assert len(errors) == len(names) + 1
    for name, error in zip(names, errors, strict=False):
        assert error.startswith(f"error: {name}: ")
    assert errors[-1].startswith(f"error: {len(names)} of the images and folders cannot be used")


def test_a_run_without_a_readable_image_fails(predict, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, errors = predict(
        tmp_path / "empty", "--output_json", tmp_path / "p.json", "--output_csv", tmp_path / "p.csv"
    )
    assert code == 2
    assert "a folder without images" in errors[0]
    facts = json.loads((tmp_path / "p.json").read_text())
    assert facts["images"] == []
    assert len(facts["errors"]) == 1
    assert (tmp_path / "p.csv").read_text().count("\n") == 1


def test_pictures_of_images_with_the_same_name_get_different_names(predict, images, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.open(images / "a.png").save(tmp_path / folder / "a.tif")
    Image.open(images / "a.png").save(tmp_path / "A_2.png")
    names = [images / "a.png", tmp_path / "x", tmp_path / "y", tmp_path / "A_2.png"]
    code, lines, _ = predict(*names, "--cam", tmp_path / "cam", "--top", 2)
    assert code == 0
    written = [line.removeprefix("  drawn: ") for line in lines if line.startswith("  drawn: ")]
    assert len({name.lower() for name in written}) == len(written) == 8
    assert sorted(map(str, (tmp_path / "cam").iterdir())) == sorted(written)


@pytest.mark.parametrize(
    ("cam", "given"),
    [
        ("images", ["images"]),
        ("images/cam", ["images"]),
        ("images/inner", ["images"]),
        ("images", ["images/a.png"]),
        ("images/inner", ["images/a.png", "images/inner/b.dcm"]),
        ("images/inner", ["-"]),
    ],
)
def test_pictures_are_not_written_into_a_folder_of_images(predict, images, cam, given):
    before = sorted(images.rglob("*"))
    root = images.parent
    names = [root / name if name != "-" else name for name in given]
    code, _, errors = predict(*names, "--cam", root / cam, stdin=f"{images / 'a.png'}\n{images / 'inner' / 'b.dcm'}\n")
    assert code == 2
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {root / cam}: images are read from there (")
    assert sorted(images.rglob("*")) == before


BAD_FLAGS = [
    (["--output_json", "p.txt"], "p.txt: expected a name that ends in .json"),
    (["--output_csv", "MODEL.json"], "expected a name that ends in .csv"),
    (["--output_json", "MODEL.json"], "is read by this run and would be lost"),
    (["--thresholds", "none.json"], "none.json: cannot be read: No such file"),
    (["--thresholds", "OTHER"], "unknown Fracture"),
    (["--cam", "FILE/cam"], "cannot be written: "),
    (["--ckpt", "none.pdparams"], "none.pdparams: no such checkpoint. Three ways to get one"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS, ids=lambda value: str(value)[:30])
def test_unusable_flags_are_refused_before_the_first_prediction(images, ckpt, tmp_path, capsys, flags, message):
    paths = {
        "MODEL.json": str(ckpt.with_suffix(".json")),
        "OTHER": str(thresholds(tmp_path / "t.json", Fracture={})),
        "FILE/cam": str(tmp_path / "t.json" / "cam"),
    }
    metadata = ckpt.with_suffix(".json").read_bytes()
    flags = [paths.get(flag, flag) for flag in flags]
    assert script("predict").main([str(images), "--ckpt", str(ckpt), "--device", "cpu", *flags]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert str(images / "a.png") + "\n" not in captured.out
    assert ckpt.with_suffix(".json").read_bytes() == metadata


def test_a_separate_process_prints_results_only(images, lenet_ckpt):
    """Run the script from another folder: libraries print nothing."""
    command = [
        sys.executable,
        str(ROOT / "predict.py"),
        str(images / "a.png"),
        str(images / "inner"),
        "--ckpt",
        str(lenet_ckpt),
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=images)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 3 + 2 * 5


def test_a_contact_sheet(predict, images, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    sheet = tmp_path / "sheet.png"
    code, lines, errors = predict(images, "--output", sheet, "--top", 2, "--tile", 64, name="tools/contact_sheet")
    assert (code, errors) == (0, [])
    size = Image.open(sheet).size
    assert lines[-1] == f"{sheet}: {size[0]} x {size[1]} pixels"
    more = ["--findings", "Mass", "Nodule", "Hernia", "--tile", 64]
    code, _, errors = predict(images, tmp_path / "bad.png", "--output", sheet, *more, name="tools/contact_sheet")
    assert code == 2
    assert errors[0].startswith(f"error: {tmp_path / 'bad.png'}: ")
    assert "1 of the images and folders cannot be used" in errors[1]
    assert Image.open(sheet).width == size[0] + 64 + 12
    code, _, errors = predict(images, "--output", sheet, "--findings", "Masses", name="tools/contact_sheet")
    assert code == 2
    assert errors[0].startswith("error: --findings Masses: unknown, expected names from Atelectasis, ")
    code, _, errors = predict(images / "a.png", "--output", images / "a.png", name="tools/contact_sheet")
    assert "is read by this run" in errors[0]


def test_too_few_and_too_many_images_for_a_sheet_are_refused_before_the_work(predict, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "Predictor", lambda *_, **__: pytest.fail("loaded"))
    sheet = ["--output", tmp_path / "sheet.png"]
    (tmp_path / "empty").mkdir()
    code, lines, errors = predict(tmp_path / "none.png", *sheet, name="tools/contact_sheet")
    assert (code, lines, errors) == (2, [], [f"error: {tmp_path / 'none.png'}: no such image file"])
    code, lines, errors = predict(tmp_path / "empty", *sheet, name="tools/contact_sheet")
    assert (code, lines, len(errors)) == (2, [], 1)
    assert "a folder without images" in errors[0]
    for number in range(MAX_ROWS + 1):
        (tmp_path / "empty" / f"{number}.png").write_bytes(b"")
    code, _, errors = predict(tmp_path / "empty", *sheet, name="tools/contact_sheet")
    assert (code, len(errors)) == (2, 1)
    assert f"{MAX_ROWS} images" in errors[0]
