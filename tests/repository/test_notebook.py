"""The notebook of the documentation runs, and what is stored in it is what it shows."""

import copy
import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs/quickstart.ipynb"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


def shown(cell) -> list:
    """What a cell prints, numbers apart, and which other kinds of output it has; its warnings are the machine's."""
    found = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            found += re.sub(r"\d+(\.\d+)?", "#", output.text).splitlines() if output.name == "stdout" else []
        else:
            found.append((output.output_type, sorted(set(output.data) - {"image/jpeg"})))
    return found


def test_it_runs_and_shows_what_is_stored(stored, tmp_path, monkeypatch):
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    executed = copy.deepcopy(stored)
    NotebookClient(
        executed, timeout=900, kernel_name="python3", resources={"metadata": {"path": ROOT / "docs"}}
    ).execute()
    for before, after in zip(stored.cells, executed.cells, strict=True):
        assert shown(before) == shown(after), before.source


def test_what_is_stored_is_of_a_whole_run_and_of_no_particular_machine(stored):
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "Total params: 7,051,854" in str(code[1].outputs)
    assert not [one for cell in code for one in cell.outputs if one.get("name") == "stderr"]


def test_every_text_is_there_in_both_languages(stored):
    for cell in stored.cells:
        if cell.cell_type == "markdown":
            assert re.search(r"[a-z]{3,} [a-z]{2,}", cell.source), cell.source
            assert re.search(r"[\u4e00-\u9fff]{4,}", cell.source), cell.source
