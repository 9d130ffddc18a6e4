"""Imports leave the process as it was."""

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


def test_png_is_read_for_every_order_of_imports(tmp_path):
    """Paddle 2.6 contains a zlib that conflicts with the system's, if that is loaded later."""
    write_png(tmp_path / "image.png")
    read = f"from chexnet.data import images; images.read({str(tmp_path / 'image.png')!r})"
    done = run_python("-W", "ignore", "-c", f"import chexnet, paddle\n{read}")
    assert done.returncode == 0, done.stderr
    done = run_python("-c", f"from chexnet import device\n{read}")
    assert (done.returncode, done.stderr) == (0, b"")
    done = run_python("-c", f"import paddle\n{read}")
    if done.returncode:
        assert b"RuntimeWarning: Pillow cannot read PNG files" in done.stderr
