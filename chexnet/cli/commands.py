"""The command `chexnet`: its sub-commands are the scripts.

    chexnet train --data_dir dataset/images
    chexnet predict image.png

An installed package contains the scripts in `chexnet/scripts`; a checkout has them in the root and in `tools/`.
"""

import ast
import difflib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from chexnet import __version__
from chexnet.errors import InputError, printable

SCRIPTS = {
    "train": "train.py",
    "eval": "eval.py",
    "predict": "predict.py",
    "convert": "convert_torch_weights.py",
    "serve": "tools/serve.py",
    "page": "tools/build_page.py",
    "dicom_node": "tools/dicom_node.py",
    "export": "tools/export.py",
    "report": "tools/report.py",
    "agreement": "tools/compare_labels.py",
    "plan": "tools/plan_test.py",
    "localize": "tools/localize.py",
    "shortcuts": "tools/shortcuts.py",
    "sheet": "tools/contact_sheet.py",
    "parts": "tools/score_parts.py",
    "lists": "tools/prepare_lists.py",
    "audit": "tools/audit_split.py",
    "cache": "tools/build_cache.py",
    "download": "tools/download_nih.py",
    "phantom": "tools/make_phantom.py",
    "demo": "tools/demo.py",
    "release": "tools/release_weights.py",
    "card": "tools/model_card.py",
    "check_gpu": "tools/check_gpu.py",
    "doctor": "tools/doctor.py",
    "completion": "tools/completion.py",
}
"""Sub-command -> script."""

_PROGRAM = "chexnet "
"""Beginning of `sys.argv[0]` while a sub-command runs; argparse shows it in usage lines."""

_ROOT = Path(__file__).parents[2]
_INSTALLED = Path(__file__).parents[1] / "scripts"


_NAMES = {Path(script).name: name for name, script in SCRIPTS.items()}
_SCRIPT = re.compile(rf"(?<![\w./-])(?:python )?(?:tools/)?({'|'.join(map(re.escape, _NAMES))})(?![\w-]|\.\w)")


def script_path(script: str) -> Path:
    """Return the file of a script, which SCRIPTS names."""
    installed = _INSTALLED / Path(script).name
    return installed if installed.is_file() else _ROOT / script


def load_script(script: str) -> ModuleType:
    """Import a script, which SCRIPTS names, and return its module."""
    path = script_path(script)
    spec = importlib.util.spec_from_file_location(f"chexnet_script_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path}: no such script; install the package again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def summary(script: str) -> str:
    """Return the first line of a script's docstring, without importing the script."""
    tree = ast.parse(script_path(script).read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit code; without one, list them."""
    command, *arguments = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    if command in SCRIPTS:
        sys.argv[0] = _PROGRAM + command
        return int(load_script(SCRIPTS[command]).main(arguments))
    if command in ("-h", "--help"):
        print(_help())
    elif command == "--version":
        print(f"Paddle-CheXNet {__version__}")
    else:
        close = difflib.get_close_matches(command, SCRIPTS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        print(f"error: no command {printable(command)!r} ({hint}chexnet --help lists the commands)", file=sys.stderr)
        return 2
    return 0


def _help() -> str:
    width = max(map(len, SCRIPTS)) + 2
    lines = [f"  {name:{width}}{summary(script)}" for name, script in SCRIPTS.items()]
    return "\n".join(
        [
            "usage: chexnet COMMAND [flags]",
            "",
            "CheXNet in PaddlePaddle: 14 findings on frontal chest radiographs.",
            "",
            "commands:",
            *lines,
            "",
            "chexnet COMMAND --help lists the flags of a command.",
        ]
    )


def name_commands(text: str) -> str:
    """Return a text with `chexnet train` for `python train.py` and `train.py`, if this process runs a sub-command."""
    if not sys.argv[0].startswith(_PROGRAM):
        return text
    return _SCRIPT.sub(lambda match: _PROGRAM + _NAMES[match[1]], text)
