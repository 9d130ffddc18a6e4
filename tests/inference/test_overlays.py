import numpy as np
import pytest
from PIL import Image

from chexnet.inference import fonts, overlays

GRAY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8))
SIZE = (80, 120)


def plain() -> np.ndarray:
    """Return the image alone at the same size, float [h, w, 3]."""
    return np.asarray(GRAY.resize(SIZE[::-1], Image.Resampling.BICUBIC).convert("RGB")).astype(float)


def blended(heatmap: np.ndarray) -> np.ndarray:
    return np.asarray(overlays.overlay(GRAY, heatmap.astype(np.float32))).astype(float)


def ramp() -> np.ndarray:
    """A map that rises from 0 at the left edge to 1 at the right edge."""
    return np.tile(np.linspace(0, 1, SIZE[1], dtype=np.float32), (SIZE[0], 1))


def test_an_absent_finding_leaves_the_image_unchanged():
    np.testing.assert_array_equal(blended(np.zeros(SIZE)), plain())


@pytest.mark.parametrize("value", [0.1, 0.4, 1.0])
def test_a_constant_map_is_a_uniform_color_without_contours(value):
    share = overlays.OPACITY * value
    expected = plain() * (1 - share) + np.array(overlays.COLOR) * share
    assert np.abs(blended(np.full(SIZE, value)) - expected).max() <= 1.5


def test_the_same_value_has_the_same_opacity_in_every_map():
    strong, weak = ramp(), 0.2 * ramp()
    value = 0.15
    columns = np.searchsorted(strong[0], value), np.searchsorted(weak[0], value)
    shares = []
    for heatmap, column in ((strong, columns[0]), (weak, columns[1])):
        way = overlays.COLOR - plain()[:, column]  # from the gray to the color
        shares.append(((blended(heatmap) - plain())[:, column] * way).sum() / (way * way).sum())
    assert shares == pytest.approx([overlays.OPACITY * value] * 2, rel=0.1)


def test_opacity_grows_with_the_value():
    black = Image.new("L", (60, 40))
    red = np.asarray(overlays.overlay(black, ramp()))[20, :, 0].astype(int)
    away = np.min([np.abs(ramp()[0] - level) for level in (0.25, 0.5, 0.75)], axis=0) > 0.03
    assert (np.diff(red[away]) >= 0).all()
    assert red[-1] == pytest.approx(overlays.OPACITY * overlays.COLOR[0], abs=1)


def test_contours_are_at_their_values():
    line = np.abs(blended(ramp()) - np.array(overlays.LINE)).max(axis=2) < 1
    columns = np.flatnonzero(line.all(axis=0))
    values = ramp()[0, columns]
    assert {round(4 * value) for value in values} == {1, 2, 3}
    assert np.abs(values - np.rint(4 * values) / 4).max() < 1.5 / SIZE[1]


@pytest.mark.filterwarnings("error")
def test_pixels_outside_all_crops_are_dim_without_color_or_contour():
    heatmap = np.full(SIZE, 0.9)
    heatmap[:, :30] = np.nan
    found = blended(heatmap)
    assert np.abs(found[:, :30] - overlays.DIMMED * plain()[:, :30]).max() <= 1.5
    np.testing.assert_array_equal(found[:, 30:], blended(np.full(SIZE, 0.9))[:, 30:])


def test_the_colors_differ_for_color_blind_people():
    """Vienot, Brettel and Mollon 1999: protanopes and deuteranopes see little more than luminance and blue."""

    def seen(rgb):
        linear = (np.array(rgb) / 255) ** 2.2
        return linear @ (0.2126, 0.7152, 0.0722), linear[2]

    color, line = seen(overlays.COLOR), seen(overlays.LINE)
    assert abs(color[1] - line[1]) > 0.5
    lightness = [seen(np.array(overlays.COLOR) * share)[0] for share in np.linspace(0, 1, 20)]
    assert (np.diff(lightness) > 0).all()


def test_the_size_of_a_panel_keeps_the_shape():
    assert overlays.panel_size(Image.new("L", (3000, 1500))) == (256, 512)
    assert overlays.panel_size(Image.new("L", (100, 200)), side=50) == (50, 25)


def test_a_panel_has_the_overlay_and_room_for_its_texts():
    heatmap = ramp()
    short = overlays.render_panel(GRAY, heatmap, 10, "Mass 0.9")
    left, top = overlays.MARGIN, 34
    inside = np.asarray(short)[top : top + SIZE[0], left : left + SIZE[1]]
    np.testing.assert_array_equal(inside, blended(heatmap))
    long = overlays.render_panel(GRAY, heatmap, 10, "Pleural_Thickening 0.912    " + "a_long_name" * 20)
    assert long.width > fonts.face("", 18).getlength("a_long_name" * 20)
    noticed = overlays.render_panel(GRAY, heatmap, 10, "Mass 0.9", "trained on synthetic images only")
    assert noticed.height > short.height
    foot = np.asarray(noticed)[top + SIZE[0] :]
    assert (foot.max(axis=2) > 200).sum() > 100


FOREIGN = {
    "lines": "a\nb\r\nc\u2028d",
    "terminal": "\x1b[31mred\x07\x00",
    "half of a character": "\ud800",
    "turned": "\u202efdp.exe",
    "Chinese": "\u80f8\u7247.png",
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=list(FOREIGN))
def test_any_text_can_be_written(text):
    line = overlays.fitted(text, 13, 500)
    assert line.isprintable()
    written = fonts.drawable("".join(filter(str.isprintable, text)))  # romanized without a font that has Chinese
    assert line.replace("\N{REPLACEMENT CHARACTER}", "") == written
    overlays.render_panel(GRAY, ramp(), 10, text, text)


@pytest.mark.parametrize("width", [0, 5, 20, 64, 300])
@pytest.mark.parametrize("end", [False, True])
def test_a_text_is_shortened_to_the_available_width(width, end):
    text = "Pleural_Thickening 0.912 of a long name that somebody gave"
    line = overlays.fitted(text, 13, width, end)
    assert fonts.face(line, 13).getlength(line) <= width
    kept = line.replace("...", "")
    assert text.endswith(kept) if end else text.startswith(kept)
    wider = text[: len(kept) + 2] if not end else text[-len(kept) - 2 :]
    assert line in ("", text) or fonts.face(wider, 13).getlength(f"...{wider}") > width
    assert overlays.fitted(text, 13, 1000, end) == text


def test_long_texts_do_not_make_huge_pictures():
    assert overlays.render_panel(GRAY, ramp(), 10, "a" * 10**6, "b" * 10**6).width < 7000


def test_the_scale_has_the_colors_of_the_map():
    picture = Image.new("RGB", (overlays.SCALE_WIDTH, 200))
    overlays.draw_scale(picture, 0, 0, 200, 10)
    pixels = np.asarray(picture).astype(float)[:, 4]
    gray = np.full(3, pixels[198].mean())
    for row, value in ((20, 0.9), (80, 0.6), (180, 0.1)):
        share = overlays.OPACITY * (1 - row / 199)
        assert value == pytest.approx(1 - row / 199, abs=0.01)
        np.testing.assert_allclose(pixels[row], gray * (1 - share) + np.array(overlays.COLOR) * share, atol=3)
    assert tuple(pixels[50]) == overlays.LINE
