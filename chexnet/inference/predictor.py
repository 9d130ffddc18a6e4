"""Predict findings in radiographs with one checkpoint."""

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from chexnet import device, gpu_memory, model
from chexnet._types import LogFn, ProgressFn
from chexnet.config import InferenceConfig
from chexnet.config.crops import DENSE, format_crops
from chexnet.data import ListDataSet, images
from chexnet.data.lists import class_names
from chexnet.errors import InputError
from chexnet.inference import cam, engines, graph_cache, image_checks
from chexnet.inference.engine_backends import Engine
from chexnet.inference.graph_entries import NetworkInfo
from chexnet.inference.image_batches import ImageOutput, predict_images, read_batches
from chexnet.inference.prediction import Prediction, PreparedImage
from chexnet.inference.thresholds import Thresholds, find_thresholds
from chexnet.labels import CLASS_NAMES
from chexnet.prefetch import prefetch_map

MAX_BATCH_IMAGES = 8
"""Maximum number of images per batch in `Predictor.predict_all`, which keeps each image at full size."""

_CHEST = frozenset(CLASS_NAMES)
"""A network with any of these classes is treated as one for chest radiographs."""


class Predictor:
    """A checkpoint with its preprocessing and an engine: images or crops -> probabilities and class maps.

        predictor = Predictor("save/best_model.pdparams")
        predictor.predict("image.png").probability("Effusion")

    The constructor reads and checks the file. The network is built and the engine compiled on first use, so that
    several checkpoints can be checked before the first one computes. `load` and `compile` do this earlier.

    Args:
        config: how to load and run the checkpoint, or the path of the weight file.
        images: expected number of images, None if unknown. On a CPU, `engine="auto"` does not compile for few images.
        maps: True runs Grad-CAM, a second pass, for a backbone without class maps.
        embeddings: True also returns the features of each image, see `Prediction`.
        log: receives a line about each compiled graph that is written to the graph cache (docs/predict.md), and about
            one that cannot be used.
        options: fields of `InferenceConfig` that replace those of `config`, such as `crops=1` or `device="cpu"`.

    Attributes:
        config: how the checkpoint is loaded and run.
        ckpt: the weight file.
        ckpt_sha256: SHA-256 of the bytes that were loaded.
        metadata: the metadata stored with the checkpoint.
        disclaimer: notice of the checkpoint, shown next to its results; may be empty.
        classes: names of the findings.
        preprocessing: how images are resized and cropped.
        crops: crops per image, one of `chexnet.config.crops.CROPS`.
        engine: engine, precision, device and threads, as text.
        engine_spec: engine that `compile` uses.
        cam_max: see `Prediction`.

    Raises:
        InputError: the checkpoint, the device or the engine cannot be used. `load`, and the methods that call it, also
            raise it if the weights do not fit the network.
    """

    def __init__(
        self,
        config: InferenceConfig | str | os.PathLike[str],
        *,
        images: int | None = None,
        maps: bool = True,
        embeddings: bool = False,
        log: LogFn | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(config, InferenceConfig):
            config = InferenceConfig(ckpt=os.fspath(config))
        self.config = config = replace(config, **options)
        cuda = engines.set_device(config.engine, config.device, config.tf32)
        engines.check_gpu_precision(config.precision)  # before the checkpoint is read
        names = class_names(config.classes_file) if config.classes_file else None
        checkpoint = model.open_checkpoint(config.ckpt, config.backbone, names, config.sample_bits)
        description = checkpoint.config
        self.ckpt, self.ckpt_sha256, self.metadata = checkpoint.path, checkpoint.sha256, checkpoint.metadata
        self.disclaimer = checkpoint.disclaimer
        self.cam_max = cam.heatmap_range(checkpoint.metadata, checkpoint.metadata_source)
        self.classes, self.preprocessing = description.classes, description.preprocessing
        if config.crops is not None:
            model.check_crops(config.crops, description.backbone, f"{config.ckpt}: --crops")
        self.crops = config.crops or description.crops
        # Computation per image, in crops: dense evaluation of a square image takes its pixels and those of its mirror.
        pixels = 2 * self.preprocessing.resize**2
        self._cost = -(-pixels // self.preprocessing.crop**2) if self.crops == DENSE else self.crops
        self._graphs: graph_cache.GraphCache | None = None
        if graph_cache.cache_folder(config.graph_cache):
            spec = engines.select_engine(config.engine, config.precision, None, cuda)
            self._graphs = graph_cache.open_cache(
                config.graph_cache, spec, checkpoint, self._input_size, log or (lambda line: None), embeddings
            )
        # A graph in the cache needs no compilation, so that it serves few images, too.
        few = None if self._graphs else images and images * self._cost
        self.engine_spec = engines.select_engine(config.engine, config.precision, few, cuda)
        self.engine = self.engine_spec.description
        self._grad_cam, self._embeddings = maps, embeddings
        self._checkpoint: model.Checkpoint | None = checkpoint
        self._info: NetworkInfo | None = None
        self._compiled: dict[bool, Engine] = {}
        self._window = 0  # side of a crop's class map in cells, for dense evaluation

    @property
    def _input_size(self) -> int | None:
        """Side of the network's input, or None for any height and width."""
        return None if self.crops == DENSE else self.preprocessing.crop

    @property
    def crops_description(self) -> str:
        """Number and size of the crops, as text."""
        return f"{format_crops(self.crops)} of {self.preprocessing.description}"

    @property
    def network(self) -> "model.CheXNet":
        """The network with the checkpoint's weights. Building it imports Paddle."""
        if self._checkpoint:
            self._network = self._checkpoint.build_network()
            self._checkpoint = None  # frees the arrays of the file
        return self._network

    @property
    def info(self) -> NetworkInfo:
        """Facts about the network, from the graph cache if it has them."""
        if self._info is None:
            self._info = (self._graphs and self._graphs.info()) or NetworkInfo.of(self.network)
        return self._info

    def load(self, log: LogFn | None = None) -> None:
        """Check that the weights fit the network; `log` receives two lines about the engine and the crops."""
        if log:
            log(f"=> {self.engine}")
            log(f"=> {self.crops_description}")
        _ = self.info  # a graph in the cache was made of the same weights

    def compile(self, maps: bool = True) -> Engine:
        """Return the compiled engine, for class maps if the backbone supports them, otherwise for probabilities.

        Dense evaluation always needs class maps, of images of any size.
        """
        return self._engine(self.crops == DENSE or (maps and self.info.supports_cam))

    def _engine(self, maps: bool) -> Engine:
        """Return the compiled engine for class maps, with the feature map for embeddings, or for probabilities."""
        if maps not in self._compiled:
            features = maps and self._embeddings
            if self._graphs:
                self._compiled[maps] = self._graphs.engine(maps, lambda: self._traced(features))
            else:
                self._compiled[maps] = self.engine_spec.compile(self._traced(features), self._input_size, maps)
        return self._compiled[maps]

    def _traced(self, features: bool) -> "model.CheXNet":
        """Return the network whose class maps the engine computes, see `chexnet.model.feature_maps`."""
        if not features:
            return self.network
        from chexnet.model.feature_maps import WithFeatureMap

        return cast("model.CheXNet", WithFeatureMap(self.network))

    def release(self) -> None:
        """Free the compiled engines; the next prediction compiles again."""
        self._compiled.clear()

    def find_thresholds(self, path: str | None, log: LogFn) -> tuple[str, Thresholds] | None:
        """Read the operating points of this checkpoint, see `thresholds.find_thresholds`."""
        return find_thresholds(path, self.config.ckpt, self.ckpt_sha256, self.classes, self.crops, log)

    def predict(self, image: str | os.PathLike[str] | np.ndarray) -> Prediction:
        """Predict an image file, or gray pixels uint8 [H, W], 0 black to 255 white.

        Raises:
            InputError: the file cannot be read, see `chexnet.data.images.read`; or the array has another type or shape.
        """
        prepared = self._from_array(image) if isinstance(image, np.ndarray) else self.prepare(Path(image))
        return self.predict_prepared([prepared])[0]

    def predict_all(self, paths: Iterable[Path | InputError]) -> Generator[Prediction | InputError, None, None]:
        """Predict image files in order; a file that cannot be read yields its error.

        Threads decode the next images meanwhile. Memory does not grow with the number of files.

        Args:
            paths: image files, taken lazily; an error among them is yielded as it is.
        """

        def prepare(path: Path | InputError) -> PreparedImage | InputError:
            try:
                return path if isinstance(path, InputError) else self.prepare(path)
            except InputError as error:
                return error

        with closing(
            prefetch_map(prepare, paths, self.config.num_workers, buffer_size=MAX_BATCH_IMAGES)
        ) as all_prepared:
            while batch := list(islice(all_prepared, self.batch_images)):
                predictions = iter(self.predict_prepared([item for item in batch if isinstance(item, PreparedImage)]))
                for item in batch:
                    yield item if isinstance(item, InputError) else next(predictions)

    @property
    def batch_images(self) -> int:
        """Number of images per batch that suits the engine, for `predict_prepared`."""
        return self._batch_size(MAX_BATCH_IMAGES, maps=True)

    def prepare(self, image: images.ImageSource) -> PreparedImage:
        """Read an image and cut its crops, the part of `predict` that several threads may do at once.

        Raises:
            InputError: see `chexnet.data.images.open_image`.
        """
        return self._prepared(images.open_image(image, self.preprocessing.sample_bits), str(image))

    def predict_prepared(self, batch: Sequence[PreparedImage]) -> list[Prediction]:
        """Predict images from `prepare` together; one thread at a time may do this.

        Raises:
            InputError: a number is not finite.
        """
        if not batch:
            return []
        results = self._predict_images([image.crops for image in batch], maps=True)
        return [self._prediction(image, *result) for image, result in zip(batch, results, strict=True)]

    def predict_dataset(self, dataset: ListDataSet, batch_size: int, progress: ProgressFn | None = None) -> np.ndarray:
        """Predict every image of a data set, in its order.

        Args:
            dataset: a data set with `crops` crops per image, or crop mode `dense`.
            batch_size: maximum number of images per batch.
            progress: called after every batch.

        Returns:
            float64 [N, C], averaged over the crops.
        """
        rows: list[np.ndarray] = []
        for batch in read_batches(dataset, self._batch_size(batch_size, maps=False), self.config.num_workers):
            rows.extend(probabilities for probabilities, _ in self._predict_images(batch, maps=False))
            if progress:
                progress(len(rows), len(dataset))
        return np.stack(rows)

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        """Predict crops: uint8 [N, 1, crop, crop] -> probabilities float32 [N, C].

        With dense evaluation, these are images uint8 [N, 1, H, W] of any size, and the means over their windows,
        float64 [N, C].

        Raises:
            InputError: a probability is not finite.
        """
        if self.crops == DENSE:
            return self.predict_cam(crops)[0]
        return self._finite(self.compile(maps=False).predict(crops), "probabilities")

    def predict_cam(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict crops with class maps: uint8 [N, 1, crop, crop] -> float32 [N, C], and float32 [N, C, h, w] or None.

        One pass of the engine gives class maps and probabilities. A backbone without class maps needs a second pass for
        Grad-CAM; with `maps=False` it returns None. Dense evaluation takes images and returns float64, see
        `predict_crops`.

        Raises:
            InputError: a number is not finite.
        """
        probabilities, cells = self._predict_cells(crops)
        return probabilities, self._split(cells)[0]

    def _predict_cells(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict as `predict_cam` does; with embeddings, the channels of the feature map follow the class maps."""
        if not self.info.supports_cam:
            cells = cam.grad_cam(self.network, crops) if self._grad_cam else None
            if self._embeddings:
                features = self._finite(self._engine(maps=True).predict(crops), "features")
                cells = features if cells is None else np.concatenate([cells, features], axis=1)
            return self.predict_crops(crops), cells
        engine = self.compile()
        cells = self._finite(engine.predict(crops), "class maps")
        maps = cells[:, : len(self.classes)]
        if self.crops == DENSE:
            self._window = self._window or cam.window_cells(engine.predict, self.preprocessing.crop)
            return cam.dense_probabilities(maps, self.info.bias, self._window), cells
        return cam.probabilities(maps, self.info.bias), cells

    def _split(self, cells: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Split the result of `_predict_cells` into class maps and feature map, either of which may be None."""
        if cells is None or not self._embeddings:
            return cells, None
        count = len(self.classes) if self.info.supports_cam or self._grad_cam else 0
        return (cells[:, :count].copy() if count else None), cells[:, count:]

    def _finite(self, values: np.ndarray, name: str) -> np.ndarray:
        if not np.isfinite(values).all():
            raise InputError(f"{self.config.ckpt}: {name} are not finite, expected numbers")
        return values

    def _batch_size(self, limit: int, maps: bool) -> int:
        """Return the number of images per batch that suits the engine, at most `limit`."""
        return min(limit, max(1, self.compile(maps).preferred_batch_size // self._cost))

    def _predict_images(self, batch: Sequence[np.ndarray], maps: bool) -> list[ImageOutput]:
        """Predict images by their crops, with or without class maps, see `image_batches.predict_images`."""
        predict = self._predict_cells if maps else lambda crops: (self.predict_crops(crops), None)
        side = self._input_size or gpu_memory.SIDE
        return predict_images(batch, predict, self.compile(maps).preferred_batch_size * side**2)

    def _from_array(self, pixels: np.ndarray) -> PreparedImage:
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise InputError(f"an array of {pixels.dtype} {list(pixels.shape)}, expected uint8 [H, W], gray")
        if fault := images.size_fault(pixels.shape[1], pixels.shape[0]):
            raise InputError(f"an array of {fault}")
        return self._prepared(Image.fromarray(pixels), "array")

    def _prepared(self, image: Image.Image, name: str) -> PreparedImage:
        gray = images.to_gray(image)
        geometry = self.preprocessing.geometry(gray.height, gray.width, self.crops)
        warnings = image_checks.check_image(image, self.preprocessing.crop, chest=not _CHEST.isdisjoint(self.classes))
        return PreparedImage(name, gray, warnings, geometry, geometry.extract(self.preprocessing.resize_image(gray)))

    def _prediction(self, image: PreparedImage, probabilities: np.ndarray, cells: np.ndarray | None) -> Prediction:
        maps, features = self._split(cells)
        return Prediction(
            name=image.name,
            gray=image.gray,
            warnings=image.warnings,
            classes=self.classes,
            probabilities=probabilities.astype(np.float32),
            maps=maps,
            bias=self.info.bias,
            grid=self.info.grid,
            geometry=image.geometry,
            cam_max=self.cam_max,
            embedding=None if features is None else cam.mean_features(features, self._window),
        )


def load_for_scoring(config: InferenceConfig, ckpts: Sequence[str], log: LogFn) -> list[Predictor]:
    """Load the checkpoints that an evaluation scores, one after the other.

    Args:
        config: configuration of the evaluation.
        ckpts: weight files, used in place of `config.ckpt`.
        log: receives the lines that eval.py prints.
    """
    predictors: list[Predictor] = []
    for ckpt in ckpts:
        predictor = Predictor(config, ckpt=ckpt, log=log)
        if not predictors:
            log(f"=> {predictor.engine}")
        log(f"=> {f'{ckpt}: ' * (len(ckpts) > 1)}{predictor.crops_description}")
        if predictor.disclaimer:
            log(f"=> {ckpt}: {predictor.disclaimer}")
        log("=> loading checkpoint")
        predictor.load()
        log("=> loaded checkpoint")
        predictors.append(predictor)
    device.expect_equal_shapes()
    return predictors
