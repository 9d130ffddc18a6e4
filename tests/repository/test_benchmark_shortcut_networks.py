"""benchmarks/shortcut_networks.py with a training that is too small to learn anything."""

from pathlib import Path

from benchmarks.harness import in_subprocess
from benchmarks.shortcut_networks import CONFOUNDER, FINDING, PLANTED, Sizes, draw_phantoms, table, train_and_check
from chexnet.phantom import parse_plantings


def test_both_training_sets_have_as_many_drains():
    """With 15 % pneumothorax, the minimum prevalence of the benchmark."""
    biased, random = (parse_plantings(planted)[0] for planted in PLANTED.values())
    assert (biased.confounder, random.confounder) == (CONFOUNDER, CONFOUNDER)
    expected = 0.15 * biased.rate_with([FINDING]) + 0.85 * biased.rate_with([])
    assert abs(expected - random.rate_with([FINDING])) < 0.01
    first, second = PLANTED.values()
    assert first[1:] == second[1:]


def test_a_run_has_all_columns_of_the_table(tmp_path: Path):
    sizes = Sizes(images=30, test_images=30, epochs=1, patients=2)
    draw_phantoms(tmp_path, sizes)
    name = next(iter(PLANTED))
    # In a process of its own, because it registers a backbone.
    run = in_subprocess(train_and_check, name, 0, str(tmp_path), str(tmp_path / "out"), sizes)
    assert run["auroc"].keys() == PLANTED.keys()
    assert run["itself"]["low"] <= run["itself"]["mean"] <= run["itself"]["high"]
    assert (tmp_path / "out" / name.replace(" ", "_") / "shortcuts.json").exists()
    head, line, row = table([run]).splitlines()
    assert head.count("|") == line.count("|") == row.count("|")
