"""Strict JSON: valid files are read, others refused in one line, quickly and in little memory."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet import model
from chexnet.errors import InputError
from chexnet.files.json_files import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse_json, read_json, read_object
from chexnet.model import checkpoint

NUMBERS = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_valid_json_is_read_as_by_python(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse_json(text.encode(), "x") == json.loads(text) == value


REFUSED = {
    "braces": (b"[" + b"{}," * 2_000_000 + b"{}]", "more than 500,000 values"),
    "brackets": (b"[" * 400_000, "more than 32 deep"),
    "deep": (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "more than 32 deep"),
    "names": (b"{" + b",".join(b'"%d":0' % number for number in range(MAX_VALUES)) + b"}", "more than 500,000 values"),
    "size": (b" " * (MAX_BYTES + 1), "more than 32 MB"),
    "digits": (b"[1" + b"0" * 400 + b"]", "401 digits, expected at most 18"),
    "infinite": (b"[1e999]", "1e999 is too large"),
    "negative infinite": (b"[-1e999]", "-1e999 is too large"),
    "nan": (b"[NaN]", "NaN is not a"),
    "infinity": (b'{"a": -Infinity}', "-Infinity is not a"),
    "surrogate": (rb'["\ud800"]', "surrogate"),
    "surrogate as a name": (rb'{"\udfff": 1}', "surrogate"),
    "twice": (b'{"crop": 224, "crop": 512}', "'crop' appears twice"),
    "latin-1": ('{"notice": "für"}'.encode("latin-1"), "byte 13 is not UTF-8"),
    "cut": (b'{"crop": 2', "Expecting"),
    "empty": (b"", "Expecting value"),
    "pickle": (b"\x80\x04}.", "byte 0 is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_json_is_refused_in_one_line(name, tmp_path):
    data, message = REFUSED[name]
    path = tmp_path / "model.json"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"model\.json: not readable as JSON: .*{message}") as caught:
            read_json(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_BYTES
    assert len(str(caught.value)) < 400


def test_a_byte_order_mark_is_ignored_and_other_values_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"crop": 224}')
    assert read_object(tmp_path / "a.json") == {"crop": 224}
    (tmp_path / "a.json").write_bytes(b"[1]")
    with pytest.raises(InputError, match=r"a\.json: .* a JSON list, expected an object"):
        read_object(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_object(tmp_path / "none.json")


DESCRIPTIONS = {
    "a crop that does not fit into memory": ({"resize": 4096, "crop": 4096}, "crop 4096 is too large for a network"),
    "very many classes": (
        {"classes": [f"class {number}" for number in range(100_000)]},
        "100,000 classes, expected at most",
    ),
    "one class repeated": ({"classes": ["a"] * 10_000}, "class 2 is 'a'"),
    "a long name": ({"backbone": "x" * 10**6}, "the backbone is 'xxx"),
    "sizes without end": ({"resize": list(range(10**5))}, "resize, crop and sample_bits are "),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_stored_model_configuration_is_bounded(name, tmp_path):
    metadata, message = DESCRIPTIONS[name]
    checkpoint.write_metadata_file(tmp_path / "a.pdparams", metadata)
    with pytest.raises(InputError, match=rf"a\.json: .*{message}") as caught:
        model.load_model_config(tmp_path / "a.pdparams")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("notice", ["\x1b[2J", "two\nlines", "x" * 501, 3, ["a"], None])
def test_a_notice_is_one_printable_line(notice, tmp_path):
    checkpoint.save_weights({}, tmp_path / "a.pdparams")
    checkpoint.write_metadata_file(tmp_path / "a.pdparams", {"notice": notice})
    with pytest.raises(InputError, match=r"a\.json: the notice is .*expected one line of at most 500 characters"):
        model.open_checkpoint(tmp_path / "a.pdparams")
