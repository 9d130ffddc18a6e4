"""The phantoms: follow-ups share the anatomy, and each finding is visible and has its typical signs."""

import numpy as np
import pytest

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import FIELD_CM, Radiograph, draw


def pair(finding: str, size: int = 160, image: int = 0) -> tuple[Radiograph, np.ndarray, np.ndarray]:
    """Draw one exposure with and without a finding; return the radiograph and both images as float."""
    ill = draw([finding], size, seed=5, patient=image, image=image)
    well = draw([], size, seed=5, patient=image, image=image)
    return ill, ill.image.astype(float), well.image.astype(float)


def crop(image: np.ndarray, box) -> np.ndarray:
    return image[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)]


def test_a_follow_up_keeps_the_anatomy_and_changes_the_exposure():
    first, second = draw([], 96, patient=1), draw([], 96, patient=1, image=1)
    assert not np.array_equal(first.image, second.image)
    # A change of pose is smaller than the difference between patients.
    others = [draw([], 96, patient=p).image.astype(float) for p in range(2, 8)]
    between = np.mean([np.abs(first.image - other).mean() for other in others])
    assert np.abs(first.image.astype(float) - second.image).mean() < 1.5 * between


@pytest.mark.parametrize("finding", CLASS_NAMES)
@pytest.mark.parametrize("image", range(3))
def test_a_finding_changes_the_picture_where_its_boxes_are(finding, image):
    ill, with_it, without = pair(finding, image=image)
    change = np.abs(with_it - without)
    assert ill.findings == (finding,)
    boxes = [box for box in ill.boxes if box.finding == finding]
    assert boxes
    for box in boxes:
        assert 0 <= box.x < box.x + box.w <= 160
        assert 0 <= box.y < box.y + box.h <= 160
        # Both images have the same noise, so that the change is due to the finding.
        assert crop(change, box).mean() > 5.0
        assert np.percentile(crop(change, box), 90) > 12.0
    inside = np.zeros_like(change, dtype=bool)
    for box in boxes:
        crop(inside, box)[...] = True
    assert change[inside].mean() > 4 * change[~inside].mean()


def dome_height(image: np.ndarray, side: int) -> float:
    """Return the row, as a fraction of the size, of the lower end of the lung in a column of the outer lung."""
    size = len(image)
    column = int(size * (0.5 + side * 0.19))
    profile = image[:, column - 2 : column + 3].mean(axis=1)
    steps = profile[4:] - profile[:-4]
    start = int(0.5 * size)
    return (start + int(np.argmax(steps[start : int(0.9 * size)]))) / size


def cardiothoracic_ratio(image: np.ndarray) -> float:
    """Measure the heart's greatest extents to both sides, divided by the inner width of the thorax."""
    size = len(image)
    borders, walls = [], []
    # Rows down to the right hemidiaphragm, the higher one.
    for row in image[int(0.42 * size) : int((dome_height(image, -1) - 0.012) * size)].astype(float):
        smooth = np.convolve(row, np.ones(3) / 3, mode="same")
        middle = slice(int(0.4 * size), int(0.6 * size))
        flank = np.r_[smooth[int(0.18 * size) : int(0.3 * size)], smooth[int(0.72 * size) : int(0.84 * size)]]
        # A third of the way from lung to spine: denser than ribs and vessels, less dense than the heart.
        dense = smooth > 0.65 * np.median(flank) + 0.35 * smooth[middle].max()
        left = right = middle.start + int(np.argmax(smooth[middle]))
        while dense[left - 1]:
            left -= 1
        while dense[right + 1]:
            right += 1
        borders.append((left, right + 1))
        # The inner edge of the wall is the steepest rise in brightness on each side.
        steps = np.diff(smooth)
        quarter = size // 4
        inner = [int(np.argmin(steps[:quarter])), size - quarter + int(np.argmax(steps[-quarter:]))]
        walls.append(inner[1] - inner[0])
    return (max(right for _, right in borders) - min(left for left, _ in borders)) / np.median(walls[-15:])


@pytest.mark.parametrize("image", range(4))
def test_cardiomegaly_is_a_heart_of_more_than_half_the_thorax(image):
    _, large, normal = pair("Cardiomegaly", 192, image)
    assert cardiothoracic_ratio(large) > 0.55
    assert 0.36 < cardiothoracic_ratio(normal) < 0.50


def diameters(finding: str, image: int) -> list[float]:
    """Return the equivalent diameter in cm of the change in each box of the finding."""
    size = 256
    ill, with_it, without = pair(finding, size, image)
    areas = []
    for box in ill.boxes:
        margin = 6
        window = np.s_[
            int(box.y) - margin : int(box.y + box.h) + margin,
            int(box.x) - margin : int(box.x + box.w) + margin,
        ]
        areas.append(int((np.abs(with_it - without)[window] > 8).sum()))
    return [2 * (area / np.pi) ** 0.5 * FIELD_CM / size for area in areas]


@pytest.mark.parametrize("image", range(6))
def test_a_mass_is_over_and_a_nodule_under_three_centimetres(image):
    assert all(diameter > 3.3 for diameter in diameters("Mass", image))
    assert all(1.2 < diameter < 2.9 for diameter in diameters("Nodule", image))


@pytest.mark.parametrize("image", range(4))
def test_pneumothorax_is_darker_than_lung_at_the_wall(image):
    ill, with_it, without = pair("Pneumothorax", image=image)
    (box,) = ill.boxes
    on_the_left = box.x + box.w / 2 > 80
    # A strip near the outer edge of the box, at the height of the middle of the lung.
    outer = slice(int(box.x + 0.80 * box.w), int(box.x + 0.92 * box.w))
    if not on_the_left:
        outer = slice(int(box.x + 0.08 * box.w), int(box.x + 0.20 * box.w))
    rows_ = slice(int(box.y + 0.45 * box.h), int(box.y + 0.65 * box.h))
    assert with_it[rows_, outer].mean() < without[rows_, outer].mean() - 10
    # It is also darker than the other lung at this height.
    other_side = with_it[:, ::-1]
    assert with_it[rows_, outer].mean() < other_side[rows_, outer].mean() - 5


@pytest.mark.parametrize("image", range(4))
def test_emphysema_is_dark_low_and_flat(image):
    _, with_it, without = pair("Emphysema", 192, image)
    middle = np.s_[60:110, 45:70]
    assert with_it[middle].mean() < without[middle].mean() - 15
    for side in (-1, 1):
        assert dome_height(with_it, side) > dome_height(without, side) + 1.5 / FIELD_CM
    assert cardiothoracic_ratio(with_it) < cardiothoracic_ratio(without)


@pytest.mark.parametrize("image", range(4))
def test_atelectasis_lifts_one_hemidiaphragm(image):
    ill, with_it, without = pair("Atelectasis", 192, image)
    (box,) = ill.boxes
    side = 1 if box.x + box.w / 2 > 96 else -1
    assert box.w > 2 * box.h or box.w > 20
    # Liver or spleen reaches more than 1.5 cm higher, into former lung.
    column = int(192 * (0.5 + side * 0.16))
    lifted = (with_it - without)[int(0.5 * 192) : int(0.75 * 192), column - 3 : column + 4].mean(axis=1)
    assert (lifted > 40).sum() * FIELD_CM / 192 > 1.5


@pytest.mark.parametrize("image", range(4))
def test_effusion_fills_the_costophrenic_angle(image):
    ill, with_it, without = pair("Effusion", image=image)
    (box,) = ill.boxes
    gain = crop(with_it - without, box)
    assert gain.mean() > 10
    assert gain.min() > -10
    # A meniscus: the surface falls from the wall towards the heart.
    outwards = gain if box.x + box.w / 2 < 80 else gain[:, ::-1]
    surface = [int(np.argmax(outwards[:, int(share * box.w)] > 25)) for share in (0.08, 0.25, 0.5)]
    assert surface[0] < surface[1] < surface[2]


@pytest.mark.parametrize("finding", ["Consolidation", "Pneumonia", "Edema", "Infiltration", "Mass", "Nodule"])
def test_opacities_brighten(finding):
    for image in range(3):
        ill, with_it, without = pair(finding, image=image)
        for box in ill.boxes:
            assert crop(with_it - without, box).mean() > 5


def test_consolidation_is_denser_than_pneumonia_and_pneumonia_than_infiltration():
    def gain(finding: str) -> float:
        gains = []
        for image in range(4):
            ill, with_it, without = pair(finding, image=image)
            gains.append(np.mean([np.percentile(crop(with_it - without, box), 90) for box in ill.boxes]))
        return float(np.mean(gains))

    assert gain("Consolidation") > gain("Pneumonia") > gain("Infiltration")


def test_edema_and_fibrosis_are_on_both_sides():
    for finding in ("Edema", "Fibrosis"):
        centers = sorted(box.x + box.w / 2 for box in draw([finding], 100, patient=4).boxes)
        assert centers[0] < 45
        assert centers[-1] > 55


def test_hernia_has_gas_over_a_fluid_level_behind_the_heart():
    for image in range(4):
        ill, with_it, without = pair("Hernia", 192, image)
        (box,) = ill.boxes
        assert box.x < 96 < box.x + box.w
        change = crop(with_it - without, box)
        middle = change[:, change.shape[1] // 3 : 2 * change.shape[1] // 3].mean(axis=1)
        gas = middle[int(0.2 * len(middle)) : int(0.4 * len(middle))].mean()
        fluid = middle[int(0.6 * len(middle)) : int(0.8 * len(middle))].mean()
        assert gas < fluid - 15


def test_pleural_thickening_is_bright_along_one_wall():
    for image in range(4):
        ill, with_it, without = pair("Pleural_Thickening", image=image)
        (box,) = ill.boxes
        change = crop(with_it - without, box)
        outer = slice(-4, -1) if box.x > 80 else slice(1, 4)
        inner = slice(4, 10) if box.x > 80 else slice(-10, -4)
        rows_ = slice(len(change) // 2, 3 * len(change) // 4)
        assert change[rows_, outer].mean() > 8
        assert abs(change[rows_, inner].mean()) < 2


def test_all_fourteen_fit_into_one_chest():
    radiograph = draw(CLASS_NAMES[::-1], 96, patient=2)
    assert radiograph.findings == CLASS_NAMES
    assert {box.finding for box in radiograph.boxes} == set(CLASS_NAMES)


@pytest.mark.parametrize("patient", range(12))
def test_each_of_several_findings_is_visible(patient):
    rng = np.random.default_rng((77, patient))
    findings = [str(name) for name in rng.permutation(CLASS_NAMES)[:4]]
    together = draw(findings, 96, seed=9, patient=patient)
    for finding in findings:
        rest = draw([name for name in findings if name != finding], 96, seed=9, patient=patient)
        change = np.abs(together.image.astype(float) - rest.image)
        changes = [crop(change, box).mean() for box in together.boxes if box.finding == finding]
        assert max(changes) > 4, (finding, findings)


@pytest.mark.parametrize("findings", [[], ["Mass", "Atelectasis"], ["Pneumothorax", "Fibrosis"]])
def test_another_size_is_the_same_chest(findings):
    small, large = draw(findings, 128, patient=3), draw(findings, 512, patient=3)
    reduced = large.image.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    difference = np.abs(reduced - small.image)
    assert difference.mean() < 2.0
    assert np.percentile(difference, 99) < 16
    for box, large_box in zip(small.boxes, large.boxes, strict=True):
        assert box.finding == large_box.finding
        assert (box.x, box.y, box.w, box.h) == pytest.approx(
            (large_box.x / 4, large_box.y / 4, large_box.w / 4, large_box.h / 4), abs=3.0
        )


def test_unknown_findings_and_small_sizes_are_refused():
    with pytest.raises(InputError, match="'Fracture'"):
        draw(["Fracture"], 64)
    with pytest.raises(InputError, match="size: 16"):
        draw([], 16)
