"""What the documents name exists."""

import importlib
import re

import pytest
from conftest import ROOT, load_script

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md")])
NAME = re.compile(r"`(chexnet(?:\.\w+)+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_in_code_that_begins_with_chexnet_can_be_imported(document):
    for name in NAME.findall(document.read_text(encoding="utf-8")):
        module, _, attribute = name.rpartition(".")
        try:
            found = hasattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:
            found = False
        if not found:
            importlib.import_module(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document):
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


COMMAND = re.compile(r"python ((?:\w+/)?\w+\.py)((?:\\\n|[^\n`|;&])*)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_names_a_script_and_flags_that_it_has(document):
    for path, rest in COMMAND.findall(document.read_text(encoding="utf-8")):
        assert (ROOT / path).is_file(), path
        flags = load_script(path).build_parser()._option_string_actions
        assert not {flag for flag in re.findall(r"--\w+", rest.partition("#")[0]) if flag not in flags}, (path, rest)
