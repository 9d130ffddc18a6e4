"""Compare speed and memory with plain baseline pipelines in the same run, and print the ratios.

    python -m benchmarks
    python -m benchmarks ten_crop loader --data_dir dataset/images --list dataset/labels/test_list.txt

Everything runs on the CPU. Without --data_dir the benchmark draws phantoms of 1024 pixels, which decode somewhat faster
than real radiographs. Paddle's eager mode uses one thread, as it does by default unless OMP_NUM_THREADS is set; PyTorch
and this library use all cores.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.errors import InputError

if TYPE_CHECKING:
    from benchmarks.benchmark_data import BenchmarkData, Sizes
    from benchmarks.harness import Comparison

CASE_MODULES = {
    "ten_crop": "networks",
    "one_crop": "networks",
    "network": "networks",
    "loader": "inputs",
    "cache_build": "inputs",
    "metric": "ranking",
    "saving": "saving",
    "lists": "inputs",
    "startup": "processes",
    "memory": "processes",
    "scaling": "scaling",
}
"""Name of each benchmark case -> module with the function (BenchmarkData, Sizes) -> list of Comparison of that name."""


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Measure speed and memory, compared with plain baseline pipelines.", __doc__)
    parser.prog = "python -m benchmarks"
    add = parser.add_argument
    add("cases", nargs="*", type=case, metavar="CASE", help=f"cases to run (default: all): {', '.join(CASE_MODULES)}")
    add("--data_dir", help="folder of real radiographs to use instead of phantoms; needs --list")
    add("--list", help="list file of the radiographs in --data_dir")
    add("--output_json", default="benchmarks/results.json", metavar="FILE.json", help="write all values to this file")
    return parser


def case(text: str) -> str:
    """Return the name of a benchmark case. Raises ArgumentTypeError for any other text."""
    if text not in CASE_MODULES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(CASE_MODULES)}")
    return text


def run_benchmarks(args: argparse.Namespace) -> None:
    """Run the cases, print and write the results."""
    if (args.data_dir is None) != (args.list is None):
        raise InputError("--data_dir and --list: expected both or neither")
    from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
    from chexnet.data.transforms import Preprocessing
    from chexnet.files import check_writable

    check_writable(args.output_json, ".json", protected=())
    radiographs = ListedImages(Path(args.data_dir), Path(args.list)) if args.data_dir else None
    with tempfile.TemporaryDirectory(prefix="chexnet-benchmarks-") as folder:
        data = BenchmarkData(Path(folder), images=32, size=1024, preprocessing=Preprocessing(), radiographs=radiographs)
        measure(args.cases or list(CASE_MODULES), data, Sizes(), args.output_json)


def measure(cases: Sequence[str], data: "BenchmarkData", sizes: "Sizes", json_file: str) -> list["Comparison"]:
    """Run the cases one after another, print their results and, at the end, the targets.

    The JSON file is rewritten after each case, so that an interrupted run leaves the results so far.
    """
    from benchmarks import machine
    from benchmarks.targets import TARGETS, format_table
    from chexnet.files import write_text

    machine_info = machine.to_dict()
    cli.echo("\n".join(f"{name}: {value}" for name, value in machine_info.items()))
    comparisons: list[Comparison] = []
    for name in cases:
        run = getattr(import_module(f"benchmarks.{CASE_MODULES[name]}"), name)
        cli.echo(f"\n{name}: {run.__doc__}")
        found = run(data, sizes)
        cli.echo("\n".join(map(str, found)))
        comparisons += found
        results = {"machine": machine_info, "comparisons": [comparison.to_dict() for comparison in comparisons]}
        write_text(json_file, json.dumps(results, indent=2) + "\n")
    rows = [target.row(comparisons, machine.has_bfloat16()) for target in TARGETS]
    cli.echo("\n" + format_table([("case", "compared with", "measured", "target", "result"), *rows]))
    cli.echo(f"All values are in {json_file}.")
    return comparisons


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), run_benchmarks, argv)


if __name__ == "__main__":
    sys.exit(main())
