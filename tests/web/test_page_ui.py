"""The page in a browser, with an engine that knows its results in advance."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from browser import SHIFT, Browser
from node import PAGE
from PIL import Image
from static_server import serving

from chexnet.phantom import draw

pytestmark = pytest.mark.browser

STUB = Path(__file__).parents[1] / "support" / "stub_engine.js"
FOREIGN = "<img src=x onerror=alert(1)> \u202e\u2066 \x1b[2J" + "long" * 500
"""Markup, bidirectional control characters, a terminal command, and a long word."""


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
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "sub folder"
    shutil.copytree(PAGE, folder)
    shutil.copy(STUB, folder / "local_engine.js")
    html = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(html.replace('"engine" content="server"', '"engine" content="local"'))
    with serving(folder.parent) as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile"), "--lang=en-US") as page:
        yield page


@pytest.fixture
def page(browser, server):
    """A browser whose page caused no errors."""
    browser.errors.clear()
    server.missing.clear()
    browser.resize(1280, 860)
    yield browser
    assert browser.errors == []
    assert server.missing == []


def show(page, server, *files: Path, **query: str) -> None:
    """Open the page, add files and wait until all but endless ones are done."""
    page.open(f"{server.origin}/sub%20folder/index.html?{urlencode({'lang': 'en', 'theme': 'light', **query})}")
    page.wait("!document.getElementById('page').hidden")
    if files:
        page.choose_file("#files", *files)
        finished = sum(not file.name.startswith("endless") for file in files)
        page.wait(f"document.querySelectorAll('.tile:is([data-state=done], [data-state=failed])').length === {finished}")
        page.wait("document.getElementById('cover').hidden || document.querySelector('.tile:has(:checked)')"
                  ".dataset.state !== 'done'")


def text(page, selector: str) -> str:
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


def texts(page, selector: str) -> list[str]:
    return page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((node) => node.textContent)")


def focused(page) -> str:
    return page.evaluate("document.activeElement.value || document.activeElement.id")


def canvas_pixel(page, x: float, y: float) -> list[int]:
    """Color of the canvas at a fraction of its width and height, after the next frames."""
    code = "canvas.getContext('2d').getImageData(canvas.width * x, canvas.height * y, 1, 1).data"
    frames = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
    return page.evaluate(f"(async (x, y) => {{ {frames} return [...{code}]; }})({x}, {y})")


def test_findings_are_ranked_with_decisions_thresholds_and_bars(page, server, images):
    show(page, server, images / "chest.png")
    assert texts(page, ".finding .name") == ["Mass", "Pleural Thickening", "Edema", "<b>Left</b> & lung"]
    assert texts(page, ".finding .decision") == ["present", "present", "absent", "absent"]
    assert texts(page, ".finding .value") == ["0.985", "0.300", "0.020", "0.000"]
    style = "(part) => [...document.querySelectorAll(`.finding ${part}`)].map((n) => n.style.width || n.style.left)"
    assert page.evaluate(f"({style})('.fill')") == ["98.5%", "30%", "2%", "0.009%"]
    assert page.evaluate(f"({style})('.tick')") == ["60%", "25%", "50%", "70%"]
    assert texts(page, ".finding .detail")[0] == "threshold 0.600 · sensitivity 0.90 · specificity 0.80"
    assert text(page, "#summary").startswith("2 of 4 ")
    assert "not calibrated" in text(page, "#scale")
    assert "by hand" in text(page, "#chosen")
    assert text(page, ".disclaimer") == "Research use only. Not for diagnosis."
    assert text(page, "#notice") == "Only a <test>."


def test_without_thresholds_there_are_no_decisions(page, server, images):
    show(page, server, images / "chest.png", plain="1")
    assert set(texts(page, ".finding .decision")) == {""}
    assert texts(page, ".tick") == []
    assert text(page, "#summary") == ""
    assert page.evaluate("document.getElementById('chosen').hidden")


def test_calibrated_probabilities_are_shown_on_request_and_named(page, server, images):
    show(page, server, images / "chest.png", calibrated="1")
    assert texts(page, ".finding .value")[0] == "0.985"
    page.evaluate("document.querySelector('#scale button').click()")
    assert dict(zip(texts(page, ".finding .name"), texts(page, ".finding .value"), strict=True)) == {
        "Mass": "0.125", "Edema": "0.125", "Pleural Thickening": "0.300", "<b>Left</b> & lung": "0.000"
    }  # fmt: skip
    assert "calibrated probabilities" in text(page, "#scale")
    assert page.evaluate("document.activeElement === document.querySelector('#scale button')")


def test_a_broken_file_gives_one_sentence_and_the_others_go_on(page, server, images):
    names = ("text.txt", "empty.png", "large.png", "noise.png", "chest.png")
    show(page, server, *(images / name for name in names))
    assert page.evaluate("[...document.querySelectorAll('.tile')].map((tile) => tile.dataset.state)") == [
        "failed", "failed", "failed", "done", "done"
    ]  # fmt: skip
    errors = []
    for number in range(3):
        page.evaluate(f"document.querySelectorAll('.tile input')[{number}].click()")
        errors.append(text(page, "#error"))
        assert page.evaluate("document.getElementById('save-overlay').disabled")
        assert not page.evaluate("document.getElementById('list').checkVisibility()")
    assert errors[0] == "not an image: expected a radiograph"
    assert "empty" in errors[1]
    assert errors[2].startswith("1000001 bytes")
    assert text(page, "#queue") == "5 of 5 done · 3 not readable"
    page.evaluate("document.querySelectorAll('.tile input')[3].click()")
    assert texts(page, ".finding .decision") == ["meaningless"] * 4
    assert texts(page, ".tick") == []
    assert "meaningless" in text(page, "#summary")
    assert texts(page, ".warnings li")[0].startswith("probably inverted")
    page.evaluate("document.getElementById('language').click()")
    assert texts(page, ".warnings li")[0].startswith("可能黑白反转")


def test_a_network_that_cannot_be_loaded_is_one_sentence(page, server, images):
    sentence = "The network cannot be loaded: build the page again."
    show(page, server, broken="1")
    page.wait("!document.getElementById('failure').hidden")
    assert text(page, "#failure") == sentence
    show(page, server, images / "chest.png", broken="1")
    assert text(page, "#error") == sentence


def test_everything_is_reached_by_keyboard(page, server, images):
    show(page, server, *(images / name for name in ("chest.png", "text.txt", "deep.png")))
    page.evaluate("document.getElementById('reset-window').disabled = false")
    page.evaluate("document.activeElement.blur()")
    visited = []
    for _ in range(40):
        page.key("Tab")
        if (name := focused(page)) in visited[:1]:
            break
        visited.append(name)
    buttons = "language theme zoom-out zoom-in fit actual canvas reset-window save-overlay save-json save-csv add remove clear"
    tiles = page.evaluate("document.querySelector('.tile :checked').value")
    sliders = [page.evaluate(f"document.getElementById('{name}').value") for name in ("opacity", "center", "width")]
    assert set(visited) >= {*buttons.split(), *sliders, "pan", "Mass", tiles}

    page.evaluate("document.querySelector('.finding :checked').focus()")
    page.key("ArrowDown")
    assert text(page, ".finding:has(:checked) .name") == "Pleural Thickening"
    assert page.evaluate("document.getElementById('canvas').ariaLabel").endswith("Pleural Thickening")
    page.evaluate("document.querySelector('.tile :checked').focus()")
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert text(page, "#caption bdi") == "deep.png"
    page.wait("document.getElementById('cover').hidden")
    assert text(page, ".finding:has(:checked) .name") == "Pleural Thickening"  # kept from the other image
    page.key("Delete")
    assert text(page, "#caption bdi") == "text.txt"
    page.evaluate("document.getElementById('canvas').focus()")
    page.key("PageUp")
    assert text(page, "#caption bdi") == "chest.png"
    page.evaluate("document.getElementById('clear').click()")
    assert focused(page) == "choose"
    assert page.evaluate("document.getElementById('work').hidden")


def test_zoom_position_and_window_by_key_mouse_and_wheel(page, server, images):
    show(page, server, images / "deep.png")
    before = text(page, "#zoom")
    page.evaluate("document.getElementById('canvas').focus()")
    page.key("+", "+")
    assert text(page, "#zoom") != before
    page.key("0", "0")
    assert text(page, "#zoom") == before
    box = page.evaluate("(({x, y, width, height}) => [x + width / 2, y + height / 2])(canvas.getBoundingClientRect())")
    page.mouse("Wheel", *box, deltaX=0, deltaY=-300)
    page.wait(f"document.getElementById('zoom').textContent !== {json.dumps(before)}")
    page.evaluate("document.getElementById('fit').click()")

    assert (text(page, "#center-value"), text(page, "#width-value")) == ("1048", "95")  # 1000 to 1095
    for button, mode in (("right", "pan"), ("left", "window")):
        page.evaluate(f"document.querySelector('[name=mode][value={mode}]').click()")
        page.mouse("Pressed", *box, button=button, clickCount=1)
        page.mouse("Moved", box[0] + 200, box[1], button=button, buttons=2 if button == "right" else 1)
        page.mouse("Released", box[0] + 200, box[1], button=button)
        page.wait("Number(document.getElementById('width-value').textContent) > 130")
        assert text(page, "#corner").startswith("window ")
        page.evaluate("document.getElementById('reset-window').click()")
        assert text(page, "#width-value") == "95"
        assert text(page, "#corner") == ""
    page.evaluate("document.getElementById('canvas').focus()")
    page.key("ArrowUp", modifiers=SHIFT)
    assert int(text(page, "#center-value")) > 1048
    page.evaluate("{ const slider = document.getElementById('width'); slider.value = 2;"
                  "slider.dispatchEvent(new Event('input')); }")  # fmt: skip
    assert canvas_pixel(page, 0.5 - 0.1, 0.9)[:3] == [0, 0, 0]  # the samples grow from left to right
    assert canvas_pixel(page, 0.5 + 0.2, 0.9)[:3] == [255, 255, 255]


def test_the_map_follows_the_finding_and_the_opacity(page, server, images):
    show(page, server, images / "chest.png")
    page.evaluate("document.querySelector('.finding [value=Edema]').click()")  # its map is in the upper left corner
    page.wait("!document.getElementById('legend').hidden")
    scale = "Math.min(canvas.clientWidth, canvas.clientHeight)"
    left = page.evaluate(f"0.5 - {scale} / canvas.clientWidth / 2 + 0.02")
    red, _, blue, _ = canvas_pixel(page, left, 0.02)
    assert red > blue + 50
    page.evaluate("{ const slider = document.getElementById('opacity'); slider.value = 0;"
                  "slider.dispatchEvent(new Event('input')); }")  # fmt: skip
    red, green, blue, _ = canvas_pixel(page, left, 0.02)
    assert red == green == blue
    assert page.evaluate("document.getElementById('legend').hidden")


def test_results_and_pictures_are_saved(page, server, images, tmp_path):
    page._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    show(page, server, images / "胸片.png", images / "text.txt", images / "noise.png")
    for name in ("save-json", "save-csv", "save-overlay"):
        page.evaluate(f"document.getElementById('{name}').click()")
        page.wait("true")
    names = ["predictions.json", "predictions.csv", "胸片_Mass.png"]
    page.wait_for(lambda: all((tmp_path / name).exists() for name in names))
    content = json.loads((tmp_path / names[0]).read_text(encoding="utf-8"))
    assert [image["image"] for image in content["images"]] == ["胸片.png", "noise.png"]
    assert content["images"][0]["decisions"]["Mass"] is True
    assert content["errors"] == ["text.txt: not an image: expected a radiograph"]
    assert (tmp_path / names[1]).read_text(encoding="utf-8").splitlines()[1].startswith("胸片.png,0.02,0.985,0.3,9e-05,")
    picture = np.asarray(Image.open(tmp_path / names[2]).convert("RGB"))
    assert picture.shape[1] == 512
    assert picture.shape[0] > 512 + 60  # title and notice


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_untrusted_text_is_shown_as_text_and_fits(page, server, images, width):
    page.resize(width, 740)
    show(page, server, images / "<b>\u202egnp.png", notice=FOREIGN)
    assert page.evaluate("document.querySelectorAll('bdi b, [onerror]').length") == 0
    assert text(page, "#notice") == FOREIGN
    assert text(page, "#caption bdi") == "<b>\u202egnp.png"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.disclaimer').getBoundingClientRect().top >= 0")
    page.evaluate("scrollTo(0, 1e6)")
    assert page.evaluate("document.querySelector('.disclaimer').getBoundingClientRect().top >= 0")


def test_files_are_taken_by_drop_and_paste(page, server):
    show(page, server)
    transfer = "const transfer = new DataTransfer(); transfer.items.add(new File(['x'], 'dropped.txt'));"
    page.evaluate(f"{{ {transfer} document.body.dispatchEvent(new DragEvent('drop', "
                  "{ dataTransfer: transfer, bubbles: true, cancelable: true })); }")  # fmt: skip
    page.evaluate(f"{{ {transfer} document.body.dispatchEvent(new ClipboardEvent('paste', "
                  "{ clipboardData: transfer, bubbles: true })); }")  # fmt: skip
    page.wait("document.querySelectorAll('.tile').length === 2")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_state(page, server, images, language, theme):
    query = {"lang": language, "theme": theme}
    show(page, server, endless="1", **query)
    faults = [page.serious_faults()]
    for state in ({}, {"broken": "1"}):
        show(page, server, **query, **state)
        faults.append(page.serious_faults())
    show(page, server, images / "chest.png", calibrated="1", **query)
    page.evaluate("document.querySelector('#scale button').click()")
    faults.append(page.serious_faults())
    show(page, server, *(images / name for name in ("chest.png", "noise.png", "text.txt", "endless.png")), **query)
    for number in range(4):
        page.evaluate(f"document.querySelectorAll('.tile input')[{number}].click()")
        faults.append(page.serious_faults())
    page.resize(390, 844, mobile=True)
    faults.append(page.serious_faults())
    assert faults == [[]] * 9
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
