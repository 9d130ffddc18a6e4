"""The fingerprint of a checkpoint's training images, and their overlap with other lists."""

import json
from pathlib import Path

import numpy as np
import pytest

from chexnet.data import audit
from chexnet.data.audit import KEY, fingerprint, training_overlap
from chexnet.data.lists import patient_id, read_list
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.training import resume, run_state, train


def some_names(seed, count=300):
    rng = np.random.default_rng(seed)
    return sorted({f"{rng.integers(400):08d}_{rng.integers(3):03d}.png" for _ in range(count)})


@pytest.mark.parametrize("seed", range(5))
def test_the_overlap_equals_a_comparison_of_names(seed):
    trained, names = some_names(seed), some_names(seed + 100)
    found = training_overlap({KEY: fingerprint(trained)}, names)
    patients = {patient_id(name) for name in trained}
    assert found.images == len(set(trained) & set(names)) > 0
    assert found.patients == len(patients & {patient_id(name) for name in names})
    assert found.patients_images == sum(patient_id(name) in patients for name in names) > found.images
    assert (found.of_images, found.of_patients) == (len(names), len({patient_id(name) for name in names}))
    assert found.complete


def test_metadata_without_a_fingerprint_has_no_overlap_and_other_images_are_not_found():
    assert training_overlap({"resize": 256}, ["a.png"]) is None
    found = training_overlap({KEY: fingerprint(some_names(0))}, ["img.png", "99999999_000.png"])
    assert (found.images, found.patients, found.patients_images) == (0, 0, 0)


def test_a_fingerprint_is_json_independent_of_order_and_contains_no_names():
    names = some_names(0)
    text = json.dumps(fingerprint(names))
    assert text == json.dumps(fingerprint(reversed(names)))
    assert training_overlap({KEY: json.loads(text)}, names).images == len(names)
    assert not any(patient_id(name) in text for name in names)


def test_a_fingerprint_is_small():
    names = [f"{patient:08d}_{image:03d}.png" for patient in range(21_528) for image in range(4)][:78_468]
    value = fingerprint(names)
    assert len(value["patients"]) < 175_000
    assert len(value["images"]) < 630_000


def test_training_images_of_the_initial_weights_are_added_or_marked_as_unknown():
    first = {KEY: fingerprint(["00000001_000.png"])}
    names = ["00000001_000.png", "00000002_000.png", "00000003_000.png"]
    both = training_overlap({KEY: fingerprint(["00000002_000.png"], first)}, names)
    assert (both.images, both.patients, both.complete) == (2, 2, True)
    unknown = {KEY: fingerprint(["00000002_000.png"], {"resize": 256})}
    assert (training_overlap(unknown, names).images, training_overlap(unknown, names).complete) == (1, False)
    assert not training_overlap({KEY: fingerprint(["00000003_000.png"], unknown)}, names).complete
    assert "initial weights are unknown" in audit.format_training_overlap(training_overlap(unknown, names))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "'trained_on' .*format 1"),
        ({"format": 2}, "'trained_on' .*format 1"),
        ({"format": 1, "complete": 1}, "'trained_on' .*format 1"),
        ({"format": 1, "complete": True, "patients": ""}, "'images' in 'trained_on'"),
        ({"format": 1, "complete": True, "images": "AAAAAAAA", "patients": "AAAA"}, "'patients' in 'trained_on'"),
        ({"format": 1, "complete": True, "images": "??", "patients": ""}, "'images' in 'trained_on'"),
        ({"format": 1, "complete": True, "images": 5, "patients": ""}, "'images' in 'trained_on'"),
    ],
)
def test_a_damaged_fingerprint_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        training_overlap({KEY: value}, ["a.png"])


def test_a_run_stores_the_fingerprint_with_its_weights(small_run, tmp_path):
    config = small_run()
    best = train(config).best_model
    names, others = (read_list(path).names for path in (config.train_list, config.val_list))
    for path in (best, best.with_name("final.pdparams")):
        metadata = checkpoint.read_metadata_file(path)
        assert training_overlap(metadata, names).images == len(names)
        assert training_overlap(metadata, others).images == 0
        assert training_overlap(metadata, names).complete
    more = train(small_run(init=str(best), train_list=config.val_list, save_dir=str(tmp_path / "more"))).best_model
    assert training_overlap(checkpoint.read_metadata_file(more), [*names, *others]).images == len(names) + len(others)


def test_a_resumed_run_keeps_the_fingerprint_of_its_initial_weights(small_run, tmp_path):
    first = train(small_run(epoch=1)).best_model
    folder = tmp_path / "more"
    config = small_run(init=str(first), train_list=small_run().val_list, save_dir=str(folder), epoch=1)
    train(config)
    expected = checkpoint.read_metadata_file(folder / "final.pdparams")[KEY]
    for path in (first, first.with_suffix(".json")):
        path.unlink()
    resume(None, {"save_dir": str(folder), "epoch": 2}, force=True)
    assert checkpoint.read_metadata_file(folder / "final.pdparams")[KEY] == expected


def test_a_state_without_a_fingerprint_can_be_resumed(small_run):
    """States of earlier versions have none."""
    config = small_run(epoch=1)
    train(config)
    path = run_state.paths(Path(config.save_dir))[-1]
    content = checkpoint.load(path)
    del content["trained_on"]
    checkpoint.save(content, path)
    assert run_state.load(path).trained_on == {}
    resume(None, {"save_dir": config.save_dir, "epoch": 2}, force=True)
    names = read_list(config.train_list).names
    metadata = checkpoint.read_metadata_file(path.with_name("final.pdparams"))
    assert training_overlap(metadata, names).images == len(names)
