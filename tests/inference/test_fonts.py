"""Names in any script in the pictures: a font of the machine, or Latin letters, never empty boxes."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image, ImageDraw

from chexnet.errors import InputWarning
from chexnet.inference import fonts

CHINESE = "肺炎 胸腔积液 0.913"


@pytest.fixture(autouse=True)
def _no_memory():
    """Forget what other tests have found on this machine."""
    for function in (fonts._missing, fonts._path, fonts._system_fonts):
        function.cache_clear()
    yield
    for function in (fonts._missing, fonts._path, fonts._system_fonts):
        function.cache_clear()


@pytest.fixture
def only(monkeypatch):
    """Let the machine have these fonts only."""
    return lambda *files: monkeypatch.setattr(fonts, "_system_fonts", lambda: files)


def glyphs(text: str) -> dict[str, bytes]:
    """Return the pixels of each character of a text, drawn with its font."""
    font = fonts.face(text, 24)
    return {char: bytes(font.getmask(char)) for char in text}


def boxes(text: str) -> set[str]:
    """Return the characters that are drawn as the box of missing glyphs."""
    missing = bytes(fonts.face(text, 24).getmask("\uffff"))
    return {char for char, pixels in glyphs(text).items() if pixels == missing and not char.isspace()}


@pytest.mark.parametrize("text", ["Effusion 0.913", "pleural-thickening_2 (a) [b] #3 100 %", ""])
def test_latin_text_is_drawn_with_the_font_of_pillow(text, only):
    only()
    assert fonts.drawable(text) == text
    assert fonts.font_file(text) == ""
    assert not boxes(text)


@pytest.mark.parametrize("text", [CHINESE, "Пневмония", "肺炎 and Пневмония.png", "気胸", "폐렴", "ปอดบวม"])
def test_no_name_becomes_boxes(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        shown = fonts.drawable(text)
    assert shown
    assert not boxes(shown)


def test_without_a_font_names_are_romanized_and_it_is_said_once(only):
    only()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shown = fonts.drawable(CHINESE)
        assert fonts.drawable(CHINESE) == shown
    assert [type(warning.message) for warning in caught] == [InputWarning]
    assert shown.isascii()
    assert "0.913" in shown
    assert not boxes(shown)


def test_a_font_that_has_the_characters_is_used_and_nothing_is_said(only):
    """matplotlib contains DejaVu Sans, which has Cyrillic letters and no Chinese ones."""
    dejavu = str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    only(dejavu)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.drawable("Пневмония 0.5") == "Пневмония 0.5"
    assert fonts.font_file("Пневмония 0.5") == dejavu
    with pytest.warns(InputWarning):
        mixed = fonts.drawable("Пневмония 肺炎")
    assert mixed.startswith("Пневмония ")
    assert mixed.removeprefix("Пневмония ").isascii()


def test_chinese_is_drawn_as_it_is_written_where_a_font_has_it():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shown = fonts.drawable(CHINESE)
    if caught:
        pytest.skip("no font of this machine has Chinese characters")
    assert shown == CHINESE
    pictures = glyphs(CHINESE)
    assert len({pictures[char] for char in "肺炎胸腔积液"}) == 6
    canvas = Image.new("L", (400, 40))
    ImageDraw.Draw(canvas).text((0, 0), shown, 255, fonts.face(shown, 24))
    assert np.asarray(canvas).any()


def test_a_font_file_that_vanishes_is_passed_over(only, tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    only(str(tmp_path / "missing.ttf"), str(tmp_path / "broken.ttf"))
    with pytest.warns(InputWarning):
        assert fonts.drawable("肺").isascii()
