"""HTML page of a report: self-contained, escaped, accessible, checked in a real browser."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from browser import Browser
from conftest import ROOT
from sklearn.metrics import average_precision_score
from test_report import OTHER, TEST, VALIDATION

from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report import build_report, charts
from chexnet.evaluation.report.render import render_html
from chexnet.metrics import auroc
from chexnet.metrics.calibration import reliability
from chexnet.metrics.proportions import wilson

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Collect the elements of a page and check that all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.parents: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.parents.append(tuple(self.open))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.parents.append(tuple(self.open))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, *tags: str) -> list[dict]:
        return [attrs for tag, attrs in self.elements if tag in tags]


HOSTILE = '<script>alert(1)</script>"&.csv'


@pytest.fixture(scope="module")
def text() -> str:
    hostile = Predictions(HOSTILE, TEST.names, TEST.labels, TEST.probabilities)
    run = {
        "config": {"ckpt": "<b>.pdparams", "crops": 10},
        "engine": "paddle, float32",
        "notice": "for <tests> only",
        "sha256": {"ckpt": "4a5f"},
    }
    return render_html(build_report(hostile, VALIDATION, OTHER, audit=["seen <twice>"], run=run))


def test_the_page_is_self_contained(text):
    read = Reader(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not read.all("script", "link", "img", "iframe", "object")
    targets = [attrs["href"] for attrs in read.all("a")]
    assert targets
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert not re.search(r"https?:|url\(|@import|\bsrc=", text)
    assert len(text) < 1_000_000


def test_external_text_is_escaped(text):
    read = Reader(text)
    assert HOSTILE in "".join(read.texts)
    assert not read.all("twice", "tests", "script")
    for piece in ("<b>.pdparams", "for <tests> only", "seen <twice>", "4a5f"):
        assert piece in "".join(read.texts)


def test_the_page_is_accessible(text):
    read = Reader(text)
    assert read.all("html")[0]["lang"] == "en"
    assert len(read.all("title")) == len(read.all("h1")) == len(read.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(read.all("table")) == len(read.all("caption")) >= 8
    assert all(attrs.get("scope") in ("col", "row", "colgroup") for attrs in read.all("th"))
    charts_ = read.all("svg")
    assert len(charts_) == 42
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 30 for attrs in charts_)
    assert len({attrs["aria-label"] for attrs in charts_}) == 42
    ids = {attrs["id"] for _, attrs in read.elements if "id" in attrs}
    regions = [attrs for attrs in read.all("div") if attrs.get("class") == "scroll"]
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" for attrs in regions)
    assert {attrs["aria-labelledby"] for attrs in regions + read.all("section")} <= ids


def test_all_rows_of_a_table_have_the_same_number_of_cells(text):
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        widths = set()
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL):
            cells = re.findall(r"<t[hd]([^>]*)>", row)
            widths.add(sum(int((re.findall(r'colspan="(\d+)"', cell) or ["1"])[0]) for cell in cells))
        assert len(widths) == 1


def test_published_columns_are_grouped_by_split(text):
    table = re.search(r'<table[^>]*><caption id="t-auroc">.*?</table>', text, re.DOTALL)[0]
    groups = re.findall(r'<th scope="colgroup" colspan="(\d+)"[^>]*>(.*?)</th>', table)
    assert [(int(span), name) for span, name in groups[1:]] == [(3, "split: own"), (5, "split: shared 70/10/20")]
    row = re.search(r"<th scope=\"row\">Emphysema</th>(.*?)</tr>", table)[1]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    column = TEST.labels[:, 10], TEST.probabilities[:, 10]
    assert cells[2] == f"{auroc(*column):.3f}"
    assert cells[6:] == ["0.815", "0.829", "0.937", "0.925", "0.934", "0.930", "0.942", "0.932"]


def area(curve: charts.Curve) -> float:
    return float(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2))


@pytest.mark.parametrize("column", range(3))
def test_the_areas_under_the_curves_equal_the_scores(column):
    labels, scores = TEST.labels[:, column], TEST.probabilities[:, column].round(1)
    assert area(charts.roc(labels, scores)) == pytest.approx(auroc(labels, scores))
    assert area(charts.precision_recall(labels, scores)) == pytest.approx(average_precision_score(labels, scores))


def lines(svg: str, color: str) -> list[np.ndarray]:
    """Return the points [K, 2] of the lines of a color, in units of the drawing."""
    paths = [attrs for attrs in Reader(svg).all("path") if f"stroke: var(--{color})" in attrs["style"]]
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", attrs["d"]), float) for attrs in paths if "id" not in attrs]


def to_drawing(x: np.ndarray, y: np.ndarray, limit: float) -> np.ndarray:
    """Convert points to the drawing, whose axes span 160 units, right from 44 and up from 168."""
    return np.stack([44 + 160 * x / limit, 168 - 160 * y / limit], axis=1)


def test_a_chart_has_its_points_at_their_coordinates():
    curve = charts.Curve(np.array([0, 0.001, 0.5, 1]), np.array([0, 0.001, 1, 1]))
    svg = charts.draw([curve], "x & <y>", "y")
    (found,) = lines(svg, "first")
    np.testing.assert_allclose(found, [(44, 168), (124, 8), (204, 8)])  # the second point rounds to the first
    assert "x & <y>" in Reader(svg).texts
    assert not Reader(svg).all("y")


def test_a_reliability_diagram_has_the_bins_and_their_intervals():
    bins = reliability(TEST.labels[:, 0], TEST.probabilities[:, 0])
    limit = charts.reliability_limit([bins])
    curve = charts.reliability(bins)
    assert max(curve.x.max(), curve.y.max()) <= limit
    svg = charts.draw([curve], "x", "y", limit)
    *bars, line = lines(svg, "first")
    np.testing.assert_allclose(line, to_drawing(curve.x, curve.y, limit), atol=1e-5)
    for bar, group in zip(bars, bins, strict=True):
        ends = np.minimum(wilson(group.positives, group.images), limit)
        np.testing.assert_allclose(bar, to_drawing(np.full(2, group.mean), ends, limit), atol=1e-5)
    markers = [(float(attrs["x"]), float(attrs["y"])) for attrs in Reader(svg).all("use")]
    np.testing.assert_allclose(markers, line, atol=1e-5)


def test_two_curves_differ_in_more_than_color():
    bins = [reliability(TEST.labels[:, c], TEST.probabilities[:, c]) for c in range(2)]
    styles = [
        attrs["style"] for attrs in Reader(charts.draw(list(map(charts.reliability, bins)), "x", "y")).all("path")
    ]
    colors = ("first", "second")
    dashed = {color: any("dasharray" in style and f"var(--{color})" in style for style in styles) for color in colors}
    assert dashed == {"first": False, "second": True}


def test_a_drawing_depends_only_on_its_arguments(monkeypatch):
    curve = charts.roc(TEST.labels[:, 0], TEST.probabilities[:, 0])
    once = charts.draw([curve], "x", "y")
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    assert charts.draw([curve], "x", "y") == once
    assert matplotlib.rcParams["text.usetex"]


def test_pyplot_is_never_imported():
    """pyplot has global state and looks for a display. Importing the package loads no matplotlib at all."""
    code = (
        "import sys\n"
        "import chexnet.evaluation.report\n"
        "assert not {'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "from chexnet.evaluation.report import charts\n"
        "import numpy as np\n"
        "charts.draw([charts.Curve(np.arange(2), np.arange(2))], 'x', 'y')\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.browser
def test_axe_finds_no_serious_fault_in_a_real_browser(text, tmp_path):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    with Browser(tmp_path / "profile") as page:
        for scheme in ("light", "dark"):
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            page.open((tmp_path / "page.html").as_uri())
            assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
            assert page.serious_faults() == []
