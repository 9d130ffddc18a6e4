"""The page in a browser as the server delivers it, and its engine."""

import base64
import json

import httpx
import numpy as np
import pytest
from api_server import CLASSES, THRESHOLDS, encoded, noise, png_of, running_server
from browser import Browser
from dicom_files import dataset, save

from chexnet.phantom import draw

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile"), "--lang=en-US") as page:
        yield page


@pytest.fixture
def page(browser, api):
    browser.errors.clear()
    browser.open(f"{api.url}/")
    browser.wait("!document.getElementById('page').hidden && document.getElementById('notice').textContent")
    yield browser
    assert [error for error in browser.errors if " 422 " not in error] == []


def choose(page, *paths) -> None:
    page.choose_file("#files", *paths)
    page.wait(f"document.querySelectorAll('.tile:is([data-state=done], [data-state=failed])').length === {len(paths)}")


ENGINE = """(async (base64, name) => {{
    const {{ default: createEngine }} = await import("./server_engine.js");
    const engine = await createEngine(() => {{}});
    const file = new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name);
    const progress = [];
    const result = await engine.predict(file, (step) => progress.push(step));
    const maps = {{}};
    for (const name of engine.model.classes) {{
        const map = await result.maps(name);
        maps[name] = {{ ...map, opacity: [...map.opacity] }};
    }}
    const bitmap = await createImageBitmap(result.gray);
    return {{ ...result, maps, gray: [bitmap.width, bitmap.height], model: engine.model, progress }};
}})({})"""


def test_the_engine_gives_the_results_of_the_api(page, api):
    content = png_of(1, 96)
    arguments = ", ".join(json.dumps(text) for text in (base64.b64encode(content).decode(), "胸片.png"))
    found = page.evaluate(ENGINE.format(arguments))
    expected = httpx.post(f"{api.url}/v1/predict?maps=all", content=content).json()["results"][0]
    assert found["name"] == "胸片.png"
    for name in ("width", "height", "meaningful", "warnings", "probabilities", "findings"):
        assert found[name] == expected[name]
    for name in CLASSES:
        opacity = np.frombuffer(base64.b64decode(expected["maps"][name]["opacity"]), np.uint8)
        assert found["maps"][name] == {"rows": 64, "columns": 64, "opacity": opacity.tolist()}
    assert (found["gray"], found["samples"]) == ([96, 96], None)
    assert found["model"] == httpx.get(f"{api.url}/v1/model").json()
    assert all(set(step) == {"stage", "fraction"} for step in found["progress"])


def test_images_are_predicted_on_the_page(page, api, tmp_path):
    (tmp_path / "chest.png").write_bytes(png_of(1, 96))
    (tmp_path / "noise.png").write_bytes(noise())
    (tmp_path / "text.png").write_text("no image")
    save(dataset(draw(["Mass"], 96).image), tmp_path / "chest.dcm")
    (tmp_path / "chest.tif").write_bytes(encoded(draw(["Mass"], 96).image, "TIFF"))
    choose(page, *(tmp_path / name for name in ("chest.png", "noise.png", "text.png", "chest.dcm", "chest.tif")))
    states = page.evaluate("[...document.querySelectorAll('.tile')].map((node) => node.dataset.state)")
    assert states == ["done", "done", "failed", "done", "done"]
    names = page.evaluate("[...document.querySelectorAll('.finding .name')].map((node) => node.textContent)")
    findings = httpx.post(f"{api.url}/v1/predict", content=png_of(1, 96)).json()["results"][0]["findings"]
    assert names == [finding["name"].replace("_", " ") for finding in findings]
    assert page.evaluate("document.querySelectorAll('#list b').length") == 0
    decisions = page.evaluate("[...document.querySelectorAll('.finding .decision')].map((node) => node.textContent)")
    assert decisions == ["present" if finding["present"] else "absent" for finding in findings]
    assert THRESHOLDS["Edema"] == 0.0
    assert "by hand" in page.evaluate("document.getElementById('chosen').textContent")


def test_the_token_is_asked_for_and_kept_in_the_tab_only(browser, api_predictor, tmp_path):
    with running_server(api_predictor, token=TOKEN) as served:
        browser.errors.clear()
        browser.open(f"{served.url}/")
        browser.wait("document.querySelector('dialog[open] input') !== null")
        for token, state in (
            ("wrong", "document.querySelector('dialog [role=alert]')?.textContent"),
            (TOKEN, "!document.querySelector('dialog')"),
        ):
            browser.evaluate(f"document.querySelector('dialog input').value = {json.dumps(token)}")
            browser.evaluate("document.querySelector('dialog form').requestSubmit()")
            browser.wait(state)
        browser.wait("document.getElementById('notice').textContent")
        (tmp_path / "chest.png").write_bytes(png_of(1, 96))
        choose(browser, tmp_path / "chest.png")
        assert browser.evaluate("Object.values(sessionStorage)") == [TOKEN]
        assert browser.evaluate("[localStorage.length, document.cookie, location.search + location.hash]") == [
            0,
            "",
            "",
        ]
        browser.open(f"{served.url}/?again")  # the tab keeps it
        browser.wait("document.getElementById('notice').textContent")
    assert all("401" in error for error in browser.errors), browser.errors


def test_a_canceled_token_is_an_error_on_the_page(browser, api_predictor):
    with running_server(api_predictor, token=TOKEN) as served:
        browser.open(f"{served.url}/?canceled")
        browser.wait("document.querySelector('dialog[open]') !== null")
        browser.evaluate("document.querySelector('dialog button[type=button]').click()")
        browser.wait("document.getElementById('failure').textContent.includes('token')")


def test_the_dialog_has_no_serious_faults(browser, api_predictor, tmp_path):
    with running_server(api_predictor, token=TOKEN) as served:
        browser.open(f"{served.url}/?dialog")
        browser.wait("document.querySelector('dialog[open]') !== null")
        assert browser.screenshot(900, 600).startswith(b"\x89PNG")
        assert browser.serious_faults() == []


def test_a_server_that_ends_is_an_error_on_the_page(browser, api_predictor, tmp_path):
    (tmp_path / "chest.png").write_bytes(png_of(1, 96))
    with running_server(api_predictor) as served:
        browser.open(f"{served.url}/?ended")
        browser.wait("document.getElementById('notice').textContent")
    browser.choose_file("#files", tmp_path / "chest.png")
    browser.wait("document.querySelector('.tile[data-state=failed]') !== null")
    assert "does not answer" in browser.evaluate("document.getElementById('error').textContent")
