import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from chexnet.data.lists import format_list, read_list
from chexnet.errors import InputError
from chexnet.evaluation.predictions import Predictions, read_predictions
from chexnet.evaluation.report import build_report
from chexnet.labels import CLASS_NAMES, N_CLASSES


def made(count: int = 6, seed: int = 0, name: str = "made") -> Predictions:
    """Random ones, two images a patient."""
    rng = np.random.default_rng(seed)
    names = tuple(f"{index // 2:08d}_{index % 2:03d}.png" for index in range(count))
    labels = rng.integers(0, 2, (count, N_CLASSES)).astype(np.uint8)
    return Predictions(name, names, labels, rng.random((count, N_CLASSES), np.float32))


@pytest.fixture
def written(tmp_path):
    """Lines of a sound file, and what writes changed ones."""
    lines = [line.split(",") for line in made().to_csv().splitlines()]
    path = tmp_path / "p.csv"

    def write(changed) -> str:
        path.write_text("\n".join(",".join(line) for line in changed) + "\n")
        return str(path)

    return lines, write


def test_what_is_written_is_read_again_bit_for_bit(tmp_path):
    wanted = made()
    (tmp_path / "p.csv").write_text(wanted.to_csv())
    found = read_predictions(tmp_path / "p.csv")
    assert found.names == wanted.names
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.probabilities, wanted.probabilities)
    assert found.labels.dtype == np.uint8
    assert found.probabilities.dtype == np.float64
    assert found.patients.ids == ("00000000",) * 2 + ("00000001",) * 2 + ("00000002",) * 2


def test_saturated_probabilities_stay_apart(tmp_path):
    """As float32 these are ties, which made 0.66 of an AUROC of 0.73."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, N_CLASSES)).astype(np.uint8)
    probabilities = expit(rng.normal(30, 4, labels.shape) + 3 * labels)
    names = tuple(f"{index}.png" for index in range(400))
    (tmp_path / "p.csv").write_text(Predictions("made", names, labels, probabilities).to_csv())
    found = build_report(read_predictions(tmp_path / "p.csv")).scores
    for c, one in enumerate(found.classes):
        expected = roc_auc_score(labels[:, c], probabilities[:, c])
        assert one.auroc.auroc == pytest.approx(expected, abs=1e-12)
        assert abs(roc_auc_score(labels[:, c], probabilities[:, c].astype(np.float32)) - expected) > 0.01


def test_a_column_of_patients_is_read_and_unknown_ones_stay_unknown(written):
    lines, write = written
    assert lines[0][-1] == "patient"
    for line, patient in zip(lines[1:], ("1", "1", "", "", "3", "3"), strict=True):
        line[-1] = patient
        line[0] = f"x{line[0]}"
    found = read_predictions(write(lines))
    assert found.patients.ids == ("1", "1", None, None, "3", "3")
    without = read_predictions(write([line[:-1] for line in lines]))
    assert without.patients.unknown == 6


def test_columns_are_found_by_name_and_others_left_alone(written):
    lines, write = written
    order = np.random.default_rng(0).permutation(len(lines[0]))
    found = read_predictions(write([[*(line[place] for place in order), "x"] for line in lines]))
    np.testing.assert_array_equal(found.probabilities, made().probabilities)
    np.testing.assert_array_equal(found.labels, made().labels)


def test_labels_of_a_list_take_the_place_of_the_files(written, tmp_path):
    lines, write = written
    path = write([line[: 1 + N_CLASSES] for line in lines])  # no labels of its own
    names, labels = made().names[::-1], 1 - made().labels[::-1]
    (tmp_path / "list.txt").write_text(format_list(names, labels))
    found = read_predictions(path, read_list(tmp_path / "list.txt"))
    assert found.names == made().names
    np.testing.assert_array_equal(found.labels, 1 - made().labels)
    with pytest.raises(InputError, match=r"p\.csv:1: lacks the column label_Atelectasis.*--labels LIST gives"):
        read_predictions(path)
    (tmp_path / "list.txt").write_text(format_list(names[1:], labels[1:]))
    with pytest.raises(InputError, match=r"list\.txt: other images than .*p\.csv: 1 of its 6 are missing, 0 are there"):
        read_predictions(path, read_list(tmp_path / "list.txt"))


def at(row: int, column: int, value: str):
    def change(lines):
        lines[row][column] = value

    return change


REFUSED = {
    "above 1": (at(3, 2, "1.5"), ":4: prob_Cardiomegaly is '1.5', expected a number from 0 to 1"),
    "negative": (at(1, 1, "-0.1"), ":2: prob_Atelectasis is '-0.1', expected a number"),
    "nan": (at(6, 14, "nan"), ":7: prob_Hernia is 'nan', expected a number from 0 to 1"),
    "10**400": (at(6, 14, str(10**400)), ":7: prob_Hernia is '1000"),
    "infinite": (at(6, 14, "inf"), ":7: prob_Hernia is 'inf', expected a number from 0 to 1"),
    "no number": (at(2, 3, "high"), ":3: prob_Effusion is 'high', expected a number from 0 to 1"),
    "blank": (at(2, 3, ""), ":3: prob_Effusion is '', expected a number from 0 to 1"),
    "label": (at(2, 15, "2"), ":3: label_Atelectasis is '2', expected 0 or 1"),
    "uncertain": (at(2, 28, "-1"), ":3: label_Hernia is '-1', expected 0 or 1"),
    "twice": (at(4, 0, "00000000_001.png"), ":5: '00000000_001.png' stands in line 3 already, expected it once"),
    "short": (lambda lines: lines[2].pop(), ":3: 29 columns, expected 30 as in the header"),
    "long": (lambda lines: lines[5].append("1"), ":6: 31 columns, expected 30"),
    "missing": (at(0, 5, "mass"), ":1: lacks the column prob_Mass; expected image, prob_<class>"),
    "unknown": (lambda lines: [line.append("0") for line in lines[1:]] + [lines[0].append("prob_Fracture")],
                ":1: has of an unknown finding prob_Fracture"),
    "column twice": (lambda lines: [line.append(line[1]) for line in lines], ":1: has twice prob_Atelectasis"),
    "no lines": (lambda lines: lines.__delitem__(slice(1, None)), ": no line below the header"),
    "empty": (lambda lines: lines.clear(), ":1: lacks the column image, prob_Atelectasis, prob_Cardiomegaly and 26"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_line_with_its_place(name, written):
    lines, write = written
    change, expected = REFUSED[name]
    change(lines)
    path = write(lines)
    with pytest.raises(InputError) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}{expected}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_or_missing_is_named(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"image\xff\xfe\x00,prob")
    with pytest.raises(InputError, match=r"p\.csv: not a text file"):
        read_predictions(tmp_path / "p.csv")
    with pytest.raises(InputError, match=r"none\.csv: the CSV of predictions cannot be read: No such file"):
        read_predictions("none.csv")


def test_two_files_are_laid_side_by_side_by_name():
    first, second = made(), made(seed=0, name="second")
    order = np.array([3, 1, 5, 0, 2, 4])
    names = tuple(second.names[place] for place in order)
    shuffled = Predictions("second", names, second.labels[order], second.probabilities[order])
    found = shuffled.align_to(first)
    assert found.names == first.names
    np.testing.assert_array_equal(found.probabilities, second.probabilities)
    with pytest.raises(
        InputError, match=r"longer: other images than made: 0 of its 6 are missing, 2 are there in addi"
    ):
        made(8, name="longer").align_to(first)
    with pytest.raises(InputError, match=r"shorter: other images than made: 2 of its 6 are missing, .*00000002_000"):
        made(4, name="shorter").align_to(first)
    labels = first.labels.copy()
    labels[2, 4] ^= 1
    other = Predictions("other", first.names, labels, first.probabilities)
    with pytest.raises(
        InputError, match=rf"other: 1 images have other labels than in made, the first {first.names[2]}"
    ):
        other.align_to(first)
    assert CLASS_NAMES[4] == "Mass"
