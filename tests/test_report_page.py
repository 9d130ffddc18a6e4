"""The page of a report: that it stands alone, reads well without eyes, and in a real browser."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from browser import Browser
from sklearn.metrics import average_precision_score
from test_report import OTHER, TEST, VALIDATION

from chexnet.metrics import auroc
from chexnet.metrics.calibration import reliability
from chexnet.predictions import Predictions
from chexnet.report import build, charts, page

VOID = {"meta", "path", "circle", "br"}


class Reader(HTMLParser):
    """Collects a page's elements and refuses one that is not closed."""

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
    spoilt = Predictions(HOSTILE, TEST.names, TEST.labels, TEST.probabilities)
    run = {
        "config": {"ckpt": "<b>.pdparams", "crops": 10},
        "engine": "paddle, float32",
        "notice": "for <tests> only",
        "sha256": {"ckpt": "4a5f"},
    }
    return page.of_report(build(spoilt, VALIDATION, OTHER, audit=["seen <twice>"], run=run))


def test_it_is_whole_and_hears_of_nothing_outside(text):
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


def test_names_from_outside_stay_text(text):
    read = Reader(text)
    assert HOSTILE in "".join(read.texts)
    assert not read.all("twice", "tests", "script")
    for piece in ("<b>.pdparams", "for <tests> only", "seen <twice>", "4a5f"):
        assert piece in "".join(read.texts)


def test_it_can_be_read_without_eyes(text):
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


def test_every_row_of_a_table_has_as_many_cells(text):
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        widths = set()
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL):
            cells = re.findall(r"<t[hd]([^>]*)>", row)
            widths.add(sum(int((re.findall(r'colspan="(\d+)"', cell) or ["1"])[0]) for cell in cells))
        assert len(widths) == 1


def test_published_columns_stand_under_their_split(text):
    table = re.search(r'<table[^>]*><caption id="t-auroc">.*?</table>', text, re.DOTALL)[0]
    groups = re.findall(r'<th scope="colgroup" colspan="(\d+)"[^>]*>(.*?)</th>', table)
    assert [(int(span), name) for span, name in groups[1:]] == [(3, "split: own"), (3, "split: shared 70/10/20")]
    row = re.search(r"<th scope=\"row\">Emphysema</th>(.*?)</tr>", table)[1]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    column = TEST.labels[:, 10], TEST.probabilities[:, 10]
    assert cells[2] == f"{auroc(*column):.3f}"
    assert cells[6:] == ["0.815", "0.829", "0.937", "0.925", "0.934", "0.930"]


def area(curve: charts.Curve) -> float:
    return float(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2))


@pytest.mark.parametrize("column", range(3))
def test_the_curves_have_the_areas_that_stand_below_them(column):
    labels, scores = TEST.labels[:, column], TEST.probabilities[:, column].round(1)
    assert area(charts.roc(labels, scores, "first")) == pytest.approx(auroc(labels, scores))
    found = area(charts.precision_recall(labels, scores, "first"))
    assert found == pytest.approx(average_precision_score(labels, scores))


def test_a_chart_puts_points_where_they_belong():
    curve = charts.Curve(np.array([0, 0.001, 0.5, 1]), np.array([0, 0.001, 1, 1]), "first")
    svg = charts.chart("words & <more>", ("x", "y"), [curve], guide=None)
    assert 'aria-label="words &amp; &lt;more&gt;"' in svg
    assert '<path class="first" d="M44 168L124 8L204 8"/>' in svg  # the second point falls on the first
    bins = reliability(TEST.labels[:, 0], TEST.probabilities[:, 0])
    limit = charts.reliability_limit([bins])
    found = charts.reliability(bins, "first", limit)
    assert max(found.x.max(), found.y.max()) <= 1
    assert (found.low <= found.y).all()
    assert (found.y <= found.high).all()


@pytest.mark.browser
def test_axe_finds_nothing_serious_in_a_real_browser(text, tmp_path):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    with Browser(tmp_path / "profile") as page:
        page.open((tmp_path / "page.html").as_uri())
        assert page.serious_faults() == []
