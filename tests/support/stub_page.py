"""The page with the engine of stub_engine.js in a browser: fixtures for tests of the page."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from browser import Browser
from node import PAGE
from PIL import Image
from static_server import StaticServer, serving

from chexnet.phantom import draw

STUB = Path(__file__).with_name("stub_engine.js")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with images and other files."""
    folder = tmp_path_factory.mktemp("images")
    chest = Image.fromarray(draw(["Mass"], 96).image)
    for name in ("chest.png", "deep.png", "noise.png", "<b>\u202egnp.png", "胸片.png", "endless.png"):
        chest.save(folder / name)
    (folder / "text.txt").write_text("no image")
    (folder / "empty.png").touch()
    (folder / "large.png").write_bytes(bytes(1_000_001))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[StaticServer]:
    """A site with the page in a folder."""
    folder = tmp_path_factory.mktemp("site") / "sub folder"
    shutil.copytree(PAGE, folder)
    shutil.copy(STUB, folder / "local_engine.js")
    html = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(html.replace('"engine" content="server"', '"engine" content="local"'))
    with serving(folder.parent) as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """A browser for all tests of a module."""
    with Browser(tmp_path_factory.mktemp("profile"), "--lang=en-US") as page:
        yield page


@pytest.fixture
def page(browser: Browser, server: StaticServer) -> Iterator[Browser]:
    """A browser whose page caused no errors."""
    browser.errors.clear()
    server.missing.clear()
    browser.resize(1280, 860)
    yield browser
    assert browser.errors == []
    assert server.missing == []


def show(page: Browser, server: StaticServer, *files: Path, **query: str) -> None:
    """Open the page, add files and wait until all but endless ones are done."""
    page.open(f"{server.origin}/sub%20folder/index.html?{urlencode({'lang': 'en', 'theme': 'light', **query})}")
    page.wait("!document.getElementById('page').hidden")
    if files:
        page.choose_file("#files", *files)
        finished = sum(not file.name.startswith("endless") for file in files)
        page.wait(
            f"document.querySelectorAll('.tile:is([data-state=done], [data-state=failed])').length === {finished}"
        )
        page.wait(
            "document.getElementById('cover').hidden || document.querySelector('.tile:has(:checked)')"
            ".dataset.state !== 'done'"
        )


def text(page: Browser, selector: str) -> str:
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


def texts(page: Browser, selector: str) -> list[str]:
    return page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((node) => node.textContent)")


def focused(page: Browser) -> str:
    return page.evaluate("document.activeElement.value || document.activeElement.id")
