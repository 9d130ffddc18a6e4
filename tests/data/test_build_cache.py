"""The script tools/build_cache.py."""

import importlib.util

from conftest import ROOT

from chexnet.data.cache.manifest import PIXELS


def script():
    spec = importlib.util.spec_from_file_location("script_build_cache", ROOT / "tools/build_cache.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_builds_resumes_and_verifies_a_cache(folder, tmp_path, capsys):
    data_dir, train_list = folder(6, "train.txt")
    _, val_list = folder(4, "val.txt")
    flags = [
        "--data_dir",
        str(data_dir),
        "--output_dir",
        str(tmp_path / "cache"),
        "--resize",
        "32",
        "--num_workers",
        "1",
    ]
    assert script().main([*flags, "--lists", str(train_list)]) == 0
    lists = ["--lists", str(train_list), str(val_list)]
    assert script().main([*flags, "--verify", *lists]) == 2
    assert "val.txt: 4 of 4 images" in capsys.readouterr().err
    assert script().main([*flags, *lists]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("4 added, 6 kept, 0 redone, 0 failed; 0.0 MB in ")
    assert printed[-1].startswith("Next: python train.py --data_dir ")
    assert script().main([*flags, "--verify", *lists]) == 0
    assert capsys.readouterr().out.startswith("10 images, ")
    with open(tmp_path / "cache" / PIXELS, "r+b") as file:
        file.write(b"\x00\x00\x00")
    assert script().main([*flags, "--verify", *lists]) == 2
    output = capsys.readouterr()
    assert output.out == "damaged: train_000.png\n"
    assert "1 of 10 images" in output.err.splitlines()[-1]


def test_the_script_names_every_file_that_does_not_decode(folder, tmp_path, capsys):
    data_dir, lists = folder(4)
    (data_dir / "list_002.png").write_bytes(b"")
    flags = ["--data_dir", str(data_dir), "--output_dir", str(tmp_path / "cache"), "--resize", "32"]
    assert script().main([*flags, "--lists", str(lists)]) == 2
    output = capsys.readouterr()
    assert output.out.startswith(f"failed: {data_dir / 'list_002.png'}: cannot be decoded")
    assert "3 added, 0 kept, 0 redone, 1 failed" in output.out
    assert output.err.splitlines()[-1].startswith(f"error: {data_dir}: 1 images, ")


def test_bad_lists_are_reported_before_anything_is_decoded(folder, tmp_path, capsys, read_names):
    data_dir, good = folder(3)
    (tmp_path / "bad.txt").write_text("a.png 0 1\n")
    flags = ["--data_dir", str(data_dir), "--output_dir", str(tmp_path / "cache")]
    assert script().main([*flags, "--lists", str(good), str(tmp_path / "bad.txt")]) == 2
    (data_dir / "list_001.png").unlink()
    assert script().main([*flags, "--lists", str(good)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "bad.txt:1: 2 labels" in errors[0]
    assert "list.txt: 1 of 3 images" in errors[1]
    assert read_names == []
    assert not (tmp_path / "cache").exists()
