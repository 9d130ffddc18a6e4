"""Packages import downwards only, and the light ones do not import Paddle."""

import ast
import importlib
import json
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT, load_script

GROUND = {
    "_lazy",
    "_types",
    "cli",
    "config",
    "device",
    "distributed",
    "errors",
    "files",
    "gpu_memory",
    "known_lists",
    "labels",
    "prefetch",
    "published",
}
WINGS = {
    "metrics": {"errors"},
    "data": GROUND,
    "phantom": GROUND | {"data"},
    "model": GROUND | {"data"},
    "training": GROUND | {"metrics", "data", "model"},
    "inference": GROUND | {"metrics", "data", "phantom", "model"},
    "evaluation": GROUND | {"metrics", "data", "model", "inference"},
    "web": GROUND | {"metrics", "data", "phantom", "model", "inference"},
    "gpu": GROUND | {"model", "training"},
    "doctor": GROUND | {"gpu", "inference"},
}
"""Package -> packages that it may import."""

WITHOUT_PADDLE = (
    *(
        "_lazy",
        "_types",
        "cli",
        "config",
        "device",
        "errors",
        "files",
        "known_lists",
        "labels",
        "prefetch",
        "published",
    ),
    *("metrics", "phantom", "inference", "evaluation", "web", "doctor"),
    *(f"gpu.{module}" for module in ("gpu_check", "libraries", "paddle_build")),
    *(f"data.{name}" for name in ("audit", "cache", "download", "images", "lists", "transforms", "loader")),
    *(f"model.{name}" for name in ("checkpoint", "class_maps", "feature_grid", "loading", "model_config")),
)
LIBRARY = ROOT / "chexnet"
EXAMPLES = tuple(ROOT / f"examples/{name}.py" for name in ("cifar10", "ichallenge_pm", "mnist"))
BENCHMARKS = tuple(
    ROOT / f"benchmarks/{name}.py" for name in ("__main__", "backbones", "gpu", "recipes", "shortcut_networks")
)
SCRIPTS = sorted([*ROOT.glob("*.py"), *ROOT.glob("tools/*.py"), *EXAMPLES, *BENCHMARKS])


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


HEAVY = {"paddle", "numpy", "PIL", "sklearn", "scipy", "torch", "matplotlib", "jinja2", "tqdm", "openpyxl"}

SOURCES = sorted(LIBRARY.rglob("*.py"))

ARCHITECTURE = load_script("docs/draw_architecture.py")
MODULES, dependencies = ARCHITECTURE.MODULES, ARCHITECTURE.dependencies


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_wings_import_downwards(path):
    top = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in dependencies(path) if name != "chexnet"} - {top}
    if top in GROUND:
        assert used <= GROUND
    elif top in WINGS:
        assert used <= WINGS[top]
    else:
        assert top in ("__init__", "__main__", "utility")


LAZY = [path for path in SOURCES if path.name == "__init__.py" and "TYPE_CHECKING:" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", LAZY, ids=ARCHITECTURE.dotted)
def test_lazy_names_are_those_that_type_checkers_see(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    branches = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for branch in branches for node in branch.body if isinstance(node, ast.ImportFrom)]
    (exports,) = (ast.literal_eval(node) for node in ast.walk(tree) if isinstance(node, ast.Dict))
    assert {alias.name for node in imports for alias in node.names} == set(exports)
    package = importlib.import_module(ARCHITECTURE.dotted(path))
    for name in exports:
        getattr(package, name)


def test_no_cycles():
    """Imports inside functions count too."""
    graph = {name: dependencies(path) for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_light_packages_work_without_paddle():
    """Import every module of the light packages while Paddle is blocked."""
    code = (
        "import importlib, pkgutil, sys\n"
        "sys.modules['paddle'] = None\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module('chexnet.' + name)\n"
        "    for info in pkgutil.walk_packages(getattr(module, '__path__', []), module.__name__ + '.'):\n"
        "        importlib.import_module(info.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *WITHOUT_PADDLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_architecture_diagram_is_up_to_date():
    """If this fails, run docs/draw_architecture.py."""
    assert ARCHITECTURE.draw() == ARCHITECTURE.PICTURE.read_text(encoding="utf-8")


def test_no_two_files_have_one_name():
    """A name in a stack trace or in an editor's tab identifies the file."""
    folders = [LIBRARY, *(ROOT / name for name in ("benchmarks", "examples", "tests", "tools"))]
    files = [path for folder in folders for path in folder.rglob("*.py")] + list(ROOT.glob("*.py"))
    counts = Counter(path.name for path in files)
    assert {name for name, count in counts.items() if count > 1} <= {"__init__.py", "__main__.py", "conftest.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_paddle_is_first_imported_by_the_device_module(path):
    """chexnet.device undoes the side effects of that import, so a package imports it before its modules."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = [name for node in body if isinstance(node, ast.Import) for name in (alias.name for alias in node.names)]
    names += imported_in_order(path)
    if path.name != "device.py" and any(name.split(".")[0] == "paddle" for name in names):
        package = path.parent / "__init__.py"
        first = next(name for name in imported_in_order(package) if not name.startswith("chexnet.config."))
        assert first == "chexnet.device.paddle", f"{path.name}: from chexnet.device import paddle"


def imported_in_order(path: Path) -> list[str]:
    """Return the dotted names that the top level of a file imports, in the order of the lines."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [f"{node.module}.{alias.name}" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_no_module_imports_a_script():
    scripts = {path.stem for path in [*SCRIPTS, *ROOT.glob("examples/*.py")]} - {"backbones"}
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imports(path)} & scripts


HELP = """
import contextlib, io, json, runpy, sys
for script in sys.argv[1:]:
    sys.argv, code = [script, "--help"], None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as exit:
            code = exit.code
    print(json.dumps([script, code, printed.getvalue(), list(sys.modules)]))
"""


@pytest.fixture(scope="module")
def helped():
    """Show the help of every script in one process: script -> exit code, what it printed, modules imported so far."""
    command = [sys.executable, "-c", HELP, *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {script: found for script, *found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_needs_nothing_heavy(script, helped):
    code, printed, modules = helped[str(script)]
    assert code == 0
    assert "--debug" in printed
    assert not HEAVY & set(modules), "imported by this script or one before it"
