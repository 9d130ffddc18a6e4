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


def warning(image: Image.Image, crop: int = 224) -> str:
    """Return the warnings as one text, without MEANINGLESS, which has its own tests."""
    return " | ".join(image_checks.check_image(image, crop, chest=False))


def test_phantoms_give_no_warning(phantoms):
    assert [warning(image) for image in phantoms] == [""] * 8


def test_inverted_images_are_recognized(phantoms):
    assert all(warning(ImageOps.invert(image)).startswith(INVERTED) for image in phantoms)


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
def test_rotated_images_are_called_unlike(phantoms, turn):
    assert all(warning(image.transpose(turn)).startswith(UNLIKE) for image in phantoms)


def text_page() -> Image.Image:
    page = Image.new("L", (600, 800), 255)
    for line in range(40):
        ImageDraw.Draw(page).text((60, 60 + 16 * line), "a report about a radiograph, " * 2, 0)
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
def test_other_images_are_called_unlike(name):
    assert UNLIKE in warning(OTHERS[name])


def test_similarity_changes_sign_with_inversion_and_ignores_scale(phantoms):
    pixels = np.asarray(phantoms[0].resize((64, 64)), dtype=float)
    value = image_checks.chest_similarity(pixels)
    assert 0.5 < value <= 1
    assert image_checks.chest_similarity(255 - pixels) == pytest.approx(-value)
    assert image_checks.chest_similarity(pixels / 7 + 3) == pytest.approx(value)
    assert image_checks.chest_similarity(np.full((64, 64), 9.0)) == 0


def test_a_brightness_gradient_has_no_similarity():
    down, right = np.mgrid[:64, :64].astype(float)
    assert abs(image_checks.chest_similarity(down)) < 1e-6
    assert abs(image_checks.chest_similarity(3 * down - right)) < 1e-6


def test_a_small_image_gives_a_warning_with_its_size(phantoms):
    assert warning(phantoms[0].resize((224, 224))) == ""
    assert warning(phantoms[0].resize((223, 230))) == "only 223 x 230 pixels, expected at least 224 per side"


@pytest.mark.parametrize("crop", [32, 64, 448])
def test_the_minimum_size_depends_on_the_network(phantoms, crop):
    assert warning(phantoms[0].resize((crop, crop)), crop) == ""
    small = phantoms[0].resize((crop + 9, crop - 1))
    assert warning(small, crop) == f"only {crop + 9} x {crop - 1} pixels, expected at least {crop} per side"


def test_a_long_image_gives_a_warning_with_its_ratio(phantoms):
    assert warning(phantoms[0].resize((384, 256))) == ""
    assert warning(phantoms[0].resize((256, 410))) == "one side is 1.6 times the other, expected at most 1.5 times"


def test_colors_give_a_warning_but_a_tint_and_gray_rgb_do_not(phantoms):
    gray = phantoms[0]
    assert warning(gray.convert("RGB")) == warning(gray.convert("RGBA")) == warning(gray.convert("P")) == ""
    tinted = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.98), gray])
    assert warning(tinted) == ""
    colored = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.7), gray])
    assert warning(colored).startswith("it has colors: ")


def test_an_almost_uniform_image_gives_a_warning():
    for pixels in (np.zeros((256, 256)), np.full((256, 256), 200), 120 + RNG.integers(0, 12, (256, 256))):
        assert warning(Image.fromarray(pixels.astype(np.uint8))).startswith("almost uniform: ")
    faint = Image.fromarray(np.clip(RNG.normal(128, 12, (256, 256)), 0, 255).astype(np.uint8))
    assert warning(faint).startswith("almost uniform: ")
    assert "standard deviation 12 of 255" in warning(faint)
    few = Image.fromarray(draw([], 256, patient=0).image).point(lambda value: value // 64 * 64)
    assert warning(few).startswith("almost uniform: 4 gray levels")


@pytest.mark.parametrize(("side", "box"), [("top", (0, 0, 256, 26)), ("bottom", (0, 230, 256, 256)),
                                           ("left", (0, 0, 26, 256)), ("right", (230, 0, 256, 256))])  # fmt: skip
@pytest.mark.parametrize("gray", [0, 255])
def test_a_border_gives_a_warning_with_its_side_and_size(phantoms, side, box, gray):
    framed = phantoms[0].copy()
    framed.paste(gray, box)
    ImageDraw.Draw(framed).text((box[0] + 8, box[1] + 8), "AP", 255 - gray)
    assert warning(framed).startswith(f"a uniform border or bar, 10 % at the {side}: ")
    fraction = image_checks.border_fractions(framed)[("top", "bottom", "left", "right").index(side)]
    assert fraction == pytest.approx(26 / 256, abs=1 / 128)


def test_view_position_and_modality_of_a_dicom_header_are_checked(tmp_path, phantoms):
    pixels = np.asarray(phantoms[0])
    for header, expected in (
        ({"ViewPosition": "PA"}, ""),
        ({"Modality": "CR", "ViewPosition": ""}, ""),
        ({"ViewPosition": "LL"}, "its view position is LL, not frontal (PA or AP)"),
        ({"Modality": "CT"}, "its modality is CT, not a radiograph"),
    ):
        path = save(dataset(pixels, **header), tmp_path / "x.dcm")
        assert warning(images.open_image(path)) == expected


def meaningful(image: Image.Image, chest: bool = True) -> bool:
    return image_checks.is_meaningful(image_checks.check_image(image, 224, chest))


def test_numbers_of_other_images_are_meaningless(phantoms, tmp_path):
    gray = phantoms[0]
    others = [*OTHERS.values(), ImageOps.invert(gray), gray.transpose(Image.Transpose.ROTATE_90)]
    others += [Image.new("L", (256, 256)), Image.new("RGB", (256, 256), "white")]
    for view in ({"ViewPosition": "LL"}, {"Modality": "MG"}):
        others.append(images.open_image(save(dataset(np.asarray(gray), **view), tmp_path / "x.dcm")))
    assert [meaningful(image) for image in others] == [False] * len(others)


def test_numbers_of_a_chest_radiograph_with_flaws_are_meaningful(phantoms):
    gray = phantoms[0]
    framed = gray.copy()
    framed.paste(0, (0, 0, 256, 26))
    tinted = Image.merge("RGB", [gray, gray.point(lambda value: value * 0.7), gray])
    doubtful = [gray.resize((100, 100)), gray.resize((256, 410)), framed, tinted]
    assert all(warning(image) for image in doubtful)
    assert all(meaningful(image) for image in [*phantoms, *doubtful])


def test_networks_for_other_images_never_give_meaningless_numbers():
    assert all(meaningful(image, chest=False) for image in OTHERS.values())


def test_the_image_is_not_changed(phantoms):
    image = Image.merge("RGB", [phantoms[0]] * 3)
    before = image.tobytes()
    image_checks.check_image(image, 224)
    assert image.tobytes() == before
    assert image.mode == "RGB"


@pytest.mark.real_data
def test_real_radiographs_give_as_few_warnings_as_documented(nih_sample):
    """Six of 200 have borders and three look unlike; inverted, all give a warning, and nearly all the right one."""
    paths = sorted((nih_sample / "images").glob("*.png"))
    opened = [images.open_image(path) for path in paths]
    found = [warning(image) for image in opened]
    assert sum("border" in text for text in found) <= 6 * len(paths) / 200
    assert sum(UNLIKE in text for text in found) <= 3 * len(paths) / 200
    assert sum(bool(text) for text in found) <= 9 * len(paths) / 200
    inverted = [warning(ImageOps.invert(images.to_gray(image))) for image in opened[::4]]
    assert all(inverted)
    assert sum(INVERTED in text for text in inverted) > 0.85 * len(inverted)
