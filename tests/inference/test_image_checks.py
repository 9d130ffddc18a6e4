import numpy as np
import pytest
from dicom_files import dataset, save
from PIL import Image, ImageDraw, ImageOps

from chexnet.data import images
from chexnet.inference import image_checks
from chexnet.phantom import draw

RNG = np.random.default_rng(0)
INVERTED = "probably inverted"
UNLIKE = "does not look like an upright frontal chest radiograph"


@pytest.fixture(scope="module")
def phantoms():
    return [Image.fromarray(draw([], 256, patient=patient).image) for patient in range(8)]


def said(image: Image.Image, crop: int = 224) -> str:
    """Without the sentence that the numbers mean nothing, of which there are tests of its own."""
    return " | ".join(image_checks.check_image(image, crop, chest=False))


def test_of_phantoms_nothing_is_said(phantoms):
    assert [said(image) for image in phantoms] == [""] * 8


def test_inverted_ones_are_called_so(phantoms):
    assert all(said(ImageOps.invert(image)).startswith(INVERTED) for image in phantoms)


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
def test_those_that_lie_on_their_side_are_called_unlike(phantoms, turn):
    assert all(said(image.transpose(turn)).startswith(UNLIKE) for image in phantoms)


def text_page() -> Image.Image:
    page = Image.new("L", (600, 800), 255)
    for line in range(40):
        ImageDraw.Draw(page).text((60, 60 + 16 * line), "no radiograph but a report of one, " * 2, 0)
    return page


def gradient(angle: float) -> Image.Image:
    down, right = np.mgrid[:256, :256]
    values = np.cos(angle) * down + np.sin(angle) * right
    return Image.fromarray(np.rint(255 * (values - values.min()) / np.ptp(values)).astype(np.uint8))


OTHERS = {
    "noise": Image.fromarray(RNG.integers(0, 256, (300, 300), dtype=np.uint8)),
    "page": text_page(),
    "brighter below": gradient(0),
    "brighter above": gradient(np.pi),
    "brighter aslant": gradient(1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_radiograph_is_called_unlike(name):
    assert UNLIKE in said(OTHERS[name])


def test_likeness_of_the_negative_is_the_negative_likeness_and_scale_does_not_matter(phantoms):
    pixels = np.asarray(phantoms[0].resize((64, 64)), dtype=float)
    value = image_checks.chest_similarity(pixels)
    assert 0.5 < value <= 1
    assert image_checks.chest_similarity(255 - pixels) == pytest.approx(-value)
    assert image_checks.chest_similarity(pixels / 7 + 3) == pytest.approx(value)
    assert image_checks.chest_similarity(np.full((64, 64), 9.0)) == 0


def test_likeness_does_not_rise_with_brightness_over_the_whole_image():
    down, right = np.mgrid[:64, :64].astype(float)
    assert abs(image_checks.chest_similarity(down)) < 1e-6
    assert abs(image_checks.chest_similarity(3 * down - right)) < 1e-6


def test_a_small_image_is_named_with_its_size(phantoms):
    assert said(phantoms[0].resize((224, 224))) == ""
    assert said(phantoms[0].resize((223, 230))) == "only 223 x 230 pixels, at least 224 a side are wanted"


@pytest.mark.parametrize("crop", [32, 64, 448])
def test_what_is_small_depends_on_the_network(phantoms, crop):
    assert said(phantoms[0].resize((crop, crop)), crop) == ""
    small = phantoms[0].resize((crop + 9, crop - 1))
    assert said(small, crop) == f"only {crop + 9} x {crop - 1} pixels, at least {crop} a side are wanted"


def test_a_long_one_is_named_with_its_ratio(phantoms):
    assert said(phantoms[0].resize((384, 256))) == ""
    assert said(phantoms[0].resize((256, 410))) == "one side is 1.6 times the other, expected at most 1.5 times"


def test_colours_are_named_but_a_tint_and_gray_in_colours_are_not(phantoms):
    gray = phantoms[0]
    assert said(gray.convert("RGB")) == said(gray.convert("RGBA")) == said(gray.convert("P")) == ""
    tinted = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.98), gray])
    assert said(tinted) == ""
    coloured = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.7), gray])
    assert said(coloured) == "it has colours: a photograph or a screen, not a radiograph as it was stored"


def test_almost_nothing_is_named():
    for pixels in (np.zeros((256, 256)), np.full((256, 256), 200), 120 + RNG.integers(0, 12, (256, 256))):
        assert said(Image.fromarray(pixels.astype(np.uint8))).startswith("almost nothing to see: ")
    faint = Image.fromarray(np.clip(RNG.normal(128, 12, (256, 256)), 0, 255).astype(np.uint8))
    assert said(faint).startswith("almost nothing to see: ")
    assert "standard deviation 12 of 255" in said(faint)
    few = Image.fromarray(draw([], 256, patient=0).image).point(lambda value: value // 64 * 64)
    assert said(few).startswith("almost nothing to see: 4 gray levels")


@pytest.mark.parametrize(("side", "box"), [("top", (0, 0, 256, 26)), ("bottom", (0, 230, 256, 256)),
                                           ("left", (0, 0, 26, 256)), ("right", (230, 0, 256, 256))])  # fmt: skip
@pytest.mark.parametrize("gray", [0, 255])
def test_a_border_is_named_with_its_side_and_size(phantoms, side, box, gray):
    framed = phantoms[0].copy()
    framed.paste(gray, box)
    ImageDraw.Draw(framed).text((box[0] + 8, box[1] + 8), "AP", 255 - gray)
    assert said(framed) == f"a uniform border or bar, 10 % at the {side}: crop it, the network looks at it too"
    within = image_checks.border_fractions(framed)[("top", "bottom", "left", "right").index(side)]
    assert within == pytest.approx(26 / 256, abs=1 / 128)


def test_what_a_dicom_header_says_of_the_view_is_heeded(tmp_path, phantoms):
    pixels = np.asarray(phantoms[0])
    for header, expected in (
        ({"ViewPosition": "PA"}, ""),
        ({"Modality": "CR", "ViewPosition": ""}, ""),
        ({"ViewPosition": "LL"}, "its header says that the view is LL, not frontal (PA or AP)"),
        ({"Modality": "CT"}, "its header says that it is no radiograph but CT"),
    ):
        path = save(dataset(pixels, **header), tmp_path / "x.dcm")
        assert said(images.open_image(path)) == expected


def meaningful(image: Image.Image, chest: bool = True) -> bool:
    return image_checks.is_meaningful(image_checks.check_image(image, 224, chest))


def test_numbers_mean_nothing_for_what_is_something_else_altogether(phantoms, tmp_path):
    gray = phantoms[0]
    others = [*OTHERS.values(), ImageOps.invert(gray), gray.transpose(Image.Transpose.ROTATE_90)]
    others += [Image.new("L", (256, 256)), Image.new("RGB", (256, 256), "white")]
    for view in ({"ViewPosition": "LL"}, {"Modality": "MG"}):
        others.append(images.open_image(save(dataset(np.asarray(gray), **view), tmp_path / "x.dcm")))
    assert [meaningful(image) for image in others] == [False] * len(others)


def test_numbers_mean_something_for_a_chest_that_could_be_better(phantoms):
    gray = phantoms[0]
    framed = gray.copy()
    framed.paste(0, (0, 0, 256, 26))
    tinted = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.7), gray])
    doubtful = [gray.resize((100, 100)), gray.resize((256, 410)), framed, tinted]
    assert all(said(image) for image in doubtful)
    assert all(meaningful(image) for image in [*phantoms, *doubtful])


def test_of_networks_of_something_else_it_is_not_said():
    assert all(meaningful(image, chest=False) for image in OTHERS.values())


def test_nothing_is_altered(phantoms):
    image = Image.merge("RGB", [phantoms[0]] * 3)
    before = image.tobytes()
    image_checks.check_image(image, 224)
    assert image.tobytes() == before
    assert image.mode == "RGB"


@pytest.mark.real_data
def test_real_radiographs_are_warned_of_as_seldom_as_the_documentation_says(nih_sample):
    """Six of 200 are framed and three look unlike; inverted they are all called something, nearly all so."""
    paths = sorted((nih_sample / "images").glob("*.png"))
    opened = [images.open_image(path) for path in paths]
    found = [said(image) for image in opened]
    assert sum("border" in text for text in found) <= 6 * len(paths) / 200
    assert sum(UNLIKE in text for text in found) <= 3 * len(paths) / 200
    assert sum(bool(text) for text in found) <= 9 * len(paths) / 200
    inverted = [said(ImageOps.invert(images.to_gray(image))) for image in opened[::4]]
    assert all(inverted)
    assert sum(INVERTED in text for text in inverted) > 0.85 * len(inverted)
