"""Compare the server with the engine that it runs: throughput of 16 clients, time of one image, memory.

    python -m benchmarks.serving
    python -m benchmarks.serving --crops 1 --requests 64
    python -m benchmarks.serving --memory 10000

The server is a process of its own on this computer. Both sides read the same phantom as a PNG. Each round measures
both, one after the other. --memory sends that many requests with a small
network and a small image, and prints the memory of the server after each tenth of them.
"""

import argparse
import http.client
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.harness import interleaved, rate, seconds
from chexnet import cli
from chexnet.config import InferenceConfig
from chexnet.config.argument_types import positive_int
from chexnet.errors import InputError
from chexnet.files.shipped_weights import SHIPPED

ROOT = Path(__file__).parent.parent
CLIENTS = 16
SIZE = 1024
SINGLE_IMAGES = 10
"""Images per round whose time is measured one by one."""


class Client:
    """A client that posts one image again and again, each time over a new connection."""

    def __init__(self, port: int, content: bytes) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self._content = content

    def post(self) -> None:
        """Post the image and read the result."""
        self._connection.request("POST", "/v1/predict", self._content, {"Content-Type": "image/png"})
        response = self._connection.getresponse()
        answer = response.read()
        self._connection.close()  # the server closes it after some seconds
        if response.status != 200:
            raise InputError(f"the server answered with status {response.status}: {answer[:200].decode()}")


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Compare the server with the engine that it runs.", __doc__)
    cli.add_config_arguments(parser, InferenceConfig, ("crops", "engine", "precision"))
    add = parser.add_argument
    add("--ckpt", default=str(SHIPPED), metavar="FILE", help="checkpoint (default: the one of this repository)")
    add("--requests", type=positive_int, default=32, metavar="N", help="images per round and side")
    add("--rounds", type=positive_int, default=5, metavar="N", help="number of rounds")
    add("--memory", type=positive_int, metavar="N", help="measure the memory over N requests instead")
    return parser


def compare(args: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="chexnet-serving-") as folder:
        if args.memory:
            measure_memory(Path(folder), args.memory)
        else:
            measure_speed(cli.config_from_args(InferenceConfig, args, device="cpu"), args.requests, args.rounds)


def measure_speed(config: InferenceConfig, requests: int, rounds: int) -> None:
    """Print the throughput of CLIENTS clients and the time of one image, with their ratios to the engine's own."""
    from chexnet.inference import Predictor

    content = phantom_png(SIZE)
    with tempfile.TemporaryDirectory(prefix="chexnet-serving-") as folder, running_server(config) as (port, _):
        path = Path(folder) / "image.png"
        path.write_bytes(content)
        predictor = Predictor(config)
        cli.echo(f"=> {predictor.engine}")
        cli.echo(f"=> {predictor.crops_description}, a PNG of {SIZE} x {SIZE} pixels, {len(content):,} bytes")
        clients = [Client(port, content) for _ in range(CLIENTS)]

        def post_all() -> None:
            shares = [requests // CLIENTS + (index < requests % CLIENTS) for index in range(CLIENTS)]
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(lambda client, share: [client.post() for _ in range(share)], clients, shares))

        rates = {
            "engine": rate(lambda: list(predictor.predict_all([path] * requests)), requests),
            "server": rate(post_all, requests),
        }
        singles = {"engine": seconds(lambda: predictor.predict(path)), "server": seconds(clients[0].post)}
        interleaved(singles, 2)  # warm up
        found = interleaved(rates, rounds)
        times = interleaved(singles, rounds * SINGLE_IMAGES)
    ratios = [ours / own for ours, own in zip(found["server"], found["engine"], strict=True)]
    cli.echo(
        f"{CLIENTS} clients: {_listed(found['server'])} images/s; engine alone: {_listed(found['engine'])} images/s"
    )
    cli.echo(f"ratio, median of {rounds}: {median(ratios):.2f}")
    ours, own = median(times["server"]), median(times["engine"])
    cli.echo(f"one image, median of {rounds * SINGLE_IMAGES}: {1e3 * ours:.1f} ms; engine alone: {1e3 * own:.1f} ms")
    cli.echo(f"ratio of the medians: {ours / own:.2f}")


def measure_memory(folder: Path, requests: int) -> None:
    """Print the resident memory of a server after each tenth of the requests."""
    import paddle

    from chexnet.model import CheXNet, checkpoint

    paddle.seed(0)
    ckpt = folder / "small.pdparams"
    checkpoint.save(CheXNet(14, "densenet_cifar").state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"backbone": "densenet_cifar", "resize": 36, "crop": 32})
    config = InferenceConfig(ckpt=str(ckpt), crops=1, device="cpu")
    content = phantom_png(64)
    started = monotonic()
    with running_server(config) as (port, process), ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(port, content) for _ in range(CLIENTS)]
        done = 0
        for tenth in range(1, 11):
            while done < requests * tenth // 10:
                count = min(CLIENTS, requests * tenth // 10 - done)
                list(pool.map(Client.post, clients[:count]))
                done += count
            cli.echo(f"{done:,} requests: {resident_megabytes(process):.1f} MB")
    cli.echo(f"{requests / (monotonic() - started):.0f} requests/s, with the start")


@contextmanager
def running_server(config: InferenceConfig) -> Iterator[tuple[int, int]]:
    """Start tools/serve.py; yields its port and its process ID."""
    flags = ["--ckpt", config.ckpt, "--device", "cpu", "--engine", config.engine, "--precision", config.precision]
    flags += ["--crops", str(config.crops)] if config.crops else []
    command = [sys.executable, str(ROOT / "tools/serve.py"), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT) as process:
        try:
            assert process.stdout
            found = next(filter(None, (re.search(r"=> open .*:(\d+)/", line) for line in process.stdout)), None)
            if found is None:
                raise InputError("the server did not start")
            yield int(found[1]), process.pid
        finally:
            process.terminate()


def phantom_png(size: int) -> bytes:
    """Return a PNG of a phantom of size x size pixels."""
    from PIL import Image

    from chexnet.phantom import draw

    file = io.BytesIO()
    Image.fromarray(draw(["Mass"], size, patient=1).image).save(file, "PNG")
    return file.getvalue()


def resident_megabytes(process: int) -> float:
    """Return the resident memory of a process, from Linux's /proc."""
    (kilobytes,) = re.findall(
        r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{process}/status").read_text(encoding="utf-8"), re.MULTILINE
    )
    return int(kilobytes) / 1e3


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
