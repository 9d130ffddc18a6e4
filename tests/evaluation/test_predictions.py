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
    """Make random predictions, with two images per patient."""
    rng = np.random.default_rng(seed)
    names = tuple(f"{index // 2:08d}_{index % 2:03d}.png" for index in range(count))
    labels = rng.integers(0, 2, (count, N_CLASSES)).astype(np.uint8)
    return Predictions(name, names, labels, rng.random((count, N_CLASSES), np.float32))


@pytest.fixture
def written(tmp_path):
    """Return the cells of a valid file, and a function that writes changed cells and returns the path."""
    lines = [line.split(",") for line in made().to_csv().splitlines()]
    path = tmp_path / "p.csv"

    def write(changed) -> str:
        path.write_text("\n".join(",".join(line) for line in changed) + "\n")
        return str(path)

    return lines, write


def test_predictions_survive_writing_and_reading_exactly(tmp_path):
    expected = made()
    (tmp_path / "p.csv").write_text(expected.to_csv())
    found = read_predictions(tmp_path / "p.csv")
    assert found.names == expected.names
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert found.labels.dtype == np.uint8
    assert found.probabilities.dtype == np.float64
    assert found.patients.ids == ("00000000",) * 2 + ("00000001",) * 2 + ("00000002",) * 2


def test_saturated_probabilities_stay_distinct(tmp_path):
    """They would be ties as float32, which turns an AUROC of 0.73 into 0.66."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (400, N_CLASSES)).astype(np.uint8)
    probabilities = expit(rng.normal(30, 4, labels.shape) + 3 * labels)
    names = tuple(f"{index}.png" for index in range(400))
    (tmp_path / "p.csv").write_text(Predictions("made", names, labels, probabilities).to_csv())
    found = build_report(read_predictions(tmp_path / "p.csv")).scores
    for c, scores in enumerate(found.classes):
        expected = roc_auc_score(labels[:, c], probabilities[:, c])
        assert scores.auroc.auroc == pytest.approx(expected, abs=1e-12)
        assert abs(roc_auc_score(labels[:, c], probabilities[:, c].astype(np.float32)) - expected) > 0.01


def test_a_column_of_patients_is_read_and_may_be_empty(written):
    lines, write = written
    assert lines[0][-1] == "patient"
    for line, patient in zip(lines[1:], ("1", "1", "", "", "3", "3"), strict=True):
        line[-1] = patient
        line[0] = f"x{line[0]}"
    found = read_predictions(write(lines))
    assert found.patients.ids == ("1", "1", None, None, "3", "3")
    without = read_predictions(write([line[:-1] for line in lines]))
    assert without.patients.unknown == 6


def test_columns_may_be_in_any_order_and_others_are_ignored(written):
    lines, write = written
    order = np.random.default_rng(0).permutation(len(lines[0]))
    found = read_predictions(write([[*(line[column] for column in order), "x"] for line in lines]))
    np.testing.assert_array_equal(found.probabilities, made().probabilities)
    np.testing.assert_array_equal(found.labels, made().labels)


def test_labels_of_a_list_replace_those_of_the_file(written, tmp_path):
    lines, write = written
    path = write([line[: 1 + N_CLASSES] for line in lines])  # without labels
    names, labels = made().names[::-1], 1 - made().labels[::-1]
    (tmp_path / "list.txt").write_text(format_list(names, labels))
    found = read_predictions(path, read_list(tmp_path / "list.txt"))
    assert found.names == made().names
    np.testing.assert_array_equal(found.labels, 1 - made().labels)
    with pytest.raises(InputError, match=r"p\.csv:1: .* label_Atelectasis.*--labels"):
        read_predictions(path)
    (tmp_path / "list.txt").write_text(format_list(names[1:], labels[1:]))
    with pytest.raises(InputError, match=r"list\.txt: .*p\.csv: 1 of 6 .* 0 "):
        read_predictions(path, read_list(tmp_path / "list.txt"))


def replace_cell(row: int, column: int, value: str):
    def change(lines):
        lines[row][column] = value

    return change


INVALID = {
    "above 1": (replace_cell(3, 2, "1.5"), ":4: prob_Cardiomegaly is '1.5'"),
    "negative": (replace_cell(1, 1, "-0.1"), ":2: prob_Atelectasis is '-0.1'"),
    "nan": (replace_cell(6, 14, "nan"), ":7: prob_Hernia is 'nan'"),
    "10**400": (replace_cell(6, 14, str(10**400)), ":7: prob_Hernia is '1000"),
    "infinite": (replace_cell(6, 14, "inf"), ":7: prob_Hernia is 'inf'"),
    "not a number": (replace_cell(2, 3, "high"), ":3: prob_Effusion is 'high'"),
    "blank": (replace_cell(2, 3, ""), ":3: prob_Effusion is ''"),
    "label": (replace_cell(2, 15, "2"), ":3: label_Atelectasis is '2'"),
    "uncertain": (replace_cell(2, 28, "-1"), ":3: label_Hernia is '-1'"),
    "repeated image": (replace_cell(4, 0, "00000000_001.png"), ":5: '00000000_001.png'", "line 3"),
    "short": (lambda lines: lines[2].pop(), ":3: 29 columns", "30"),
    "long": (lambda lines: lines[5].append("1"), ":6: 31 columns", "30"),
    "missing column": (replace_cell(0, 5, "mass"), ":1: missing column prob_Mass"),
    "unknown finding": (
        lambda lines: [line.append("0") for line in lines[1:]] + [lines[0].append("prob_Fracture")],
        ":1: unknown finding prob_Fracture",
    ),
    "repeated column": (lambda lines: [line.append(line[1]) for line in lines], ":1: repeated column prob_Atelectasis"),
    "no lines": (lambda lines: lines.__delitem__(slice(1, None)), ": no line"),
    "empty": (lambda lines: lines.clear(), ":1: missing column image, prob_Atelectasis, prob_Cardiomegaly and 26"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_file_is_a_one_line_error_with_its_position(name, written):
    lines, write = written
    change, start, *parts = INVALID[name]
    change(lines)
    path = write(lines)
    with pytest.raises(InputError) as error:
        read_predictions(path)
    message = str(error.value)
    assert message.startswith(f"{path}{start}")
    assert all(part in message for part in parts)
    assert "\n" not in message


def test_a_binary_or_missing_file_is_an_error(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"image\xff\xfe\x00,prob")
    with pytest.raises(InputError, match=r"p\.csv: "):
        read_predictions(tmp_path / "p.csv")
    with pytest.raises(InputError, match=r"none\.csv: .*No such file"):
        read_predictions("none.csv")


def test_predictions_are_aligned_by_image():
    first, second = made(), made(seed=0, name="second")
    order = np.array([3, 1, 5, 0, 2, 4])
    names = tuple(second.names[index] for index in order)
    shuffled = Predictions("second", names, second.labels[order], second.probabilities[order])
    found = shuffled.align_to(first)
    assert found.names == first.names
    np.testing.assert_array_equal(found.probabilities, second.probabilities)
    with pytest.raises(InputError, match=r"longer: .* made: 0 of 6 .* 2 are extra"):
        made(8, name="longer").align_to(first)
    with pytest.raises(InputError, match=r"shorter: .* made: 2 of 6 .*00000002_000"):
        made(4, name="shorter").align_to(first)
    labels = first.labels.copy()
    labels[2, 4] ^= 1
    other = Predictions("other", first.names, labels, first.probabilities)
    with pytest.raises(InputError, match=rf"other: 1 images .* made, .*{first.names[2]}: {CLASS_NAMES[4]} is"):
        other.align_to(first)
