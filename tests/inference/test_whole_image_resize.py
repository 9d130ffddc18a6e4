"""The resize of whole-image graphs: Pillow's pixels in every bit, in every engine."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chexnet.data.images import MAX_PIXELS, MAX_RATIO, MIN_SIDE, size_fault
from chexnet.data.transforms import Preprocessing

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from chexnet.inference.whole_image import cropping, resizing
from chexnet.inference.whole_image.operators import GraphBuilder
from chexnet.inference.whole_image.verification import Run, load_graph

RESIZES = (256, 72, resizing.MIN_RESIZE)
CROPS = (10, 1, "dense")


def runs(graph: GraphBuilder) -> list[Run]:
    return list(load_graph(graph.model("test", {}))[0].values())


@pytest.fixture(scope="module")
def resizers() -> dict[int, list[Run]]:
    def build(resize: int) -> list[Run]:
        graph = GraphBuilder()
        image = graph.input("image", np.uint8, ["height", "width"])
        size = resizing.image_size(image)
        resized = resizing.resize_image(image, size, resizing.resized_size(*size, resize))
        graph.output("resized", resized, ["rows", "columns"])
        graph.output("accepted", resizing.accepted(*size), [])
        return runs(graph)

    return {resize: build(resize) for resize in RESIZES}


def expect_pillows_pixels(resizers: dict[int, list[Run]], resize: int, image: np.ndarray) -> None:
    expected = Preprocessing(resize, 1).resize_image(image)
    accepted = size_fault(image.shape[1], image.shape[0]) is None
    for run in resizers[resize]:
        outputs = run(image)
        np.testing.assert_array_equal(outputs["resized"], expected, strict=True)
        assert bool(outputs["accepted"]) == accepted


def contents(shape: tuple[int, int], kind: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise: dict[str, Callable[[], np.ndarray]] = {
        "noise": lambda: rng.integers(0, 256, shape, np.uint8),
        "black and white": lambda: rng.integers(0, 2, shape, np.uint8) * np.uint8(255),
        "bright": lambda: rng.integers(250, 256, shape, np.uint8),
        "white": lambda: np.full(shape, 255, np.uint8),
        "smooth": lambda: np.add.outer(np.arange(shape[0]), np.arange(shape[1])).astype(np.uint8),
    }
    return noise[kind]()


@settings(max_examples=60)
@given(
    shorter=st.integers(MIN_SIDE, 400),
    ratio=st.floats(1, MAX_RATIO + 1),
    tall=st.booleans(),
    kind=st.sampled_from(["noise", "black and white", "bright", "white", "smooth"]),
    resize=st.sampled_from(RESIZES),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_shapes_and_contents(resizers, shorter, ratio, tall, kind, resize, seed):
    shape = (int(shorter * ratio), shorter) if tall else (shorter, int(shorter * ratio))
    expect_pillows_pixels(resizers, resize, contents(shape, kind, seed))


@pytest.mark.parametrize(
    "shape",
    [
        *(
            (256, 256),
            (512, 512),
            (1024, 1024),
            (257, 255),
            (256, 511),
            (2048, 1024),
            (2049, 1024),
            (16, 16),
            (16, 160),
        ),
        *((160, 16), (3000, 4000), (300, 299), (128, 128), (64, 640)),
    ],
    ids=str,
)
def test_chosen_shapes(resizers, shape):
    for kind in ("noise", "bright"):
        image = contents(shape, kind)
        for resize in RESIZES:
            expect_pillows_pixels(resizers, resize, image)


@pytest.mark.parametrize("kind", ["bright", "noise"])
@pytest.mark.parametrize("shape", [(7071, 7071), (2236, 22360)], ids=str)
def test_the_largest_images(resizers, shape, kind):
    assert MAX_PIXELS * 0.999 < shape[0] * shape[1] <= MAX_PIXELS
    expect_pillows_pixels(resizers, resizing.MIN_RESIZE, contents(shape, kind))


@pytest.mark.parametrize("shape", [(15, 15), (16, 161), (161, 16)])
def test_images_that_the_library_refuses_are_told_apart(resizers, shape):
    expect_pillows_pixels(resizers, 72, contents(shape, "noise"))


def test_color_becomes_gray_as_in_pillow():
    graph = GraphBuilder()
    color = graph.input("image", np.uint8, ["height", "width", 3])
    graph.output("gray", resizing.to_gray(color), ["height", "width"])
    steps = np.arange(0, 256, 3, dtype=np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 86, 3)
    noise = np.random.default_rng(0).integers(0, 256, (301, 517, 3), np.uint8)
    for run in runs(graph):
        for image in (colors, noise):
            expected = np.asarray(Image.fromarray(image).convert("L"))
            np.testing.assert_array_equal(run(image)["gray"], expected, strict=True)


@pytest.mark.parametrize("crops", CROPS, ids=str)
def test_crops_lie_where_the_library_has_them(crops):
    """The centers of odd and even margins are rounded the same way."""
    preprocessing = Preprocessing(40, 33)
    graph = GraphBuilder()
    image = graph.input("image", np.uint8, ["height", "width"])
    size = resizing.image_size(image)
    positions = cropping.crop_positions(graph, size, crops, preprocessing.crop)
    graph.output("crops", cropping.extract_crops(image, size[1], positions), ["crops", 1, "rows", "columns"])
    engines = runs(graph)
    for shape in ((40, 40), (40, 41), (40, 42), (40, 43), (40, 44), (45, 40), (46, 40), (101, 40)):
        image = contents(shape, "noise")
        expected = preprocessing.geometry(*shape, crops).extract(image)
        for run in engines:
            np.testing.assert_array_equal(run(image)["crops"], expected, strict=True)
