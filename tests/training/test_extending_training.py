"""Data sets, losses, augmentations and callbacks from outside the package: the examples of docs/extending.md."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import paddle
import pytest
from conftest import ROOT, make_folder
from faults.nursery import assert_same_outcome
from paddle.callbacks import Callback

from chexnet.data import BatchLoader, ChestXrayDataSet, augmentation_params
from chexnet.data.audit import KEY, training_overlap
from chexnet.data.cache import build_cache
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint import read_weights
from chexnet.training import BinaryCrossEntropy, checkpoint_callback, resume, run_state, train

MIDDLE = "after_epoch_01_step_000004.state"


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    """Do not draw curves, which would take most of the time."""
    monkeypatch.setattr(checkpoint_callback, "draw_curves", lambda rows, path: None)


@pytest.fixture
def outside(request, tmp_path) -> ModuleType:
    """Module with the code under a heading of docs/extending.md."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    (text,) = (text for text in sections if text.startswith(request.param))
    path = tmp_path / "outside.py"
    path.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("outside", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_under(heading: str):
    """Let the `outside` fixture load the code under this heading."""
    return pytest.mark.parametrize("outside", [heading], indirect=True)


def same_weights(run: Path, other: Path) -> bool:
    """Compare the final weights of two runs bit for bit; their metadata may differ."""
    ours, theirs = (read_weights(folder / "final.pdparams") for folder in (run, other))
    return ours.keys() == theirs.keys() and all(
        (value.dtype, value.shape, value.tobytes()) == (theirs[name].dtype, theirs[name].shape, theirs[name].tobytes())
        for name, value in ours.items()
    )


class Wrapped:
    """A data set with only the interface that training requires: length, items and labels, and the epoch."""

    def __init__(self, dataset) -> None:
        self.dataset = dataset
        self.labels = dataset.labels
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index):
        self.dataset.epoch = self.epoch
        return self.dataset[index]


@code_under("A data set")
def test_a_data_set(outside, small_run, tmp_path):
    sets = {"train_set": outside.Stripes(12, 32), "val_set": outside.Stripes(6, 32)}
    config = small_run(save_every_steps=4, keep_states=9, data_dir="none", train_list="none", val_list="none")
    result = train(config, **sets)
    folder = Path(config.save_dir)
    assert len(result.history) == 2
    assert training_overlap(checkpoint.read_metadata_file(result.best_model), ["stripes3", "stripes99"]).images == 1
    resume(folder / MIDDLE, {"save_dir": str(tmp_path / "resumed")}, **sets)
    assert_same_outcome(tmp_path / "resumed", folder)

    with pytest.raises(InputError, match=rf"{MIDDLE}: this run began with train_set Stripes \(now not set\)"):
        resume(folder / MIDDLE, {"save_dir": str(tmp_path / "no")}, val_set=sets["val_set"])
    with pytest.raises(InputError, match="val_set changed since"):
        resume(folder / MIDDLE, {"save_dir": str(tmp_path / "no")}, **{**sets, "val_set": outside.Stripes(7, 32)})


def test_a_data_set_with_the_images_of_a_list_trains_the_same_weights(small_run, tmp_path):
    config = small_run()
    train(config)
    arguments = (config.data_dir, config.train_list, "train", Preprocessing(40, 32), config.seed)
    for given, has_names in ((Wrapped(ChestXrayDataSet(*arguments)), False), (ChestXrayDataSet(*arguments), True)):
        again = tmp_path / f"again_{has_names}"
        result = train(small_run(save_dir=str(again), num_workers=2), train_set=given)
        assert same_weights(again, Path(config.save_dir))
        metadata = checkpoint.read_metadata_file(result.best_model)
        assert metadata["train_list"] == "train_set"
        assert metadata[KEY]["complete"] is has_names
    with pytest.raises(InputError, match=r"\.state: .*train_set .*Wrapped"):
        resume(Path(config.save_dir), {}, train_set=Wrapped(ChestXrayDataSet(*arguments)))


def test_normalized_float_images_are_accepted(small_run):
    class Floats:
        labels = np.tile(np.arange(6)[:, None] % 2, (1, 14))

        def __len__(self):
            return 6

        def __getitem__(self, index):
            return np.full((3, 32, 32), index % 2, np.float32), self.labels[index]

    config = small_run(epoch=1, num_workers=2)
    assert len(train(config, train_set=Floats(), val_set=Floats()).history) == 1


@code_under("A data set")
@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("labels", np.zeros((12, 13)), r"labels of shape \[12, 13\], expected .*\[images, 14\]"),
        ("labels", np.zeros((0, 14)), "has 0 images"),
        ("labels", np.full((12, 14), 2), "labels other than 0 and 1"),
        ("names", ["a"], "12 images and 1 names"),
        ("crop", 30, r"image stripes0 is uint8 \[1, 30, 30\], expected uint8 \[1, 32, 32\]"),
    ],
)
def test_an_invalid_data_set_is_refused_before_anything_is_written(outside, small_run, attribute, value, message):
    config = small_run()
    images = outside.Stripes(12, 32)
    setattr(images, attribute, value)
    with pytest.raises(InputError, match=f"^train_set: .*{message}"):
        train(config, train_set=images)
    assert not Path(config.save_dir).exists()


@code_under("A data set")
def test_a_sample_that_contradicts_the_labels_is_refused(outside, small_run, monkeypatch):
    config = small_run()
    images = outside.Stripes(12, 32)
    sample = outside.Stripes.__getitem__
    monkeypatch.setattr(
        outside.Stripes,
        "__getitem__",
        lambda self, index: (sample(self, index)[0], self.labels[(index > 6) + index - 1]),
    )
    with pytest.raises(InputError, match=r"train_set: .*stripes\d+.* labels"):
        train(config, train_set=images)


@code_under("A loss")
def test_a_loss(outside, small_run, tmp_path):
    config = small_run(save_every_steps=4, keep_states=9)
    result = train(config, loss=outside.focal_loss)
    folder = Path(config.save_dir)
    resume(folder / MIDDLE, {"save_dir": str(tmp_path / "resumed")}, loss=outside.focal_loss)
    assert_same_outcome(tmp_path / "resumed", folder)
    usual = train(small_run(save_dir=str(tmp_path / "usual")))
    assert result.history[0]["val_loss"] < 0.5 * usual.history[0]["val_loss"]  # its factor reduces each term
    for other in (None, paddle.nn.BCEWithLogitsLoss()):
        with pytest.raises(InputError, match="this run began with loss focal_loss"):
            resume(folder / MIDDLE, {"save_dir": str(tmp_path / "no")}, loss=other)


def test_a_loss_receives_logits(small_run, tmp_path):
    """The default loss, passed explicitly, trains the same weights; Paddle's loss on logits nearly the same."""
    config = small_run()
    usual = train(config)
    train(small_run(save_dir=str(tmp_path / "again")), loss=BinaryCrossEntropy())
    assert same_weights(tmp_path / "again", Path(config.save_dir))
    paddles = train(small_run(save_dir=str(tmp_path / "paddle")), loss=paddle.nn.BCEWithLogitsLoss())
    for row, expected in zip(paddles.history, usual.history, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)


@pytest.mark.parametrize("value", [lambda logits, labels: logits - labels, lambda logits, labels: 0.5])
def test_a_loss_that_does_not_return_one_number_is_refused(small_run, value):
    with pytest.raises(InputError, match=r"^loss: returned .*expected a tensor of one number"):
        train(small_run(), loss=value)


@code_under("An augmentation")
def test_an_augmentation(outside, small_run, tmp_path):
    config = small_run(save_every_steps=4, keep_states=9)
    train(config, transform=outside.rotate)
    folder = Path(config.save_dir)
    changes = {"save_dir": str(tmp_path / "resumed"), "num_workers": 0}
    resume(folder / MIDDLE, changes, force=True, transform=outside.rotate)
    assert_same_outcome(tmp_path / "resumed", folder)
    with pytest.raises(InputError, match=r"this run began with transform rotate \(now not set\)"):
        resume(folder / MIDDLE, {"save_dir": str(tmp_path / "no")})

    train(small_run(save_dir=str(tmp_path / "same")), transform=lambda image, rng: image)
    train(small_run(save_dir=str(tmp_path / "usual")))
    assert same_weights(tmp_path / "same", tmp_path / "usual")
    assert not same_weights(folder, tmp_path / "usual")


@code_under("An augmentation")
@pytest.mark.parametrize("cached", [False, True])
def test_an_augmentation_is_a_function_of_seed_epoch_and_index(outside, tmp_path, cached):
    images, listed = make_folder(tmp_path, 8)
    small = Preprocessing(40, 32)
    random_values = {}

    def record(image, rng):
        assert (image.dtype, min(image.shape)) == (np.uint8, 40)
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0] = 0
        random_values.setdefault((dataset.seed, dataset.epoch), []).append(rng.random(3))
        return outside.rotate(image, rng)

    build_cache(images, [path.name for path in sorted(images.iterdir())], tmp_path / "cache", small, workers=0)
    cache = tmp_path / "cache" if cached else None
    for seed in (0, 1):
        dataset = ChestXrayDataSet(images, listed, "train", small, seed, image_cache=cache, transform=record)
        for epoch in (0, 1):
            dataset.epoch = epoch
            expected = [dataset[index][0] for index in range(8)]
            assert np.array_equal(dataset[5][0], expected[5])
            assert np.array_equal(random_values[seed, epoch].pop(), random_values[seed, epoch][5])
    numbers = np.concatenate(
        [*random_values.values(), *(augmentation_params(seed, epoch, 8) for seed in (0, 1) for epoch in (0, 1))]
    )
    assert len(np.unique(numbers)) == numbers.size == 2 * 4 * 8 * 3


@code_under("An augmentation")
@pytest.mark.parametrize("workers", [0, 3])
def test_augmentations_do_not_depend_on_threads(outside, tmp_path, workers):
    images, listed = make_folder(tmp_path, 9)
    dataset = ChestXrayDataSet(images, listed, "train", Preprocessing(40, 32), 7, transform=outside.rotate)
    loader = BatchLoader(dataset, 4, shuffle=True, workers=workers)
    loader.set_epoch(3)
    batches = np.concatenate([batch for batch, _ in loader])
    np.testing.assert_array_equal(batches, [dataset[index][0] for index in loader.order()])


@pytest.mark.parametrize(
    "transform",
    [
        lambda image, rng: image.astype(float),
        lambda image, rng: image[:31],
        lambda image, rng: image[None],
        lambda image, rng: None,
    ],
)
def test_an_augmentation_that_does_not_return_an_image_is_refused(small_run, transform):
    with pytest.raises(InputError, match=r"^transform: .*train\d+\.png, expected uint8 .* 32"):
        train(small_run(), transform=transform)


@code_under("A data set")
def test_invalid_combinations_and_types_are_refused(outside, small_run):
    with pytest.raises(InputError, match=r"^transform: .*train_set"):
        train(small_run(), train_set=outside.Stripes(12, 32), transform=lambda image, rng: image)
    with pytest.raises(InputError, match=r"^loss: is a str"):
        train(small_run(), loss="bce")
    with pytest.raises(InputError, match=r"^callbacks: .*function"):
        train(small_run(), callbacks=[test_a_loss])


@code_under("A callback")
def test_a_callback(outside, small_run, tmp_path):
    config = small_run(save_every_steps=4, keep_states=9)
    curve = outside.LossCurve()
    result = train(config, callbacks=[curve])
    assert curve.aurocs == [row["val_AUROC_avg"] for row in result.history]
    assert np.reshape(curve.losses, (2, 6)).mean(axis=1) == pytest.approx([row["train_loss"] for row in result.history])
    rest = outside.LossCurve()
    resume(Path(config.save_dir) / MIDDLE, {"save_dir": str(tmp_path / "resumed")}, callbacks=[rest])
    assert rest.losses == curve.losses[-2:]
    train(small_run(save_dir=str(tmp_path / "without")))
    assert same_weights(tmp_path / "without", Path(config.save_dir))
    assert same_weights(tmp_path / "resumed", Path(config.save_dir))


class StopAfter(Callback):
    """Stop during an epoch."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.remaining = step

    def on_train_batch_end(self, step, logs=None):
        self.remaining -= 1
        self.model.stop_training = self.model.stop_training or self.remaining == 0


@pytest.mark.parametrize("callback", [StopAfter(4), paddle.callbacks.EarlyStopping("AUROC_avg", "min", patience=0)])
def test_a_run_stopped_by_a_callback_is_finished(small_run, callback):
    config = small_run(epoch=9)
    result = train(config, callbacks=[callback])
    assert 1 <= len(result.history) < 9
    assert (Path(config.save_dir) / "final.pdparams").exists()
    assert run_state.load(run_state.paths(Path(config.save_dir))[-1]).progress.stopped_early
    logged: list[str] = []
    assert len(resume(Path(config.save_dir), {}, log=logged.append).history) == len(result.history)
    assert "finished" in logged[-1]


def test_visualdl(small_run, tmp_path):
    visualdl = pytest.importorskip("visualdl", reason="VisualDL is not installed")
    config = small_run()
    train(config, callbacks=[paddle.callbacks.VisualDL(str(tmp_path / "curves"))])
    (written,) = (tmp_path / "curves").iterdir()
    reader = visualdl.LogReader(file_path=str(written))
    assert len(reader.get_data("scalar", "train/loss")) == 12
    assert [record.id for record in reader.get_data("scalar", "eval/AUROC_avg")] == [0, 1]
