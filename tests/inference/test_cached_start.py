"""Processes that start with a cached graph, and processes that are writing one."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest
from conftest import ROOT, make_folder, run_python

from chexnet.inference import Predictor, engines
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint

COMPILED = [name for name in ("openvino", "onnxruntime") if not engines.why_unavailable(name)]

pytestmark = pytest.mark.skipif(not COMPILED, reason="no engine whose graphs are kept is installed")

WITHOUT_PADDLE = """
import contextlib, io, json, sys
if sys.argv[1] == "blocked":
    sys.modules["paddle"] = None
import eval, predict
from conftest import run_script
for script, *arguments in json.loads(sys.argv[2]):
    main = {"eval.py": eval, "predict.py": predict}[script].main if "/" not in script else None
    assert (main(arguments) if main else run_script(script, *arguments)) == 0, script
"""


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A network with class maps for small images."""
    paddle.seed(0)
    path = tmp_path_factory.mktemp("ckpt") / "googlenet.pdparams"
    config = {"backbone": "googlenet", "resize": 64, "crop": 61, "classes": CLASS_NAMES}
    checkpoint.save_checkpoint(CheXNet(14, "googlenet").state_dict(), path, config)
    return path


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    path = tmp_path_factory.mktemp("ckpt") / "lenet.pdparams"
    config = {"backbone": "lenet", "resize": 36, "crop": 32, "classes": CLASS_NAMES}
    checkpoint.save_checkpoint(CheXNet(14, "lenet").state_dict(), path, config)
    return path


def outputs(done, folder):
    """Return the standard output without the lines about the cache, and the content of the files."""
    assert done.returncode == 0, done.stderr.decode()
    lines = [line for line in done.stdout.decode().splitlines() if "graph cache" not in line]
    return lines, {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_second_start_does_not_need_paddle(tmp_path, ckpt):
    """Predictions, evaluation, localization and sheets print and write the same with Paddle and without."""
    images, listed = make_folder(tmp_path, 4)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("Image Index,Finding Label,Bbox [x,y,w,h],,,\nlist_000.png,Mass,100,100,500,500,,,\n")
    out = tmp_path / "out"
    image = str(images / "list_000.png")
    common = ["--ckpt", str(ckpt), "--graph_cache", str(tmp_path / "graphs"), "--num_workers", "0"]
    scored = [*common, "--data_dir", str(images), "--test_list", str(listed)]
    boxes_of = [*scored, "--boxes", str(boxes)]
    runs = [
        ["predict.py", image, *common, "--top", "1", "--cam", str(out / "cam"), "--output_csv", str(out / "p.csv")],
        ["eval.py", *scored, "--output_csv", str(out / "e.csv")],
        ["tools/localize.py", *boxes_of],
        ["tools/contact_sheet.py", image, *common, "--output", str(out / "sheet.png")],
    ]
    found = []
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/support")))
    for how in ("first", "blocked"):
        out.mkdir()
        done = run_python("-c", WITHOUT_PADDLE, how, json.dumps(runs), PYTHONPATH=path)
        found.append(outputs(done, out))
        out.rename(tmp_path / how)
    (first_lines, first), (second_lines, second) = found
    assert second_lines == first_lines
    assert second.keys() == first.keys()
    assert len(first) == 4
    for name in first:
        assert second[name] == first[name], name


def test_a_paddle_for_gpus_is_asked_for_the_device():
    """Only its import tells whether there is a GPU; one for CPUs, or the CPU by request, needs none."""
    code = (
        "import sys\n"
        "from chexnet import device\n"
        "device._installed_build = lambda: {'full_version': 'x', 'cuda_version': sys.argv[1]}\n"
        "device.set_device(sys.argv[2])\n"
        "print('paddle' in sys.modules, device.is_gpu(), device.device_name(), device.paddle_version())\n"
        "assert device.paddle.get_device() == 'cpu' and not device.is_gpu()\n"
    )
    for build, choice, imported in (("False", "auto", b"False"), ("11.8", "cpu", b"False"), ("11.8", "auto", b"True")):
        done = run_python("-c", code, build, choice, CUDA_VISIBLE_DEVICES="")
        assert (done.stdout.split(), done.returncode) == ([imported, b"False", b"CPU", b"x"], 0), done.stderr


def test_the_version_of_paddle_is_known_without_its_import():
    code = "import sys\nfrom chexnet import device\nv = device.paddle_version()\nassert 'paddle' not in sys.modules\n"
    done = run_python("-c", code + "import paddle\nprint(v == paddle.__version__)\n")
    assert done.stdout == b"True\n", done.stderr


PREDICT = """
import os, signal, sys
import numpy as np
from chexnet.files import writing
from chexnet.inference import Predictor
import paddle  # once, before the children start
ckpt, folder, *places = sys.argv[1:]

def predict(folder):
    predictor = Predictor(ckpt, device="cpu", graph_cache=folder, crops=1)
    print(predictor.predict_crops(np.full((1, 1, 32, 32), 9, np.uint8)).tolist())

if not places:
    predict(folder)
for place in places:
    if process := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    else:  # the process dies before or after the temporary file is complete
        setattr(writing, place, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        predict(f"{folder}/{place}")
        os._exit(0)
"""
"""Program that predicts, or whose children predict and die in a function of chexnet.files.writing."""

PLACES = ("sync", "_rename", "sync_folder")


@pytest.fixture(scope="module")
def killed(tmp_path_factory, lenet):
    """A folder with a graph cache for each of PLACES."""
    folder = tmp_path_factory.mktemp("killed")
    done = run_python("-c", PREDICT, str(lenet), str(folder), *PLACES)
    assert done.stdout.split() == [b"-9"] * len(PLACES), done.stderr
    return folder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_kill_while_writing_leaves_a_whole_entry_or_none(tmp_path, lenet, killed, place):
    graphs = shutil.copytree(killed / place, tmp_path / "graphs")
    names = [path.name for path in graphs.iterdir()]
    assert len(names) == 1
    assert names[0].startswith(".") == (place != "sync_folder")
    crops = np.full((1, 1, 32, 32), 9, np.uint8)
    lines = []
    options = {"device": "cpu", "crops": 1, "graph_cache": str(graphs), "log": lines.append}
    found = Predictor(str(lenet), **options).predict_crops(crops)
    np.testing.assert_array_equal(
        found, Predictor(str(lenet), **{**options, "graph_cache": "off"}).predict_crops(crops)
    )
    assert len(lines) == (place != "sync_folder")  # written now


def test_two_processes_write_the_same_entry_at_once(tmp_path, lenet):
    command = [sys.executable, "-c", PREDICT, str(lenet), str(tmp_path / "graphs")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    results = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert len({stdout for stdout, _ in results}) == 1
    assert len(list((tmp_path / "graphs").iterdir())) == 1
