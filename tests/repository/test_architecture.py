"""Modules import downwards only, and the light ones stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = (
    {"errors", "argument_types", "settings"},
    {"files", "json_files", "text_files", "threads", "config", "framework", "process"},
    {
        "labels",
        "csv_files",
        "images",
        "transforms",
        "metrics",
        "backbone_registry",
        "checkpoint",
        "device",
        "download",
        "shipped",
    },
    {"lists", "backbones"},
    {"boxes", "phantom", "cache", "model", "convert", "guards", "thresholds"},
    {"data", "export", "cam", "audit", "predictions"},
    {"training", "engine", "drawing", "report"},
    {"predictor"},
    {"evaluation", "localization", "deployment", "utility"},
    {"cli", "web"},
)
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
WITHOUT_PADDLE = {
    "errors",
    "files",
    "backbone_registry",
    "json_files",
    "text_files",
    "csv_files",
    "threads",
    "labels",
    "images",
    "transforms",
    "metrics",
    "lists",
    "audit",
    "predictions",
    "report",
    "boxes",
    "guards",
    "thresholds",
    "shipped",
    "phantom",
    "cache",
    "config",
    "download",
    "cli",
    "process",
    "argument_types",
    "settings",
}
LIBRARY = ROOT / "chexnet"
EXAMPLES = tuple(ROOT / f"examples/{name}.py" for name in ("cifar10", "ichallenge_pm", "mnist"))
BENCHMARKS = (ROOT / "benchmarks/__main__.py", ROOT / "benchmarks/backbones.py")
SCRIPTS = sorted([*ROOT.glob("*.py"), *ROOT.glob("tools/*.py"), *EXAMPLES, *BENCHMARKS])


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def module_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


HEAVY = {"paddle", "numpy", "PIL", "sklearn", "scipy", "torch", "matplotlib", "tqdm", "openpyxl"}

SOURCES = sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_module_imports_from_lower_floors_only(path):
    module = module_of(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("chexnet.")} - {module, "__version__"}
    assert not {name for name in used if FLOOR_OF[name] >= FLOOR_OF[module]}
    if module in WITHOUT_PADDLE:
        assert not any(name.split(".")[0] == "paddle" or name == "chexnet.device" for name in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_paddle_is_first_imported_by_the_framework_module(path):
    """Its side effects are undone there: a package does that before its modules, another module itself."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = [name for node in body if isinstance(node, ast.Import) for name in (one.name for one in node.names)]
    names += [str(node.module) for node in body if isinstance(node, ast.ImportFrom)]
    if path.name != "framework.py" and any(name.split(".")[0] == "paddle" for name in names):
        package = path.parent / "__init__.py"
        assert package.parent != LIBRARY, f"{path.name}: from chexnet.device import paddle"
        own = [node for node in ast.parse(package.read_text(encoding="utf-8")).body if not isinstance(node, ast.Expr)]
        assert isinstance(own[0], ast.Import)
        assert own[0].names[0].name == "chexnet.device"


def test_no_module_imports_a_script():
    scripts = {path.stem for path in [*SCRIPTS, *ROOT.glob("examples/*.py")]} - {"backbones"}
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imports(path)} & scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_needs_nothing_heavy(script):
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{str(script)!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as exit:\n"
        "    assert exit.code == 0\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--debug" in done.stdout
