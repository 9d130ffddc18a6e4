"""What a checkpoint says it was trained on."""

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
def test_what_was_seen_is_what_comparing_names_finds(seed):
    trained, names = some_names(seed), some_names(seed + 100)
    found = training_overlap({KEY: fingerprint(trained)}, names)
    patients = {patient_id(name) for name in trained}
    assert found.images == len(set(trained) & set(names)) > 0
    assert found.patients == len(patients & {patient_id(name) for name in names})
    assert found.patients_images == sum(patient_id(name) in patients for name in names) > found.images
    assert (found.of_images, found.of_patients) == (len(names), len({patient_id(name) for name in names}))
    assert found.complete


def test_nothing_is_known_without_a_fingerprint_and_nothing_seen_of_others():
    assert training_overlap({"resize": 256}, ["a.png"]) is None
    found = training_overlap({KEY: fingerprint(some_names(0))}, ["img.png", "99999999_000.png"])
    assert (found.images, found.patients, found.patients_images) == (0, 0, 0)


def test_it_survives_json_depends_on_no_order_and_holds_no_names():
    names = some_names(0)
    one = json.dumps(fingerprint(names))
    assert one == json.dumps(fingerprint(reversed(names)))
    assert training_overlap({KEY: json.loads(one)}, names).images == len(names)
    assert not any(patient_id(name) in one for name in names)


def test_it_is_small():
    names = [f"{patient:08d}_{image:03d}.png" for patient in range(21_528) for image in range(4)][:78_468]
    told = fingerprint(names)
    assert len(told["patients"]) < 175_000
    assert len(told["images"]) < 630_000


def test_what_the_first_weights_were_trained_on_is_added_and_said_to_be_unknown_where_it_is():
    first = {KEY: fingerprint(["00000001_000.png"])}
    names = ["00000001_000.png", "00000002_000.png", "00000003_000.png"]
    both = training_overlap({KEY: fingerprint(["00000002_000.png"], first)}, names)
    assert (both.images, both.patients, both.complete) == (2, 2, True)
    unknown = {KEY: fingerprint(["00000002_000.png"], {"resize": 256})}
    assert (training_overlap(unknown, names).images, training_overlap(unknown, names).complete) == (1, False)
    assert not training_overlap({KEY: fingerprint(["00000003_000.png"], unknown)}, names).complete
    assert audit.format_training_overlap(training_overlap(unknown, names)).endswith(
        "what the weights that it began with were trained on is not known"
    )


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([], "is not a fingerprint of format 1"),
        ({"format": 2}, "is not a fingerprint of format 1"),
        ({"format": 1, "complete": 1}, "is not a fingerprint of format 1"),
        ({"format": 1, "complete": True, "patients": ""}, "'images' in 'trained_on' is damaged"),
        (
            {"format": 1, "complete": True, "images": "AAAAAAAA", "patients": "AAAA"},
            "'patients' in 'trained_on' is damaged",
        ),
        ({"format": 1, "complete": True, "images": "??", "patients": ""}, "'images' in 'trained_on' is damaged"),
        ({"format": 1, "complete": True, "images": 5, "patients": ""}, "'images' in 'trained_on' is damaged"),
    ],
)
def test_another_or_a_damaged_fingerprint_is_refused(told, message):
    with pytest.raises(InputError, match=message):
        training_overlap({KEY: told}, ["a.png"])


def test_a_run_writes_beside_its_weights_what_it_was_trained_on(small_run, tmp_path):
    config = small_run()
    best = train(config).best_model
    names, others = (read_list(path).names for path in (config.train_list, config.val_list))
    for path in (best, best.with_name("final.pdparams")):
        facts = checkpoint.read_metadata_file(path)
        assert training_overlap(facts, names).images == len(names)
        assert training_overlap(facts, others).images == 0
        assert training_overlap(facts, names).complete
    alike = train(small_run(init=str(best), train_list=config.val_list, save_dir=str(tmp_path / "more"))).best_model
    assert training_overlap(checkpoint.read_metadata_file(alike), [*names, *others]).images == len(names) + len(others)


def test_a_run_that_goes_on_still_knows_what_its_first_weights_were_trained_on(small_run, tmp_path):
    first = train(small_run(epoch=1)).best_model
    folder = tmp_path / "more"
    config = small_run(init=str(first), train_list=small_run().val_list, save_dir=str(folder), epoch=1)
    train(config)
    expected = checkpoint.read_metadata_file(folder / "final.pdparams")[KEY]
    for path in (first, first.with_suffix(".json")):
        path.unlink()
    resume(None, {"save_dir": str(folder), "epoch": 2}, force=True)
    assert checkpoint.read_metadata_file(folder / "final.pdparams")[KEY] == expected


def test_a_state_of_an_earlier_version_has_none_and_goes_on(small_run):
    config = small_run(epoch=1)
    train(config)
    path = run_state.paths(Path(config.save_dir))[-1]
    content = checkpoint.load(path)
    del content["trained_on"]
    checkpoint.save(content, path)
    assert run_state.load(path).trained_on == {}
    resume(None, {"save_dir": config.save_dir, "epoch": 2}, force=True)
    names = read_list(config.train_list).names
    facts = checkpoint.read_metadata_file(path.with_name("final.pdparams"))
    assert training_overlap(facts, names).images == len(names)
