"""Imports leave the process as it was."""

import ast

import paddle
import pytest
from conftest import run_python, write_png

IMPORT_ALL = """
import importlib.util, logging, os, pathlib, pkgutil, warnings, zlib
# Changes by the imports of other packages are not ours.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle
import matplotlib, numpy, PIL.Image, safetensors.numpy, scipy.stats, sklearn.metrics, tqdm
for optional in ("pydicom", "torch"):
    if importlib.util.find_spec(optional):
        importlib.import_module(optional)
def state():
    loggers = {name: logger.level for name, logger in known.items()}
    status = pathlib.Path("/proc/self/status")
    caught = [line for line in status.read_text().split("\\n") if line.startswith("SigCgt")] if status.exists() else []
    return list(warnings.filters), dict(os.environ), list(logging.root.handlers), loggers, caught
known = {name: logger for name, logger in logging.root.manager.loggerDict.items() if hasattr(logger, "level")}
before = state()
import chexnet
for module in pkgutil.walk_packages(chexnet.__path__, "chexnet."):
    importlib.import_module(module.name)
for old, new in zip(before, state()):
    assert old == new, (old, new)
"""


def test_importing_every_module_changes_nothing():
    done = run_python("-c", IMPORT_ALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_importing_paddle_through_us_prints_nothing_and_keeps_the_signals():
    code = (
        "import signal, warnings\n"
        "def handler(*_): ...\n"
        "signal.signal(signal.SIGTERM, handler)\n"
        "from chexnet.inference import engines; from chexnet import training\n"
        "import paddle, os\n"
        "assert signal.getsignal(signal.SIGTERM) is handler\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"  # Paddle's own handler would end the process
        "print('lives')\n"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"lives\n", b"")


@pytest.mark.parametrize(
    "first",
    [
        "import chexnet, paddle",
        "from chexnet import device",
        "import zlib, paddle, chexnet",
    ],
)
def test_png_is_read_if_paddle_is_not_the_first_import(tmp_path, first):
    """Paddle 2.6 contains a zlib that conflicts with the system's, if that is loaded later."""
    write_png(tmp_path / "image.png")
    read = f"from chexnet.data import images; images.read({str(tmp_path / 'image.png')!r})"
    done = run_python("-W", "ignore:No ccache", "-c", f"{first}\n{read}")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("chexnet", ["chexnet", "chexnet.training"])
def test_paddle_as_the_first_import_is_harmless_or_said_in_one_line(tmp_path, chexnet):
    write_png(tmp_path / "image.png")
    code = (
        "import paddle, warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        f"    import {chexnet}\n"
        "print([str(item.message) for item in caught if 'PNG' in str(item.message)])\n"
        f"from chexnet.data import images; images.read({str(tmp_path / 'image.png')!r})"
    )
    done = run_python("-W", "ignore:No ccache", "-c", code)
    said = ast.literal_eval(done.stdout.decode())
    assert bool(done.returncode) == bool(said)
    if said:
        (line,) = said
        assert "paddle was imported before zlib; import chexnet first" in line
        assert "\n" not in line
    if paddle.__version__.startswith("3."):
        assert not said
