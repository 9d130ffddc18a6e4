"""The Chinese pages in docs/zh follow the English ones."""

import re

import pytest
from conftest import ROOT

PAGES = sorted(path.name for path in (ROOT / "docs" / "zh").glob("*.md") if path.name != "index.md")
CODE = re.compile(r"^```.*?^```|(?:^(?: {4,}|\t)[^\n]*\n(?:\n(?= {4}))?)+", re.MULTILINE | re.DOTALL)
"""A fenced block, or lines that are indented by four characters."""


def texts(name: str) -> tuple[str, str]:
    return tuple((ROOT / "docs" / folder / name).read_text(encoding="utf-8") for folder in (".", "zh"))


def code(text: str) -> list[str]:
    """Return the blocks of code without comments and translated placeholders."""
    return [re.sub(r"\s*(?<!\S)#(?!!).*", "", block).strip() for block in CODE.findall(text)]


def prose(text: str) -> str:
    return CODE.sub("", text)


@pytest.mark.parametrize("name", PAGES)
def test_the_code_is_the_same(name):
    english, chinese = map(code, texts(name))
    assert english == chinese


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^(#+) ", id="levels of headings"),
        pytest.param(r"!\[[^]]*\]\((?:\.\./)?([^)]+)\)", id="pictures"),
        pytest.param(r"`((?:python|chexnet|curl|pip) [^`]+)`", id="commands in sentences"),
        pytest.param(r"\d[\d,]*\.\d{3,}", id="results"),
        pytest.param(r"^(\|)(?!-)", id="rows of tables"),
    ],
)
@pytest.mark.parametrize("name", PAGES)
def test_the_content_is_the_same(name, pattern):
    english, chinese = (sorted(re.findall(pattern, prose(text), flags=re.MULTILINE)) for text in texts(name))
    assert english == chinese


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_in_the_contents_and_leads_to_the_english_one(name):
    index = (ROOT / "docs" / "zh" / "index.md").read_text(encoding="utf-8")
    assert re.search(rf"^{name.removesuffix('.md')}$", index, flags=re.MULTILINE)
    assert f"](../{name})" in texts(name)[1]


def test_there_are_chinese_pages():
    assert PAGES
