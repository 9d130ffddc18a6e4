"""Checks of output paths before the work."""

import os

import pytest

from chexnet.errors import InputError
from chexnet.files import check_folder, check_inputs, check_writable, exclusive_lock, write_text


def test_unwritable_paths_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below.json", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            check_writable(path, path.suffix, protected=())
    with pytest.raises(InputError, match="below"):
        write_text(tmp_path / "file" / "below.json", "")
    check_writable(tmp_path / "fine.json", ".json", protected=())
    assert not (tmp_path / "fine.json").exists()


def test_inputs_are_not_overwritten(tmp_path):
    with pytest.raises(InputError, match=r"model\.json: is read by this run"):
        check_writable(tmp_path / "deep" / ".." / "model.json", ".json", protected=[tmp_path / "model.json"])
    with pytest.raises(InputError, match=r"model\.pdparams: expected a name that ends in \.json"):
        check_writable(tmp_path / "model.pdparams", ".json", protected=())


def test_two_outputs_must_be_two_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a.json").write_text("")
    os.link(tmp_path / "a.json", tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to("a.json")
    pairs = [("a.json", "A.JSON"[:-4] + "json"), ("real/b.json", "link/b.json"), ("a.json", "hard.json")]
    pairs += [("a.json", "soft.json"), ("x/../a.json", "a.json"), ("caf\u00e9.json", "cafe\u0301.json")]
    for first, second in pairs:
        with pytest.raises(InputError, match="which is the same file"):
            check_writable(tmp_path / second, ".json", protected=(), others=[tmp_path / first])
    check_writable(
        tmp_path / "b.json", ".json", protected=(), others=[tmp_path / "a.json", tmp_path / "real" / "b.json"]
    )


def test_an_output_is_not_the_json_of_a_weight_file(tmp_path):
    for name in ("other.pdparams", "third.safetensors"):
        (tmp_path / name).write_text("")
        json = (tmp_path / name).with_suffix(".json")
        with pytest.raises(InputError, match=rf"\.json: .*{name}"):
            check_writable(json, ".json", protected=())
        check_writable(json, ".json", protected=(), others=[tmp_path / name])


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a device or pipe"):
        check_writable(tmp_path / "pipe.json", ".json", protected=())


def test_outputs_in_a_replaced_folder_are_refused(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "elsewhere").symlink_to("r")
    for output in ("r/metrics.json", "r/deep/x.json", "R/x.json", "elsewhere/x.json", "r"):
        with pytest.raises(InputError, match=f"would be lost, .*{tmp_path / 'r'};"):
            check_folder(tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / output])
    check_folder(
        tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / "r.json", tmp_path / "rr" / "x.json"]
    )


def test_an_output_is_not_an_input_under_another_name(tmp_path):
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a.png"
    image.write_bytes(b"image")
    (tmp_path / "soft.png").symlink_to(image)
    os.link(image, tmp_path / "hard.png")
    for output in (image, tmp_path / "soft.png", tmp_path / "hard.png"):
        with pytest.raises(InputError, match="is read by this run, as"):
            check_inputs([tmp_path / "missing.png", image], [tmp_path / "new.png", output])
    check_inputs([image], [tmp_path / "new.png", tmp_path / "images" / "b.png"])


def test_a_mounted_file_is_detected_before_the_work(tmp_path, mount):
    (tmp_path / "host.json").write_text("old")
    mount(tmp_path / "out.json", "--bind", tmp_path / "host.json", kind="file")
    with pytest.raises(InputError, match=r"out\.json: is mounted and cannot be replaced"):
        check_writable(tmp_path / "out.json", ".json", protected=())
    check_writable(tmp_path / "host.json", ".json", protected=())
    check_writable(tmp_path / "new.json", ".json", protected=())
    other_disk = mount(tmp_path / "disk", "-t", "tmpfs", "tmpfs")
    (other_disk / "a.json").write_text("")
    (tmp_path / "link.json").symlink_to(other_disk / "a.json")  # the link itself is replaced; it is not mounted
    (tmp_path / "sub").symlink_to(other_disk)
    for path in (tmp_path / "link.json", tmp_path / "sub" / "a.json"):
        check_writable(path, ".json", protected=())


def test_a_read_only_disk_is_detected_before_the_work(tmp_path, mount):
    disk = mount(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs")
    for check in (
        lambda: check_writable(disk / "a.json", ".json", protected=()),
        lambda: check_writable(disk / "deep" / "a.json", ".json", protected=()),
        lambda: check_folder(disk, (), protected=()),
        lambda: check_folder(disk / "r", (), protected=()),
        lambda: exclusive_lock(disk).__enter__(),
    ):
        with pytest.raises(InputError, match=r"disk.*: cannot be (written|locked): Read-only file system"):
            check()
