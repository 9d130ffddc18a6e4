"""The notebook of the documentation runs, and its stored outputs are up to date."""

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


def outputs(cell) -> list:
    """Return the printed lines of a cell without their numbers, and the types of its other outputs."""
    result = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            result += re.sub(r"\d+(\.\d+)?", "#", output.text).splitlines() if output.name == "stdout" else []
        else:
            result.append((output.output_type, sorted(set(output.data) - {"image/jpeg"})))
    return result


def test_a_run_gives_the_stored_outputs(stored, tmp_path, monkeypatch):
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    executed = copy.deepcopy(stored)
    NotebookClient(
        executed, timeout=900, kernel_name="python3", resources={"metadata": {"path": ROOT / "docs"}}
    ).execute()
    for before, after in zip(stored.cells, executed.cells, strict=True):
        assert outputs(before) == outputs(after), before.source


def test_the_stored_outputs_are_from_a_complete_run_without_warnings(stored):
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "Total params: 7,051,854" in str(code[1].outputs)
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]


def test_every_text_is_there_in_both_languages(stored):
    for cell in stored.cells:
        if cell.cell_type == "markdown":
            assert re.search(r"[a-z]{3,} [a-z]{2,}", cell.source), cell.source
            assert re.search(r"[\u4e00-\u9fff]{4,}", cell.source), cell.source
