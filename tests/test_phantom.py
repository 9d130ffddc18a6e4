"""The phantoms: deterministic, laid out like ChestX-ray14, and each finding really to be seen."""

import csv
import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import FIELD_CM, PREVALENCE, Radiograph, Summary, draw, make_dataset, sample_findings

IMAGES, SIZE, SEED = 40, 64, 11


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    out = tmp_path_factory.mktemp("phantom") / "set"
    return out, make_dataset(out, IMAGES, SIZE, SEED, min_prevalence=0.15)


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(summary: Summary, part: str) -> dict[str, list[int]]:
    lines = [line.split() for line in summary.lists[part].read_text().splitlines()]
    return {name: [int(value) for value in values] for name, *values in lines}


def pair(finding: str, size: int = 160, image: int = 0) -> tuple[Radiograph, np.ndarray, np.ndarray]:
    """The same exposure with the finding and without: the radiograph and both images as float."""
    ill = draw([finding], size, seed=5, patient=image, image=image)
    well = draw([], size, seed=5, patient=image, image=image)
    return ill, ill.image.astype(float), well.image.astype(float)


def crop(image: np.ndarray, box) -> np.ndarray:
    return image[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)]


# The data set


def test_same_arguments_give_the_same_bytes(written, tmp_path):
    out, _ = written
    make_dataset(tmp_path / "again", IMAGES, SIZE, SEED, min_prevalence=0.15)
    assert digests(out) == digests(tmp_path / "again")


def test_another_seed_gives_other_images(tmp_path):
    one = make_dataset(tmp_path / "one", 10, 32, 1)
    two = make_dataset(tmp_path / "two", 10, 32, 2)
    shared = {p.name for p in one.image_dir.iterdir()} & {p.name for p in two.image_dir.iterdir()}
    assert shared
    assert all(sha256(one.image_dir / name) != sha256(two.image_dir / name) for name in shared)


def test_a_smaller_set_is_the_beginning_of_a_larger_one(written, tmp_path):
    _, large = written
    small = make_dataset(tmp_path / "small", 25, SIZE, SEED, min_prevalence=0.15)
    for image in small.image_dir.iterdir():
        assert sha256(image) == sha256(large.image_dir / image.name)
    for part in small.lists:
        assert rows(small, part).items() <= rows(large, part).items()


def test_lists_name_every_image_once_in_order(written):
    out, summary = written
    names = []
    for part in ("train", "val", "test"):
        assert summary.lists[part] == out / "labels" / f"{part}_list.txt"
        listed = rows(summary, part)
        assert list(listed) == sorted(listed)
        assert all(len(values) == 14 and set(values) <= {0, 1} for values in listed.values())
        names += listed
        assert summary.images[part] == len(listed)
        assert summary.patients[part] == len({name[:8] for name in listed})
        assert list(summary.positives[part]) == np.sum(list(listed.values()), axis=0).tolist()
    assert sorted(names) == sorted(p.name for p in (out / "images").iterdir())
    assert len(names) == IMAGES


def test_no_patient_is_in_two_parts(written):
    _, summary = written
    patients = [{name[:8] for name in rows(summary, part)} for part in ("train", "val", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_patients_are_split_70_10_20_and_have_one_to_six_images(tmp_path, monkeypatch):
    # Only the plan matters here, so one blank picture stands for all.
    blank = Radiograph(np.zeros((32, 32), np.uint8), (), ())
    monkeypatch.setattr("chexnet.phantom.dataset.draw", lambda *args, **kwargs: blank)
    summary = make_dataset(tmp_path / "set", 1500, 32, 3)
    patients = sum(summary.patients.values())
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert summary.patients[part] / patients == pytest.approx(share, abs=0.02)
        assert summary.images[part] / 1500 == pytest.approx(share, abs=0.05)
    counts = Counter(name[:8] for part in summary.lists for name in rows(summary, part))
    assert set(counts.values()) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("seed", range(8))
def test_ten_images_fill_all_parts(tmp_path, seed):
    summary = make_dataset(tmp_path / "set", 10, 32, seed)
    assert min(summary.images.values()) >= 1
    assert sum(summary.images.values()) == 10


def test_images_are_gray_png_of_the_size(written):
    out, _ = written
    for path in sorted((out / "images").iterdir())[:5]:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (SIZE, SIZE))


def test_boxes_are_in_nih_format_and_agree_with_the_lists(written):
    out, summary = written
    labels = {name: values for part in summary.lists for name, values in rows(summary, part).items()}
    with open(out / "BBox_List.csv", newline="") as file:
        header, *boxes = csv.reader(file)
    assert ",".join(header) == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    spellings = {"Infiltrate": "Infiltration"}
    boxed = set()
    for name, label, *numbers in boxes:
        x, y, w, h = map(float, numbers)
        assert 0 <= x < x + w <= 1024
        assert 0 <= y < y + h <= 1024
        boxed.add((name, spellings.get(label, label)))
    eight = CLASS_NAMES[: CLASS_NAMES.index("Pneumothorax") + 1]
    positive = {(name, finding) for name in labels for finding in eight if labels[name][CLASS_NAMES.index(finding)]}
    assert boxed == positive
    assert {finding for _, finding in boxed} == set(eight)


def test_progress_counts_every_image(tmp_path):
    steps: list[int] = []
    make_dataset(tmp_path / "set", 12, 32, 0, progress=steps.append)
    assert sum(steps) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": 9}, "images: 9 found, at least 10"),
        ({"size": 31}, "size: 31 pixels found, at least 32"),
        ({"seed": -1}, "seed: -1 found"),
        ({"min_prevalence": 0.5}, "min_prevalence: 0.5 found"),
        ({"min_prevalence": -0.1}, "min_prevalence: -0.1 found"),
    ],
)
def test_bad_arguments_are_named_and_write_nothing(tmp_path, change, words):
    good = {"images": 10, "size": 32, "seed": 0, "min_prevalence": 0.0}
    with pytest.raises(InputError, match=words):
        make_dataset(tmp_path / "set", **{**good, **change})
    assert not (tmp_path / "set").exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        make_dataset(tmp_path, 10, 32, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_complete_set_is_refused_and_an_interrupted_one_is_finished(tmp_path):
    out = tmp_path / "set"
    summary = make_dataset(out, 10, 32, 0)
    whole = digests(out)
    with pytest.raises(InputError, match="already"):
        make_dataset(out, 10, 32, 0)
    for path in summary.lists.values():
        path.unlink()
    next(iter(summary.image_dir.iterdir())).write_bytes(b"half")
    with pytest.raises(InputError, match="other files"):
        make_dataset(out, 10, 32, 1)
    make_dataset(out, 10, 32, 0)
    assert digests(out) == whole
    assert json.loads((out / "phantom.json").read_text())["seed"] == 0


# Which findings


def test_prevalences_are_those_of_the_real_set():
    drawn = [sample_findings(0, patient, 0) for patient in range(20000)]
    counts = Counter(finding for findings in drawn for finding in findings)
    for finding, expected in PREVALENCE.items():
        error = 4.5 * np.sqrt(expected * (1 - expected) / len(drawn))
        assert counts[finding] / len(drawn) == pytest.approx(expected, abs=error), finding
    # 60,361 of the 112,120 images of ChestX-ray14 say 'No Finding'.
    assert sum(not findings for findings in drawn) / len(drawn) == pytest.approx(60361 / 112120, abs=0.015)


def test_min_prevalence_lifts_the_rare_and_leaves_the_frequent():
    drawn = [sample_findings(0, patient, 0, 0.12) for patient in range(8000)]
    counts = Counter(finding for findings in drawn for finding in findings)
    for finding, real in PREVALENCE.items():
        assert counts[finding] / len(drawn) == pytest.approx(max(real, 0.12), abs=0.018), finding


def test_every_finding_has_a_real_prevalence():
    assert tuple(PREVALENCE) == CLASS_NAMES


def test_the_body_says_nothing_about_the_findings():
    # Seeds that share a stream would give the ill another build than the healthy: a shortcut to learn.
    ill = [bool(sample_findings(0, patient, 0, 0.1)) for patient in range(200)]
    build = [draw([], 32, patient=patient).image.astype(float) for patient in range(200)]
    columns = np.array([image[20:].mean(axis=0) for image in build])
    correlations = [np.corrcoef(ill, column)[0, 1] for column in columns.T]
    assert np.max(np.abs(correlations)) < 0.3


# The pictures


def test_a_follow_up_keeps_the_anatomy_and_changes_the_exposure():
    first, second = draw([], 96, patient=1), draw([], 96, patient=1, image=1)
    assert not np.array_equal(first.image, second.image)
    # Half the pixel differences between patients would need another chest, not another pose.
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
        # The noise is the same in both; the anatomy's own noise is a gray level or two.
        assert crop(change, box).mean() > 5.0
        assert np.percentile(crop(change, box), 90) > 12.0
    inside = np.zeros_like(change, dtype=bool)
    for box in boxes:
        crop(inside, box)[...] = True
    assert change[inside].mean() > 4 * change[~inside].mean()


def dome_height(image: np.ndarray, side: int) -> float:
    """Row (as a share of the size) where the lung ends below, in a column of the outer lung."""
    size = len(image)
    column = int(size * (0.5 + side * 0.19))
    profile = image[:, column - 2 : column + 3].mean(axis=1)
    steps = profile[4:] - profile[:-4]
    start = int(0.5 * size)
    return (start + int(np.argmax(steps[start : int(0.9 * size)]))) / size


def cardiothoracic_ratio(image: np.ndarray) -> float:
    """Widest heart to the right plus widest to the left over inner thorax width, from the gray values."""
    size = len(image)
    borders, walls = [], []
    # Down to the right hemidiaphragm, the higher one; the arms are out of the way in the last rows.
    for row in image[int(0.42 * size) : int((dome_height(image, -1) - 0.012) * size)].astype(float):
        smooth = np.convolve(row, np.ones(3) / 3, mode="same")
        middle = slice(int(0.4 * size), int(0.6 * size))
        flank = np.r_[smooth[int(0.18 * size) : int(0.3 * size)], smooth[int(0.72 * size) : int(0.84 * size)]]
        # A third of the way from lung to spine: above ribs and vessels, below the heart.
        dense = smooth > 0.65 * np.median(flank) + 0.35 * smooth[middle].max()
        left = right = middle.start + int(np.argmax(smooth[middle]))
        while dense[left - 1]:
            left -= 1
        while dense[right + 1]:
            right += 1
        borders.append((left, right + 1))
        # The inner edge of the wall, on each side, is where the lung brightens fastest towards it.
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
    """Equivalent diameter in cm of what the finding adds, for each of its boxes."""
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
    # The outer quarter of the box, at the height of the middle of the lung.
    outer = slice(int(box.x + 0.80 * box.w), int(box.x + 0.92 * box.w))
    if not on_the_left:
        outer = slice(int(box.x + 0.08 * box.w), int(box.x + 0.20 * box.w))
    rows_ = slice(int(box.y + 0.45 * box.h), int(box.y + 0.65 * box.h))
    assert with_it[rows_, outer].mean() < without[rows_, outer].mean() - 10
    # Markings are gone: what varies there is little more than the ribs.
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
    # Under the old dome's top there was lung; now there is liver or spleen up to 1.5 cm higher.
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
    # A meniscus: from the wall towards the heart the surface falls.
    outwards = gain if box.x + box.w / 2 < 80 else gain[:, ::-1]
    surface = [int(np.argmax(outwards[:, int(share * box.w)] > 25)) for share in (0.08, 0.25, 0.5)]
    assert surface[0] < surface[1] < surface[2]


@pytest.mark.parametrize("finding", ["Consolidation", "Pneumonia", "Edema", "Infiltration", "Mass", "Nodule"])
def test_opacities_brighten_and_keep_their_order(finding):
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
        centres = sorted(box.x + box.w / 2 for box in draw([finding], 100, patient=4).boxes)
        assert centres[0] < 45
        assert centres[-1] > 55


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
def test_each_of_several_findings_is_still_to_be_seen(patient):
    rng = np.random.default_rng((77, patient))
    findings = [str(name) for name in rng.permutation(CLASS_NAMES)[:4]]
    together = draw(findings, 96, seed=9, patient=patient)
    for finding in findings:
        rest = draw([name for name in findings if name != finding], 96, seed=9, patient=patient)
        change = np.abs(together.image.astype(float) - rest.image)
        seen = [crop(change, box).mean() for box in together.boxes if box.finding == finding]
        assert max(seen) > 4, (finding, findings)


@pytest.mark.parametrize("findings", [[], ["Mass", "Atelectasis"], ["Pneumothorax", "Fibrosis"]])
def test_another_size_is_the_same_chest(findings):
    small, large = draw(findings, 128, patient=3), draw(findings, 512, patient=3)
    reduced = large.image.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    difference = np.abs(reduced - small.image)
    assert difference.mean() < 2.0
    assert np.percentile(difference, 99) < 16
    for one, other in zip(small.boxes, large.boxes, strict=True):
        assert one.finding == other.finding
        assert (one.x, one.y, one.w, one.h) == pytest.approx(
            (other.x / 4, other.y / 4, other.w / 4, other.h / 4), abs=3.0
        )


def test_drawing_refuses_what_it_does_not_know():
    with pytest.raises(InputError, match="'Fracture' found"):
        draw(["Fracture"], 64)
    with pytest.raises(InputError, match="size: 16"):
        draw([], 16)


# The script


def script():
    path = Path(__file__).parents[1] / "tools" / "make_phantom.py"
    spec = importlib.util.spec_from_file_location("make_phantom", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_writes_the_set_and_says_how_to_train(tmp_path, capsys):
    out = tmp_path / "set"
    assert script().main(["--out", str(out), "--images", "12", "--size", "32", "--seed", "4"]) == 0
    printed = capsys.readouterr().out
    assert f"python train.py --data_dir {out / 'images'} --train_list {out / 'labels' / 'train_list.txt'}" in printed
    assert "Pleural_Thickening" in printed
    assert len(list((out / "images").iterdir())) == 12


def test_the_script_complains_in_one_line(tmp_path, capsys):
    assert script().main(["--out", str(tmp_path / "set"), "--images", "3"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: images: 3 found")
