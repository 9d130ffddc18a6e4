"""Outputs of predict.py and similar scripts: any image name works, and inputs are never overwritten."""

import csv
import importlib.util
import io
import json
import os
import sys

import paddle
import pytest
from conftest import ROOT, make_folder, write_png
from PIL import Image

from chexnet.config import TrainConfig
from chexnet.data import cache
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.training import train


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    paddle.seed(3)
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 40, "crop": 32, "classes": CLASS_NAMES})
    return path


@pytest.fixture
def run(ckpt, capsys, monkeypatch):
    """Run a script: exit code, standard output, standard error."""

    def run(script, *arguments, stdin=b""):
        spec = importlib.util.spec_from_file_location("script", ROOT / f"{script}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = module.main([*map(str, arguments), "--ckpt", str(ckpt), "--device", "cpu", "--crops", "1"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def odd_names(folder):
    """Write images whose names are undecodable, very long, of two lines, or contain terminal commands."""
    names = [os.fsdecode(b"sant\xe9.png"), "n" * 240 + ".png", "é" * 120 + ".png", "two\nlines.png", "\x1b[31mred.png"]
    try:
        for name in names:
            write_png(folder / name)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    return names


@pytest.mark.parametrize("way", ["folder", "standard input"])
def test_odd_names_work(run, tmp_path, way):
    names = odd_names(tmp_path / "images")
    if way == "folder":
        arguments, stdin, number = [tmp_path / "images"], b"", len(names)
    else:
        lines = [os.fsencode(tmp_path / "images" / name) for name in names if "\n" not in name]
        arguments, stdin, number = ["-"], b"\n".join(lines), len(lines)
    outputs = [
        "--output_json",
        tmp_path / "p.json",
        "--output_csv",
        tmp_path / "p.csv",
        "--cam",
        tmp_path / "cam",
        "--top",
        2,
    ]
    code, out, err = run("predict", *arguments, *outputs, stdin=stdin)
    assert (code, err) == (0, "")
    assert r"\xe9" in out or r"\udce9" in out
    assert not any(character in out for character in "\x1b\udce9")
    images = json.loads((tmp_path / "p.json").read_text())["images"]
    assert len(images) == number
    assert all(os.path.exists(image["image"]) for image in images)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == number
    assert len(list((tmp_path / "cam").iterdir())) == 2 * number
    assert {Image.open(path).format for path in (tmp_path / "cam").iterdir()} == {"PNG"}
    if way == "folder":
        code, _, err = run("tools/contact_sheet", tmp_path / "images", "--output", tmp_path / "sheet.png")
        assert (code, err) == (0, "")


def test_an_impossible_name_gives_one_line(run, tmp_path):
    write_png(tmp_path / "good.png")
    names = [tmp_path / ("n" * 300), tmp_path / "good.png", tmp_path / ("d" * 300) / "x.png"]
    code, _, err = run("predict", *names, "--output_csv", tmp_path / "p.csv")
    assert code == 2
    lines = err.splitlines()
    assert [line.endswith("cannot be read: File name too long") for line in lines] == [True, True, False]
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 1


def test_a_picture_that_cannot_be_written_does_not_stop_the_others(run, tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / "images" / f"{name}.png")
    for finding in CLASS_NAMES:
        (tmp_path / "cam" / f"a_{finding}.png").mkdir(parents=True)
    code, out, err = run("predict", tmp_path / "images", "--cam", tmp_path / "cam", "--output_csv", tmp_path / "p.csv")
    assert code == 2
    assert err.count("\n") == 1
    assert "Is a directory" in err
    assert out.count("  drawn: ") == 3
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 2


def test_a_sheet_never_overwrites_its_images(run, tmp_path):
    image = tmp_path / "images" / "a.png"
    write_png(image)
    (tmp_path / "soft.png").symlink_to(image)
    (tmp_path / "sub").symlink_to("images")
    before = image.read_bytes()
    for given, out in (
        (image.parent, image),
        (image, image),
        (tmp_path / "sub", image),
        (image, tmp_path / "soft.png"),
    ):
        code, _, err = run("tools/contact_sheet", given, "--output", out)
        assert code == 2
        assert "is read by this run" in err
        assert err.count("\n") == 1
    assert image.read_bytes() == before


def test_the_sheet_of_a_localization_never_overwrites_its_images(run, tmp_path):
    folder, _ = make_folder(tmp_path, 2, name="boxes.txt", sizes=[(64, 64)])
    images = sorted(folder.iterdir())
    header = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    (tmp_path / "boxes.csv").write_text(header + "".join(f"{image.name},Mass,100,100,200,200,,,\n" for image in images))
    (tmp_path / "soft.png").symlink_to(images[1])
    before = [image.read_bytes() for image in images]
    flags = ["--boxes", tmp_path / "boxes.csv", "--data_dir", folder]
    for sheet in (images[0], tmp_path / "soft.png"):
        code, _, err = run("tools/localize", *flags, "--contact_sheet", sheet)
        assert code == 2
        assert "is read by this run" in err.splitlines()[-1]
    assert [image.read_bytes() for image in images] == before
    assert run("tools/localize", *flags, "--contact_sheet", tmp_path / "sheet.png")[0] == 0


def test_predictions_never_overwrite_an_image(run, tmp_path):
    """A DICOM file may have any name, and a link may lead to any folder."""
    write_png(tmp_path / "images" / "a.png")
    (tmp_path / "cam").mkdir()
    write_png(tmp_path / "cam" / "a_Mass.png")
    (tmp_path / "images" / "z.png").symlink_to("../cam/a_Mass.png")
    for given, stdin in (([tmp_path / "images"], b""), (["-"], os.fsencode(tmp_path / "images" / "z.png"))):
        code, _, err = run("predict", *given, "--cam", tmp_path / "cam", stdin=stdin)
        assert code == 2
        assert "images are read from there" in err
    (tmp_path / "images" / "z.png").unlink()
    scan = tmp_path / "images" / "scan.csv"
    scan.write_bytes((tmp_path / "images" / "a.png").read_bytes())
    for given, stdin in (([tmp_path / "images" / "a.png", scan], b""), (["-"], os.fsencode(scan))):
        before = scan.read_bytes()
        code, _, err = run("predict", *given, "--output_csv", scan, stdin=stdin)
        assert code == 2
        assert "is read by this run" in err
        assert scan.read_bytes() == before


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (
            "predict",
            ["--output_json", "p.json", "--output_csv", "p.csv", "--output_json", "OTHER.json"],
            "would be taken for the JSON that",
        ),
        ("eval", ["--output_json", "r/metrics.json", "--output_dir", "r"], "this run writes the whole folder r"),
        ("eval", ["--output_json", "OTHER.json"], "would be taken for the JSON that describes OTHER.pdparams"),
        ("eval", ["--output_dir", "images"], "which would be lost"),
    ],
)
def test_conflicting_outputs_are_refused_before_the_work(run, tmp_path, monkeypatch, script, flags, message):
    folder, test_list = make_folder(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "OTHER.pdparams").write_bytes(b"weights")
    (tmp_path / "OTHER.json").write_text("{}")
    inputs = [folder] if script == "predict" else ["--data_dir", folder, "--test_list", test_list]
    code, out, err = run(script, *inputs, *flags)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not [line for line in out.splitlines() if not line.startswith("=> loading ")]
    assert (tmp_path / "OTHER.json").read_text() == "{}"


def test_runs_do_not_write_into_the_folder_of_their_images(tmp_path):
    folder, image_list = make_folder(tmp_path, 4)
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.iterdir())
    for target in (folder, tmp_path / "link", folder / ".." / "images"):
        with pytest.raises(InputError, match="is the folder of the images"):
            cache.build_cache(folder, [path.name for path in before], target, Preprocessing(40, 32), workers=0)
        with pytest.raises(InputError, match="is the folder of the images"):
            train(TrainConfig(str(folder), str(image_list), str(image_list), str(target), device="cpu"))
    assert sorted(folder.iterdir()) == before


def test_an_image_cache_does_not_replace_other_files(tmp_path):
    folder, _ = make_folder(tmp_path, 1)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "images.bin").write_bytes(b"years of work")
    with pytest.raises(InputError, match=r"images\.bin: .*manifest\.txt"):
        cache.build_cache(folder, ["list_000.png"], tmp_path / "cache", Preprocessing(40, 32), workers=0)
    assert (tmp_path / "cache" / "images.bin").read_bytes() == b"years of work"


def test_quiet_prints_errors_only_and_writes_the_same_files(run, tmp_path):
    images, _ = make_folder(tmp_path, 2)
    code, printed, _ = run("predict", images, tmp_path / "none.png", "--output_csv", tmp_path / "a.csv")
    assert "list_000.png" in printed
    flags = ["--output_csv", tmp_path / "b.csv", "--quiet"]
    quiet_code, quiet, errors = run("predict", images, tmp_path / "none.png", *flags)
    assert quiet_code == code == 2
    assert "list_00" not in quiet
    assert "none.png" in errors
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_quiet_without_an_output_is_refused(run, tmp_path):
    code, _, error = run("predict", tmp_path / "none.png", "--quiet")
    assert code == 2
    assert error.splitlines()[0].startswith("error: --quiet")


def test_pictures_are_not_written_before_all_inputs_are_known(run, tmp_path):
    """A link in a folder leads to an image in the folder of the pictures."""
    pictures, images = tmp_path / "pictures", tmp_path / "images"
    for index in range(50):
        write_png(images / f"{index:02d}.png")
    write_png(pictures / "x.png")
    (images / "z.png").symlink_to(pictures / "x.png")
    code, _, error = run("predict", images, "--cam", pictures)
    assert code == 2
    assert "another folder" in error
    assert [path.name for path in pictures.iterdir()] == ["x.png"]
