"""What a whole process costs: time to start, memory."""

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Comparison, in_child, interleaved, seconds
from benchmarks.material import Data, Material, Scale
from chexnet.config import EvalConfig
from chexnet.data.transforms import Preprocessing

ROOT = Path(__file__).parent.parent
IMPORT = "import paddle alone"


def startup(material: Material, scale: Scale) -> list[Comparison]:
    """`eval.py --help`, and eval.py on one image from start to end, against `import paddle` alone."""
    data = material.repeated(1)
    flags = ["--data_dir", data.data_dir, "--test_list", data.list_file, "--ckpt", material.ckpt, "--device", "cpu"]
    sides = {
        "eval.py --help": seconds(lambda: _python("eval.py", "--help")),
        "eval.py on one image, from start to end": seconds(lambda: _python("eval.py", *map(str, flags))),
        IMPORT: seconds(lambda: _python("-c", "import paddle")),
    }
    values = interleaved(sides, scale.repetitions)
    reference = values.pop(IMPORT)
    return [Comparison("startup", ours, IMPORT, "s", own, reference) for ours, own in values.items()]


def memory(material: Material, scale: Scale) -> list[Comparison]:
    """Peak memory of evaluating long lists, against a short one. The images are small, to be done in time."""
    folder = material.folder / "small"
    folder.mkdir(exist_ok=True)
    small = Material(folder, images=20, size=48, preprocessing=Preprocessing(resize=40, crop=32))
    few, *more = scale.runs
    peaks = {count: in_child(_peak, small.repeated(count), small.ckpt) for count in scale.runs}
    return [
        Comparison("memory", f"evaluation of {count:,} images", f"of {few:,}", "MB", (peaks[count],), (peaks[few],))
        for count in more
    ]


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def _peak(data: Data, ckpt: Path) -> float:
    """Megabytes that this process had at most, after an evaluation."""
    from chexnet.evaluation import evaluate

    evaluate(EvalConfig(data_dir=str(data.data_dir), test_list=str(data.list_file), ckpt=str(ckpt), device="cpu"))
    # Not ru_maxrss, which starts at what the parent process had.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
