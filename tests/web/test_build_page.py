"""tools/build_page.py: what it refuses, and what a built page consists of."""

import re
import shutil
import sys

import pytest
from conftest import ROOT

from chexnet.errors import InputError

sys.path.insert(0, str(ROOT / "tools"))
import build_page as script


@pytest.fixture
def static_page(monkeypatch, tmp_path):
    """The module, with a folder of npm packages."""
    from chexnet.web import static_page

    worker = tmp_path / "worker"
    (worker / "node_modules" / "esbuild").mkdir(parents=True)
    monkeypatch.setattr(static_page, "WORKER", worker)
    monkeypatch.setattr(static_page.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(static_page.engines, "why_no_onnx", lambda: "")
    return static_page


def test_missing_programs_and_packages_are_one_line_with_the_command(static_page, monkeypatch, tmp_path):
    shutil.rmtree(static_page.WORKER / "node_modules")
    with pytest.raises(InputError, match=r"run `npm ci --prefix .*worker`$"):
        static_page.check_output(tmp_path / "page", [])
    monkeypatch.setattr(static_page.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"^node: not found"):
        static_page.check_output(tmp_path / "page", [])
    monkeypatch.setattr(static_page.engines, "why_no_onnx", lambda: "needs paddle2onnx")
    with pytest.raises(InputError, match="needs paddle2onnx"):
        static_page.check_output(tmp_path / "page", [])


def test_a_folder_with_other_files_is_refused(static_page, tmp_path):
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").touch()
    static_page.check_output(folder, [])
    (folder / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"thesis\.txt"):
        static_page.check_output(folder, [])
    with pytest.raises(InputError, match="is read by this run"):
        static_page.check_output(tmp_path / "new", [tmp_path / "new" / "model.pdparams"])


def test_the_script_refuses_before_it_loads_the_network(static_page, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(static_page.shutil, "which", lambda name: None)
    ckpt = ROOT / "pretrained_models" / "phantom_densenet121.safetensors"
    assert script.main(["--ckpt", str(ckpt), "--out", str(tmp_path / "page")]) == 2
    assert "node: not found" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


@pytest.fixture
def copied(static_page, tmp_path):
    """The page's own files as they are built."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in static_page._own_files():
        shutil.copy(path, folder)
    html = static_page._static_index((static_page.PAGE / "index.html").read_text(encoding="utf-8"))
    (folder / "index.html").write_text(html, encoding="utf-8")
    return folder


def test_the_page_refers_to_its_own_files_only(static_page, copied):
    static_page.check_references(copied)
    html = (copied / "index.html").read_text(encoding="utf-8")
    assert 'name="engine" content="local"' in html
    assert not re.search(r"<script(?![^>]* src=)|<[^>]+ (?:style|on\w+)=", html)  # the policy refuses inline code


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("index.html", ("default-src 'none'; ", "default-src 'none' https://cdn.example; ")),
        ("index.html", ("Content-Security-Policy", "Refresh")),
        ("index.html", ('src="page.js"', 'src="//cdn.example/page.js"')),
        ("page.js", ('"./dom.js"', '"https://cdn.example/dom.js"')),
        ("page.js", ('"./dom.js"', '"./domain.js"')),
        ("page.css", ("background: var(--card)", "background: url('https://cdn.example/x.png')")),
    ],
)
def test_a_reference_to_another_place_is_refused(static_page, copied, name, change):
    text = (copied / name).read_text(encoding="utf-8")
    assert change[0] in text
    (copied / name).write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError):
        static_page.check_references(copied)


def test_licenses_name_every_package_that_is_bundled(static_page, tmp_path):
    from chexnet.web import package_licenses

    (static_page.WORKER / "package-lock.json").write_text(
        '{"packages": {"": {}, "node_modules/esbuild": {"version": "1", "dev": true},'
        '"node_modules/@a/codec": {"version": "2.0", "license": "MIT"}}}'
    )
    (static_page.WORKER / "NOTICES.txt").write_text("Notices.")
    package = static_page.WORKER / "node_modules" / "@a" / "codec"
    package.mkdir(parents=True)
    (package / "LICENSE.md").write_text("Permission is granted.")
    text = package_licenses.collect(static_page.WORKER)
    assert re.search(r"Notices\..*@a/codec 2\.0, license MIT.*Permission is granted\.", text, re.DOTALL)
    assert "esbuild" not in text
