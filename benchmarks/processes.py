"""Benchmarks of whole processes: start-up time and memory."""

import subprocess
import sys
from pathlib import Path

from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
from benchmarks.harness import Comparison, in_subprocess, interleaved, seconds
from chexnet.config import EvalConfig
from chexnet.data.transforms import Preprocessing

ROOT = Path(__file__).parent.parent
IMPORT = "import paddle alone"


def startup(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """`eval.py --help`, and eval.py on one image from start to end, compared with `import paddle` alone."""
    listed = data.repeated(1)
    flags = ["--data_dir", listed.data_dir, "--test_list", listed.list_file, "--ckpt", data.ckpt, "--device", "cpu"]
    candidates = {
        "eval.py --help": seconds(lambda: _python("eval.py", "--help")),
        "eval.py on one image, from start to end": seconds(lambda: _python("eval.py", *map(str, flags))),
        IMPORT: seconds(lambda: _python("-c", "import paddle")),
    }
    values = interleaved(candidates, sizes.repetitions)
    reference = values.pop(IMPORT)
    return [Comparison("startup", ours, IMPORT, "s", times, reference) for ours, times in values.items()]


def memory(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Peak memory of evaluating long lists, compared with a short list. The images are small to save time."""
    folder = data.folder / "small"
    folder.mkdir(exist_ok=True)
    small = BenchmarkData(folder, images=20, size=48, preprocessing=Preprocessing(resize=40, crop=32))
    few, *more = sizes.runs
    peaks = {count: in_subprocess(_peak, small.repeated(count), small.ckpt) for count in sizes.runs}
    return [
        Comparison("memory", f"evaluation of {count:,} images", f"of {few:,}", "MB", (peaks[count],), (peaks[few],))
        for count in more
    ]


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def _peak(listed: ListedImages, ckpt: Path) -> float:
    """Evaluate and return the peak memory of this process in megabytes."""
    from chexnet.evaluation import evaluate

    evaluate(EvalConfig(data_dir=str(listed.data_dir), test_list=str(listed.list_file), ckpt=str(ckpt), device="cpu"))
    # Not ru_maxrss, which starts at the value of the parent process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
