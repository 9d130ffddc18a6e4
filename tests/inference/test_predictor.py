"""The predictor as a library; tests/inference/test_predict.py tests the script."""

import tracemalloc
from dataclasses import replace

import numpy as np
import paddle
import pytest
from conftest import make_folder
from PIL import Image
from small_backbone import small_densenet121

from chexnet.config import InferenceConfig
from chexnet.data import ChestXrayDataSet
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.inference import Prediction, Predictor, cam, engines, overlays
from chexnet.inference.contact_sheets import MAX_ROWS, contact_sheet, finding_sheet
from chexnet.inference.engine_backends import Engine
from chexnet.inference.engines import EAGER_MAX_CROPS
from chexnet.inference.predictor import MAX_BATCH_IMAGES
from chexnet.inference.thresholds import OperatingPoint, Thresholds
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint, load
from chexnet.phantom import draw

SIZES = [(96, 96), (130, 90), (72, 101)]


@pytest.fixture(scope="module", autouse=True)
def _small_network():
    with small_densenet121():
        yield


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A random network with spread probabilities and a disclaimer."""
    paddle.seed(3)
    network = CheXNet()
    head = network.backbone.classifier
    head.weight.set_value(head.weight * 8)
    head.bias.set_value(paddle.linspace(-2, 2, 14))
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save_weights(network.state_dict(), path)
    checkpoint.write_metadata_file(path, {"resize": 72, "crop": 64, "classes": CLASS_NAMES, "notice": "random weights"})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Phantoms of several shapes."""
    root = tmp_path_factory.mktemp("phantoms")
    for index, (height, width) in enumerate(SIZES):
        image = Image.fromarray(draw([], 96, patient=index).image).resize((width, height))
        image.save(root / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def few(ckpt):
    return Predictor(ckpt, device="cpu", images=1, num_workers=2)


def paths(folder) -> list:
    return sorted(folder.iterdir())


@pytest.fixture
def quick(ckpt, monkeypatch):
    """A predictor whose engine computes nothing."""
    predictor = Predictor(ckpt, crops=1, device="cpu", num_workers=1)
    monkeypatch.setattr(engines.EngineSpec, "compile", lambda self, network, crop, maps: Constant(0.5))
    return predictor


class Constant(Engine):
    preferred_batch_size = 10

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, images):
        return np.full((len(images), 14, 2, 2), self.value, np.float32)


@pytest.mark.parametrize(("crops", "number"), [(10, 1), (1, 1), (10, None)])
def test_probabilities_are_means_over_the_crops_in_every_engine(ckpt, folder, crops, number):
    network, preprocessing = load(ckpt), Preprocessing(72, 64)
    extract = preprocessing.ten_crop if crops == 10 else lambda resized: preprocessing.center_crop(resized)[None]
    resized = [preprocessing.resize_image(Image.open(path)) for path in paths(folder)]
    expected = np.stack([network.predict(extract(image)).mean(axis=0) for image in resized])
    assert np.ptp(expected, axis=0).max() > 0.001
    predictor = Predictor(ckpt, crops=crops, device="cpu", images=number)
    found = np.stack([prediction.probabilities for prediction in predictor.predict_all(paths(folder))])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_an_array_and_its_file_give_the_same_prediction(few, folder, tmp_path):
    path = tmp_path / "small.png"
    Image.open(folder / "1.png").resize((50, 60)).save(path)
    from_file, from_array = few.predict(path), few.predict(np.asarray(Image.open(path)))
    np.testing.assert_array_equal(from_file.probabilities, from_array.probabilities)
    assert (from_file.name, from_array.name) == (str(path), "array")
    assert from_file.warnings == from_array.warnings != ()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((99, 99)), r"an array of float64 \[99, 99\], expected uint8 \[H, W\], gray"),
        (np.zeros((99, 99, 3), np.uint8), r"an array of uint8 \[99, 99, 3\], expected"),
        (np.zeros((9, 99), np.uint8), "an array of 99 x 9 pixels, expected at least 16 x 16"),
    ],
)
def test_an_array_of_another_type_or_shape_is_refused(few, array, message):
    with pytest.raises(InputError, match=message):
        few.predict(array)


def test_maps_have_the_size_of_the_image_and_the_logit_as_mean(few, folder):
    for path, (height, width) in zip(paths(folder), SIZES, strict=True):
        prediction = few.predict(path)
        logits = prediction.maps.mean(axis=(2, 3)) + prediction.bias
        np.testing.assert_allclose(prediction.probabilities, (1 / (1 + np.exp(-logits))).mean(axis=0), atol=1e-6)
        values = prediction.cam("Mass")
        assert values.shape == (height, width)
        bias = float(prediction.bias[CLASS_NAMES.index("Mass")])
        np.testing.assert_array_equal(prediction.heatmap("Mass"), cam.to_opacity(values, bias, prediction.cam_max))
        assert prediction.heatmap("Mass", (30, 20)).shape == (30, 20)


def test_a_map_of_another_size_is_the_same_map(few, folder):
    prediction = few.predict(folder / "1.png")
    whole = Image.fromarray(prediction.cam("Hernia", (260, 180)))
    smaller = np.asarray(whole.resize((90, 130), Image.Resampling.BOX))
    error = np.abs(smaller - prediction.cam("Hernia"))
    assert error.mean() < 0.05 * np.ptp(smaller)


def test_top_k_are_the_most_probable_findings(few, folder):
    prediction = few.predict(folder / "0.png")
    values = [prediction.probability(name) for name in prediction.top_k(14)]
    assert values == sorted(prediction.probabilities.tolist(), reverse=True)
    assert prediction.top_k(2) == prediction.top_k(14)[:2]


def spread(prediction: Prediction) -> Prediction:
    """Return the prediction with probabilities from 0.1 to 0.9 in random order."""
    values = np.linspace(0.1, 0.9, 14, dtype=np.float32)
    return replace(prediction, probabilities=np.random.default_rng(0).permutation(values))


def points(present) -> Thresholds:
    """Return thresholds at which exactly these findings of a `spread` prediction are present."""
    return Thresholds("by hand", {name: OperatingPoint(float(name not in present), 0.5, 0.5) for name in CLASS_NAMES})


def test_findings_are_ranked_by_decision_then_by_probability(few, folder):
    prediction = spread(few.predict(folder / "0.png"))
    order = prediction.top_k(14)
    assert prediction.ranked(None) == order
    for present in ([], order[-3:], order[3:9:2], order):
        assert prediction.present(points(present)) == present
        assert prediction.ranked(points(present)) == present + [name for name in order if name not in present]


@pytest.mark.parametrize(("crop", "warned"), [(64, True), (32, False)])
def test_an_image_smaller_than_the_input_of_the_network_gives_a_warning(tmp_path, crop, warned):
    path = tmp_path / "model.pdparams"
    network = CheXNet(14, "lenet")
    checkpoint.save(network.state_dict(), path)
    checkpoint.write_metadata_file(
        path, {"backbone": "lenet", "resize": crop + 8, "crop": crop, "classes": CLASS_NAMES}
    )
    pixels = np.asarray(Image.fromarray(draw([], 96, patient=0).image).resize((60, 60)))
    found = Predictor(path, crops=1, device="cpu", images=1, maps=False).predict(pixels)
    wanted = (f"only 60 x 60 pixels, expected at least {crop} per side",) if warned else ()
    assert found.warnings == wanted


def test_numbers_of_networks_for_other_images_are_not_called_meaningless(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for classes in (("Myopia", "Normal"), ("Fracture", "Edema")):
        path = tmp_path / f"{classes[0]}.pdparams"
        checkpoint.save(CheXNet(2, "lenet").state_dict(), path)
        checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 36, "crop": 32, "classes": classes})
        found = Predictor(path, crops=1, device="cpu", images=1, maps=False).predict(noise)
        assert found.warnings
        assert found.meaningful == ("Edema" not in classes)
        assert ("meaningless" in found.caption(classes[0])) == ("Edema" in classes)


def test_an_unreadable_image_yields_an_error_in_its_position(few, folder, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    given = InputError("somewhere: a folder without images")
    mixed = [folder / "0.png", tmp_path / "bad.png", given, folder / "1.png", tmp_path / "none.png"]
    found = list(few.predict_all(mixed))
    assert [type(result) for result in found] == [Prediction, InputError, InputError, Prediction, InputError]
    assert str(found[1]).startswith(f"{tmp_path / 'bad.png'}: cannot be decoded")
    assert found[2] is given
    assert [found[0].name, found[3].name] == [str(folder / "0.png"), str(folder / "1.png")]
    assert list(few.predict_all([given])) == [given]
    assert list(few.predict_all([])) == []


def test_no_engine_is_compiled_for_few_images(ckpt):
    lines = []
    few = Predictor(ckpt, device="cpu", images=EAGER_MAX_CROPS // 10)
    few.load(lines.append)
    assert lines[0] == f"=> {few.engine}"
    assert lines[1:] == ["=> 10 crops of 64 px from 72 px"]
    assert "not compiled" in few.engine
    assert "not compiled" in Predictor(ckpt, crops=1, device="cpu", images=EAGER_MAX_CROPS).engine
    for changes in ({"images": EAGER_MAX_CROPS // 10 + 1}, {"images": None}, {"images": 1, "engine": "paddle"}):
        assert "not compiled" not in Predictor(ckpt, device="cpu", **changes).engine
    with pytest.raises(InputError, match="float16"):  # also checked for few images
        Predictor(ckpt, device="cpu", images=1, engine="paddle", precision="float16")


def test_options_replace_fields_of_the_configuration(ckpt):
    config = InferenceConfig(ckpt=str(ckpt), crops=1, device="cpu")
    assert Predictor(config).config == Predictor(ckpt, crops=1, device="cpu").config == config
    assert Predictor(config, crops=10).crops == 10
    with pytest.raises(TypeError, match="crop"):
        Predictor(ckpt, crop=1)


def test_crops_give_the_probabilities_of_the_network_with_and_without_maps(few):
    crops = np.random.default_rng(0).integers(0, 256, (7, 1, 64, 64), dtype=np.uint8)
    probabilities, maps = few.predict_cam(crops)
    expected = few.network.predict(crops)
    np.testing.assert_array_equal(few.predict_crops(crops), expected)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(maps, few.network.predict_cam(crops))


@pytest.mark.parametrize(("batch_size", "batches"), [(2, [20, 20, 10]), (1, [10] * 5), (99, [50])])
def test_a_data_set_is_predicted_in_batches_of_whole_images(ckpt, tmp_path, monkeypatch, batch_size, batches):
    """Batches suit the engine. Means over the crops are float64 and keep differences below float32 resolution."""
    sizes = []

    def saturated(crops):
        return (1 - 1e-6 * crops.mean(axis=(-3, -2, -1)) / 255).astype(np.float32)

    class Saturated(Engine):
        preferred_batch_size = 59

        def predict(self, images):
            sizes.append(len(images))
            return np.repeat(saturated(images)[:, None], 14, axis=1)

    monkeypatch.setattr(engines.EngineSpec, "compile", lambda self, network, crop, maps: Saturated())
    dataset = ChestXrayDataSet(*make_folder(tmp_path, 5), "ten", Preprocessing(72, 64))
    done = []
    predictor = Predictor(ckpt, device="cpu", num_workers=1)
    found = predictor.predict_dataset(dataset, batch_size, lambda *counts: done.append(counts))
    assert sizes == batches
    assert done[-1] == (5, 5)
    expected = [saturated(dataset[index][0]).astype(np.float64).mean() for index in range(5)]
    np.testing.assert_array_equal(found, np.repeat(np.array(expected)[:, None], 14, axis=1))
    assert len(set(expected)) > len({np.float32(value) for value in expected})


def test_only_a_few_images_are_decoded_ahead(quick, folder):
    taken = 0

    def names():
        nonlocal taken
        for _ in range(60):
            taken += 1
            yield folder / "0.png"

    results = quick.predict_all(names())
    for done, _ in enumerate(results, start=1):
        assert taken <= done + 2 * MAX_BATCH_IMAGES + 2
        if done == 25:
            results.close()
    assert taken < 50


def test_memory_does_not_grow_with_the_number_of_images(quick, folder):
    peaks = []
    for count in (20, 100):
        tracemalloc.start()
        for _ in quick.predict_all([folder / "0.png"] * count):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_weights_that_give_nan_are_refused(quick, folder, monkeypatch):
    monkeypatch.setattr(Constant, "predict", lambda self, images: np.full((len(images), 14, 2, 2), np.nan))
    with pytest.raises(InputError, match=r"model\.pdparams: class maps are not finite"):
        quick.predict(folder / "0.png")


def test_a_sheet_has_a_row_per_image_and_a_column_per_finding(few, folder):
    predictions = [few.predict(path) for path in paths(folder)]
    sheet = np.asarray(contact_sheet(predictions, ["Mass", "Hernia"], tile=96))
    alone = np.asarray(Image.open(folder / "0.png").convert("RGB"))
    np.testing.assert_array_equal(sheet[12 + 22 :][:96, 12:][:, :96], alone)
    for column, finding in ((1, "Mass"), (2, "Hernia")):
        tile = sheet[12 + 22 :][:96, 12 + 108 * column :][:, :96]
        expected = overlays.overlay(predictions[0].gray, predictions[0].heatmap(finding, (96, 96)))
        np.testing.assert_array_equal(tile, expected)
    smaller = contact_sheet(predictions[:1], ["Mass"], tile=96)
    assert smaller.height < sheet.shape[0]
    assert smaller.width == sheet.shape[1] - 108
    own = contact_sheet(predictions[:1], top=2, tile=96)
    assert own.size == contact_sheet(predictions[:1], predictions[0].top_k(2), tile=96).size == (own.width, own.height)
    assert own.tobytes() == contact_sheet(predictions[:1], predictions[0].top_k(2), tile=96).tobytes()


def test_a_sheet_of_one_image_has_all_findings_and_frames_the_present_ones(few, folder):
    prediction = spread(few.predict(folder / "0.png"))
    present = ["Effusion", "Hernia"]
    plain = np.asarray(finding_sheet(prediction, tile=96, disclaimer="n"))
    framed = np.asarray(finding_sheet(prediction, points(present), tile=96, disclaimer="n"))
    head = framed.shape[0] - plain.shape[0]  # a line with the number of findings
    assert head > 0
    np.testing.assert_array_equal(plain[12 + 22 :][:96, 12:][:, :96], np.asarray(prediction.gray.convert("RGB")))
    for position, finding in enumerate(CLASS_NAMES, start=1):
        top, left = 12 + 22 + position // 5 * 130, 12 + position % 5 * 108
        expected = overlays.overlay(prediction.gray, prediction.heatmap(finding, (96, 96)))
        for sheet, shift in ((plain, 0), (framed, head)):
            np.testing.assert_array_equal(sheet[top + shift :][:96, left:][:, :96], expected, finding)
            frame = sheet[top + shift + 48, left - 2], sheet[top + shift - 2, left + 48]
            marked = all(tuple(pixel) == overlays.COLOR for pixel in frame)
            assert marked == (sheet is framed and finding in present), finding


@pytest.mark.parametrize("count", [1, 2, 15, 40])
def test_a_sheet_has_room_for_any_number_of_findings(few, folder, count):
    prediction = few.predict(folder / "0.png")
    names = tuple(f"finding {number}" for number in range(count))
    indices = [number % 14 for number in range(count)]
    prediction = replace(
        prediction,
        classes=names,
        probabilities=prediction.probabilities[indices],
        maps=prediction.maps[:, indices],
        bias=prediction.bias[indices],
    )
    sheet = finding_sheet(prediction, tile=32)
    assert (sheet.width - overlays.SCALE_WIDTH) // 44 * (sheet.height // 66) > count


def test_a_sheet_of_another_image_marks_every_map_as_meaningless(few):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    prediction = few.predict(noise)
    assert not prediction.meaningful
    sheet = np.asarray(finding_sheet(prediction, points(CLASS_NAMES), tile=96))
    row = np.asarray(contact_sheet([prediction], ["Mass"], tile=96))
    expected = overlays.overlay(prediction.gray, prediction.heatmap("Mass", (96, 96)))
    tile = row[12 + 22 :][:96, 12 + 108 :][:, :96]
    np.testing.assert_array_equal(tile[22:], np.asarray(expected)[22:])
    assert tuple(tile[1, 90]) == overlays.BACKGROUND
    assert (tile[:22] == overlays.COLOR).all(axis=2).any()
    frame = sheet[:, 12 + 108 - 2]  # position of the frame of the first map
    assert not (frame == overlays.COLOR).all(axis=1).any()


def test_a_sheet_without_images_or_with_too_many_is_refused(few, folder):
    prediction = few.predict(folder / "0.png")
    with pytest.raises(InputError, match=f"more than {MAX_ROWS} images"):
        contact_sheet([prediction] * (MAX_ROWS + 1), ["Mass"], tile=20)
    with pytest.raises(InputError, match="at least one"):
        contact_sheet([])
