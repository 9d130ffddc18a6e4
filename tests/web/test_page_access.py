"""The page for everybody: accessibility in every state, narrow windows, and untrusted text."""

import pytest
from stub_page import browser, images, page, server, show, text

__all__ = ["browser", "images", "page", "server"]  # fixtures

pytestmark = pytest.mark.browser

FOREIGN = "<img src=x onerror=alert(1)> \u202e\u2066 \x1b[2J" + "long" * 500
"""Markup, bidirectional control characters, a terminal command, and a long word."""


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
