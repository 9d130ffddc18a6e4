"""A checkpoint, ready to be asked about images."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import paddle
from PIL import Image

from chexnet import cam, device, engine, guards, images, model
from chexnet.backbones import FeatureGrid
from chexnet.config import CPUS, DEFAULT_WORKERS
from chexnet.engine import Viewer
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.threads import ahead
from chexnet.thresholds import Thresholds
from chexnet.transforms import Geometry

FEW_CROPS = 40
"""So many go through the network as it is, in Paddle, before compiling it for a faster engine is done."""

MEANINGLESS = "meaningless"
"""Stands beside each number of an image that the network does not know."""

IMAGES_A_PASS = 8
"""Images that go through the network together, at most, whatever the engine would like: each is kept as it was."""


_CHEST = frozenset(CLASS_NAMES)
"""A network that gives any of these is one of chest radiographs."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image.

    Attributes:
        name: of the image file as it was given; `array` for an array.
        gray: the image, mode L, in its own pixels.
        warnings: see `chexnet.guards`.
        classes: names of the C findings.
        probabilities: float32 [C] in 0..1, averaged over the crops.
        maps: float32 [K, C, h, w], the class maps of the crops, see `CheXNet.class_maps`, or what Grad-CAM gives where
            the backbone has none; None if nobody wanted that.
        bias: float32 [C], see `CheXNet.bias`; 0 with Grad-CAM, whose maps do not add up to the logit.
        grid: where the places of the maps lie in the crops.
        geometry: where the crops lie in the image.
        limit: logit units of a map that are shown at full strength, see `chexnet.cam.display_limit`.
    """

    name: str
    gray: Image.Image
    warnings: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    maps: np.ndarray | None
    bias: np.ndarray
    grid: FeatureGrid
    geometry: Geometry
    limit: float

    def top(self, count: int) -> list[str]:
        """The most probable findings, the first one first."""
        return [self.classes[index] for index in np.argsort(-self.probabilities, kind="stable")[:count]]

    def present(self, thresholds: Thresholds) -> list[str]:
        """Return the findings that reach their threshold, the most probable one first."""
        names = self.top(len(self.classes))
        return [name for name in names if thresholds.points[name].decides(self.probability(name))]

    def ranked(self, thresholds: Thresholds | None) -> list[str]:
        """Return all findings, those that are present first, and of these and of the others the most probable first."""
        first = self.present(thresholds) if thresholds else []
        return first + [name for name in self.top(len(self.classes)) if name not in first]

    def probability(self, finding: str) -> float:
        """Of one finding, 0..1."""
        return float(self.probabilities[self.classes.index(finding)])

    @property
    def meaningful(self) -> bool:
        """Whether the numbers mean anything, as far as `warnings` know; see `chexnet.guards.is_meaningful`."""
        return guards.is_meaningful(self.warnings)

    def caption(self, finding: str) -> str:
        """Return a finding with its probability, for above a picture; one that means nothing is marked."""
        mark = "" if self.meaningful else f" ({MEANINGLESS})"
        return f"{finding} {self.probability(finding):.3f}{mark}"

    def class_map(self, finding: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Where one finding is: float32 [H, W] in logit units, see `chexnet.cam.to_image`.

        Args:
            finding: one of the classes.
            size: height and width; None for the image's own pixels.

        Raises:
            InputError: there are no maps.
        """
        if self.maps is None:
            raise InputError(f"{self.name}: no maps were made, expected a Predictor with maps=True")
        geometry = self.geometry if size is None else replace(self.geometry, original=size)
        return cam.to_image(self.maps[:, self.classes.index(finding)], geometry, self.grid)

    def shown_map(self, finding: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """The same as 0..1 on the scale that all findings and images share; see `chexnet.cam.for_display`."""
        bias = float(self.bias[self.classes.index(finding)])
        return cam.for_display(self.class_map(finding, size), bias, self.limit)


@dataclass(frozen=True)
class _Prepared:
    """An image on its way into the network."""

    name: str
    gray: Image.Image
    warnings: tuple[str, ...]
    geometry: Geometry
    crops: np.ndarray


class Predictor:
    """A checkpoint, ready to be asked about images.

        predictor = Predictor("save/best_model.pdparams")
        predictor.predict("image.png").probability("Effusion")

    Args:
        ckpt: weight file; the JSON beside it, if any, says how its images are resized and cropped. Or what
            `chexnet.model.open_checkpoint` has made of it already.
        crops: 10, averaged, or 1, the centre; None takes what the JSON beside the weights says, else 10.
        engine: `auto`, `paddle`, `openvino` or `onnxruntime`, see `chexnet.engine`. `auto` does not compile for few
            images, on a CPU: that takes longer than they do.
        precision: `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu` or `gpu`.
        images: how many will come, None if that is not known; for `auto` only.
        report: takes lines for a person, the first of which says what computes.
        maps: whether maps are wanted where they take a pass of their own, see `chexnet.engine.Viewer`.
        backbone: see `chexnet.model.describe`; of no use where `ckpt` is opened already.
        classes: likewise.
        sample_bits: likewise.

    Attributes:
        ckpt: the weight file.
        ckpt_sha256: of its bytes, those that the weights were read from.
        engine: what computes: engine, precision, device and threads, in words.
        notice: what the checkpoint's own JSON wants everybody to know who uses it; may be empty.
        classes: names of the findings.
        preprocessing: how images are resized and cropped.
        limit: see `Prediction`.

    Raises:
        InputError: the checkpoint, the device or the engine cannot be used.
    """

    def __init__(
        self,
        ckpt: str | os.PathLike[str] | model.Checkpoint,
        crops: int | None = None,
        engine: str = "auto",
        precision: str = "float32",
        device: str = "auto",
        images: int | None = None,
        report: Callable[[str], None] | None = None,
        maps: bool = True,
        backbone: str | None = None,
        classes: Sequence[str] | None = None,
        sample_bits: int | None = None,
    ) -> None:
        tell = report or (lambda line: None)
        opened = ckpt
        if not isinstance(opened, model.Checkpoint):
            opened = model.open_checkpoint(opened, backbone, classes, sample_bits)
        self.ckpt, self.ckpt_sha256, self.notice = opened.path, opened.sha256, opened.notice
        self.crops = crops = crops or opened.description.crops
        few = images is not None and images * crops <= FEW_CROPS
        choice = _choose(engine, precision, device, few)
        self.engine = choice.description
        tell(f"=> {self.engine}")
        self.classes, self.preprocessing = opened.description.classes, opened.description.preprocessing
        tell(f"=> {crops} crop{'s' * (crops > 1)} of {self.preprocessing.words}")
        self.limit = cam.display_limit(opened.metadata, opened.metadata_source)
        network = opened.network()
        self._grid = network.grid
        self._viewer = Viewer(choice, network, self.preprocessing.crop, maps)
        self._images_a_pass = min(IMAGES_A_PASS, max(1, self._viewer.crops_a_pass // crops))

    def predict(self, image: str | os.PathLike[str] | np.ndarray) -> Prediction:
        """What the network says of an image file, or of gray pixels uint8 [H, W], 0 black to 255 white.

        Raises:
            InputError: the file cannot be read, see `chexnet.images.read`; or the array is another one.
        """
        prepared = self._from_array(image) if isinstance(image, np.ndarray) else self._from_file(Path(image))
        return self._predictions([prepared])[0]

    def predict_all(
        self, paths: Iterable[Path | InputError], workers: int = DEFAULT_WORKERS
    ) -> Generator[Prediction | InputError, None, None]:
        """What `predict` gives for each file, in order; an error, too, where that is one, or comes along.

        Memory does not grow with the number of files.

        Args:
            paths: taken from as results are.
            workers: threads that decode ahead, 0 for none.
        """

        def prepare(path: Path | InputError) -> _Prepared | InputError:
            try:
                return path if isinstance(path, InputError) else self._from_file(path)
            except InputError as error:
                return error

        with closing(ahead(prepare, paths, workers, depth=IMAGES_A_PASS)) as all_prepared:
            while group := list(islice(all_prepared, self._images_a_pass)):
                predictions = iter(self._predictions([one for one in group if isinstance(one, _Prepared)]))
                for one in group:
                    yield one if isinstance(one, InputError) else next(predictions)

    def _from_file(self, path: Path) -> _Prepared:
        return self._prepared(images.open_image(path, self.preprocessing.sample_bits), str(path))

    def _from_array(self, pixels: np.ndarray) -> _Prepared:
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise InputError(f"an array of {pixels.dtype} {list(pixels.shape)}, expected uint8 [H, W], gray")
        if fault := images.size_fault(pixels.shape[1], pixels.shape[0]):
            raise InputError(f"an array of {fault}")
        return self._prepared(Image.fromarray(pixels), "array")

    def _prepared(self, image: Image.Image, name: str) -> _Prepared:
        gray = images.to_gray(image)
        geometry = self.preprocessing.geometry(gray.height, gray.width, self.crops)
        warnings = guards.check(image, self.preprocessing.crop, chest=not _CHEST.isdisjoint(self.classes))
        return _Prepared(name, gray, warnings, geometry, geometry.cut(self.preprocessing.resized(gray)))

    def _predictions(self, group: list[_Prepared]) -> list[Prediction]:
        if not group:
            return []
        of_crops, maps = self._viewer.look(np.concatenate([one.crops for one in group]))
        probabilities = of_crops.reshape(len(group), self.crops, -1).mean(axis=1)
        each = [None] * len(group) if maps is None else maps.reshape(len(group), self.crops, *maps.shape[1:])
        if not np.isfinite(probabilities).all():
            raise InputError(f"{self.ckpt}: gives probabilities that are not finite, expected numbers in 0..1")
        return [
            Prediction(
                name=one.name,
                gray=one.gray,
                warnings=one.warnings,
                classes=self.classes,
                probabilities=row,
                maps=own,
                bias=self._viewer.bias,
                grid=self._grid,
                geometry=one.geometry,
                limit=self.limit,
            )
            for one, row, own in zip(group, probabilities, each, strict=True)
        ]


class _AsItIs(engine.Engine):
    """The network in Paddle, not compiled for anything."""

    crops_a_pass = 10

    def __init__(self, network: model.CheXNet, maps: bool = True) -> None:
        self.network_predict = network.predict_maps if maps else network.predict

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.network_predict(images)


@dataclass(frozen=True)
class _NotCompiled(engine.Choice):
    def compile(self, network: model.CheXNet, crop: int, maps: bool = False) -> engine.Engine:
        return _AsItIs(network, maps)


def _choose(name: str, precision: str, where: str, few: bool) -> engine.Choice:
    device.select(where)
    if not few or (name, precision) != ("auto", "float32") or device.is_gpu():
        return engine.choose(name, precision)
    words = f"paddle {paddle.__version__}, not compiled for so few images, float32, {device.name()}"
    return _NotCompiled("paddle", "float32", CPUS, words)
