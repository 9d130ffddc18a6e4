import os

from conftest import write_png
from dicom_files import dataset, save

from chexnet import images
from chexnet.errors import InputError
from chexnet.images.folders import find


def found(*names) -> list[str]:
    return [str(one) for one in find(map(str, names))]


def test_a_folder_stands_for_the_images_anywhere_below_it_sorted(tmp_path):
    for name in ("b/z.PNG", "b/c/a.jpg", "a.tif", "c.png", "b/IM1.dcm"):
        write_png(tmp_path / "x.png")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.png").rename(tmp_path / name)
    for name in ("labels.csv", "b/README", ".hidden.png", "b/.cache/x.png", "x.png.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    expected = ["a.tif", "b/IM1.dcm", "b/c/a.jpg", "b/z.PNG", "c.png"]
    assert found(tmp_path) == [str(tmp_path / name) for name in expected]


def test_dicom_is_found_whatever_it_is_called(tmp_path):
    pixels = images.read(write(tmp_path / "x.png"))
    (tmp_path / "x.png").unlink()
    for name in ("IM000001", "1.2.840.113619"):
        save(dataset(pixels), tmp_path / name)
    (tmp_path / "1.2.txt").write_bytes(bytes(128) + b"DICT")
    assert found(tmp_path) == [str(tmp_path / name) for name in ("1.2.840.113619", "IM000001")]


def test_a_file_is_taken_as_it_is_and_the_order_of_names_is_kept(tmp_path):
    write_png(tmp_path / "f/b.png")
    write_png(tmp_path / "f/a.png")
    (tmp_path / "notes.txt").write_text("no image")
    names = [tmp_path / "notes.txt", tmp_path / "f", tmp_path / "none.png", tmp_path / "f/b.png"]
    assert found(*names) == [str(path) for path in (names[0], tmp_path / "f/a.png", tmp_path / "f/b.png", *names[2:])]


def test_a_folder_without_images_is_an_error_among_the_others(tmp_path):
    (tmp_path / "empty").mkdir()
    write_png(tmp_path / "x.png")
    first, second = find([str(tmp_path / "empty"), str(tmp_path / "x.png")])
    assert isinstance(first, InputError)
    assert str(first).startswith(f"{tmp_path / 'empty'}: a folder without images, expected DICOM or files of .png")
    assert second == tmp_path / "x.png"


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    write_png(tmp_path / "x.png")
    assert found(tmp_path) == [str(tmp_path / "x.png")]


def test_a_link_that_leads_nowhere_or_round_is_passed_over(tmp_path):
    write_png(tmp_path / "x.png")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert found(tmp_path) == [str(tmp_path / "x.png")]


def write(path):
    write_png(path)
    return path
