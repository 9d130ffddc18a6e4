"""Embeddings: the features before the head, as slower ways compute them, and their files."""

import csv
import json

import numpy as np
import paddle
import pytest
from conftest import ROOT, run_script, write_png
from dense_data import CROP, RESIZE, save_network, shape_image
from PIL import Image
from small_backbone import small_densenet121

from chexnet.config import ENGINES, PredictConfig
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.inference import Predictor, engines, predict_files
from chexnet.inference.cam import mean_features
from chexnet.model import CheXNet, checkpoint, load

IMAGE = shape_image((150, 190))


@pytest.fixture(scope="module")
def small_ckpt(tmp_path_factory):
    with small_densenet121():
        return save_network(tmp_path_factory.mktemp("ckpt") / "model.pdparams")


@pytest.fixture
def ckpt(small_ckpt):
    with small_densenet121():
        yield small_ckpt


def predictors(ckpt, **options):
    """Return a predictor without and one with embeddings."""
    options = {"device": "cpu", "graph_cache": "off", **options}
    return Predictor(ckpt, **options), Predictor(ckpt, embeddings=True, **options)


def pooled(network: CheXNet, crops: np.ndarray) -> np.ndarray:
    """Compute the pooled features of crops in Paddle, one after the other: [K, 1, h, w] -> [K, channels]."""
    network.eval()
    with paddle.no_grad():
        return np.stack([network.features(paddle.to_tensor(crop[None])).mean([0, 2, 3]).numpy() for crop in crops])


def logits(network: CheXNet, embedding: np.ndarray) -> np.ndarray:
    head = network.backbone.classifier
    return embedding.astype(float) @ head.weight.numpy() + head.bias.numpy()


@pytest.mark.parametrize("engine", [name for name in ENGINES if not engines.why_unavailable(name)])
@pytest.mark.parametrize("crops", [1, 10])
def test_they_are_the_mean_of_the_pooled_features_and_change_no_number(ckpt, engine, crops):
    plain, with_embeddings = predictors(ckpt, engine=engine, crops=crops)
    expected, found = plain.predict(IMAGE), with_embeddings.predict(IMAGE)
    network = load(ckpt)
    preprocessing = Preprocessing(RESIZE, CROP)
    geometry = preprocessing.geometry(*IMAGE.shape, crops)
    features = pooled(network, geometry.extract(preprocessing.resize_image(IMAGE)))
    assert (found.embedding.shape, found.embedding.dtype) == ((24,), np.float32)
    assert np.abs(found.embedding - features.mean(axis=0)).max() <= 1e-5 * np.abs(features).max()
    assert expected.embedding is None
    assert np.allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    assert np.allclose(found.maps, expected.maps, rtol=0, atol=1e-4 * np.abs(expected.maps).max())
    assert found.maps.shape == expected.maps.shape


def test_the_head_applied_to_the_embedding_of_one_crop_gives_the_logits(ckpt):
    _, predictor = predictors(ckpt, crops=1, engine="paddle")
    prediction = predictor.predict(IMAGE)
    expected = np.log(prediction.probabilities.astype(float)) - np.log1p(-prediction.probabilities.astype(float))
    assert np.abs(logits(load(ckpt), prediction.embedding) - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_dense_embeddings_are_the_mean_over_the_windows(ckpt):
    _, predictor = predictors(ckpt, crops="dense", engine="paddle")
    network = load(ckpt)
    resized = Preprocessing(RESIZE, CROP).resize_image(IMAGE)
    windows = []
    with paddle.no_grad():
        for view in (resized, resized[:, ::-1]):
            features = network.features(paddle.to_tensor(np.ascontiguousarray(view)[None, None])).numpy()[0]
            cells = CROP // 32
            for row in range(features.shape[1] - cells + 1):
                for column in range(features.shape[2] - cells + 1):
                    windows.append(features[:, row : row + cells, column : column + cells].mean(axis=(1, 2)))
    assert len(windows) > 10
    found = predictor.predict(IMAGE).embedding
    assert np.abs(found - np.mean(windows, axis=0)).max() <= 1e-5 * np.abs(windows).max()


def test_a_window_of_the_whole_map_is_the_plain_mean():
    features = np.random.default_rng(0).random((2, 5, 4, 4), dtype=np.float32)
    assert np.allclose(mean_features(features), features.mean(axis=(0, 2, 3)))
    assert np.allclose(mean_features(features, 4), features.mean(axis=(0, 2, 3)))
    assert np.allclose(mean_features(features, 1), features.mean(axis=(0, 2, 3)))


@pytest.mark.parametrize("maps", [True, False])
def test_a_network_without_class_maps_gives_its_last_feature_map(tmp_path, maps):
    paddle.seed(1)
    path = tmp_path / "lenet.pdparams"
    checkpoint.save_weights(CheXNet(3, backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 40, "crop": 32, "classes": ["a", "b", "c"]})
    options = {"device": "cpu", "crops": 10, "maps": maps}
    plain, predictor = Predictor(path, **options), Predictor(path, embeddings=True, **options)
    expected, found = plain.predict(IMAGE), predictor.predict(IMAGE)
    preprocessing = Preprocessing(40, 32)
    crops = preprocessing.geometry(*IMAGE.shape, 10).extract(preprocessing.resize_image(IMAGE))
    assert np.allclose(found.embedding, pooled(load(path), crops).mean(axis=0), rtol=0, atol=1e-5)
    assert np.allclose(found.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    assert (found.maps is None) == (expected.maps is None) == (not maps)
    if maps:
        assert np.allclose(found.maps, expected.maps, rtol=0, atol=1e-5)


def test_pytorch_gives_the_same_features(tmp_path):
    torch = pytest.importorskip("torch")
    from torch_densenet import TorchCheXNet, randomize

    network = randomize(TorchCheXNet(), seed=0)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "model.pth.tar")
    arguments = ["--torch_ckpt", str(tmp_path / "model.pth.tar"), "--output", str(tmp_path / "model.pdparams")]
    assert run_script("convert_torch_weights.py", *arguments) == 0
    predictor = Predictor(tmp_path / "model.pdparams", embeddings=True, crops=1, device="cpu", images=1)
    crop = predictor.preprocessing.geometry(*IMAGE.shape, 1).extract(predictor.preprocessing.resize_image(IMAGE))[0, 0]
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    channels = np.stack([(crop / 255 - m) / s for m, s in zip(mean, std, strict=True)])[None]
    with torch.no_grad():
        images = torch.tensor(channels, dtype=torch.float32)
        expected = network.densenet121.features(images).relu().mean(dim=(2, 3)).numpy()[0]
    found = predictor.predict(IMAGE).embedding
    assert found.shape == (1024,)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_graph_cache_keeps_them_apart_from_plain_graphs(tmp_path):
    ckpt = save_network(tmp_path / "model.pdparams", "googlenet")
    options = {"device": "cpu", "crops": 1, "graph_cache": str(tmp_path / "graphs")}
    if engines.why_unavailable("openvino") and engines.why_unavailable("onnxruntime"):
        pytest.skip("no engine whose graphs are kept")
    plain, first, again = (Predictor(ckpt, embeddings=kept, **options).predict(IMAGE) for kept in (False, True, True))
    assert plain.embedding is None
    assert np.array_equal(first.embedding, again.embedding)
    assert np.array_equal(first.maps, again.maps)
    assert len(list((tmp_path / "graphs").glob("*.graph"))) == 2


@pytest.fixture
def folder(tmp_path):
    """Five images, one of them broken, with a name in two lines among them."""
    for index, name in enumerate(("a", "b", "d", "line\nbreak,é")):
        write_png(tmp_path / "images" / f"{name}.png", size=(60, 70), seed=index)
    (tmp_path / "images" / "c.png").write_bytes(b"no image")
    return tmp_path


def read_npy(path):
    with open(path.with_suffix(".csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(len(rows)))
    return [row["image"] for row in rows], np.load(path)


def read_parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(path)
    assert json.loads(table.schema.metadata[b"chexnet"])["ckpt_sha256"]
    return table["image"].to_pylist(), np.array(table["embedding"].to_pylist(), np.float32)


@pytest.mark.parametrize(("suffix", "read"), [(".npy", read_npy), (".parquet", read_parquet)])
def test_files_hold_the_readable_images_in_order(ckpt, folder, suffix, read, capsys, monkeypatch):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", exc_type=ImportError)
        monkeypatch.setattr("chexnet.inference.embedding_files.ROW_GROUP", 3)
    path = folder / f"features{suffix}"
    flags = ["--ckpt", ckpt, "--crops", 1, "--device", "cpu", "--engine", "paddle", "--quiet", "--embeddings", path]
    assert run_script("predict.py", *map(str, [folder / "images", *flags])) == 2
    assert "c.png" in capsys.readouterr().err
    names, features = read(path)
    images = sorted(image for image in (folder / "images").iterdir() if image.name != "c.png")
    assert names == [str(image) for image in images]
    assert features.dtype == np.float32
    _, predictor = predictors(ckpt, crops=1, engine="paddle")
    for image, row in zip(images, features, strict=True):
        assert np.allclose(row, predictor.predict(image).embedding, rtol=0, atol=1e-5 * np.abs(features).max())
    expected = {f"features{suffix}", "images"} | ({"features.csv"} if suffix == ".npy" else set())
    assert {file.name for file in folder.iterdir()} == expected


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_nothing_is_written_without_images_or_when_the_run_is_interrupted(ckpt, folder, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", exc_type=ImportError)
    config = PredictConfig(ckpt=str(ckpt), crops=1, device="cpu", embeddings=str(folder / f"x{suffix}"))
    with pytest.raises(InputError, match="no image could be predicted"):
        list(predict_files(config, [str(folder / "images" / "c.png")]))
    results = predict_files(config, [str(folder / "images")])
    next(results)
    results.close()
    assert [file.name for file in folder.iterdir()] == ["images"]


def test_thousands_of_rows(tmp_path):
    """The header of the .npy file has room for any number of rows."""
    from chexnet.inference import embedding_files

    class Row:
        name, embedding = "x", np.arange(3, dtype=np.float32)

    with embedding_files.open_embeddings(str(tmp_path / "x.npy"), {}) as file:
        for _ in range(12_345):
            file.add(Row())
    assert np.load(tmp_path / "x.npy", mmap_mode="r").shape == (12_345, 3)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--embeddings", "x.txt"], ".parquet"),
        (["--embeddings", "x"], ".npy"),
        (["--embeddings", "x.npy", "--output_csv", "x.csv"], "same file"),
        (["--embeddings", "folder/missing.NPY"], ".npy"),
    ],
)
def test_names_are_checked_first(ckpt, flags, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = run_script("predict.py", str(ROOT / "examples/images"), "--ckpt", str(ckpt), "--device", "cpu", *flags)
    assert code == 2
    assert word in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_index_that_is_an_input_is_not_replaced(ckpt, tmp_path, capsys):
    Image.fromarray(IMAGE).save(tmp_path / "scan.csv", "PNG")  # a name does not make a format
    flags = ["--ckpt", str(ckpt), "--device", "cpu", "--embeddings", str(tmp_path / "scan.npy")]
    assert run_script("predict.py", str(tmp_path / "scan.csv"), *flags) == 2
    assert "scan.csv" in capsys.readouterr().err
    with Image.open(tmp_path / "scan.csv") as image:
        assert image.size == IMAGE.shape[::-1]
