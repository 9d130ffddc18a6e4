"""Names, links, scripts and flags in the documents exist."""

import importlib
import re

import pytest
from conftest import ROOT, load_script

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/zh/*.md")])
NAME = re.compile(r"`(chexnet(?:\.\w+)+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_that_begins_with_chexnet_can_be_imported(document):
    for name in NAME.findall(document.read_text(encoding="utf-8")):
        module, _, attribute = name.rpartition(".")
        try:
            found = hasattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:
            found = False
        if not found:
            importlib.import_module(name)


def anchors(document) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(document):
    for target in re.findall(r"\]\(([^)\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            linked = document.parent / path if path else document
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


COMMAND = re.compile(r"python ((?:\w+/)?\w+\.py)((?:\\\n|[^\n`|;&])*)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_names_an_existing_script_and_its_flags(document):
    for path, rest in COMMAND.findall(document.read_text(encoding="utf-8")):
        assert (ROOT / path).is_file(), path
        flags = load_script(path).build_parser()._option_string_actions
        assert not {flag for flag in re.findall(r"--\w+", rest.partition("#")[0]) if flag not in flags}, (path, rest)
