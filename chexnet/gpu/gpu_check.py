"""Find out whether this machine can train on a GPU, and what is missing."""

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from chexnet.gpu.builds import PYPI_REQUIREMENTS, suitable_build
from chexnet.gpu.cards import Cards, find_cards
from chexnet.gpu.child import ChildResult, call_in_child
from chexnet.gpu.machine_code import has_code_for
from chexnet.gpu.paddle_build import PaddleBuild, find_paddle

COMPARISON_TIMEOUT = 900.0
"""Seconds for the comparison, which takes some on a CPU and may compile kernels at the first use of a card."""

LINK_FOLDER = "cuda_links"
"""Folder for the links of Paddle 2.6 in the commands that are shown."""

LIMITS = {"loss": 1e-4, "weights": 5e-3, "probabilities": 5e-3}
"""Largest accepted differences between GPU and CPU, see `device_comparison.compare_devices`. On a CPU, a random change
of every weight by its last bit changes them by 1.7e-7, 2.3e-5 and 6.3e-5. On a card, nothing was measured."""


@dataclass(frozen=True)
class Step:
    """Something to do before the GPU can be used.

    Attributes:
        reason: reason for it.
        remedies: commands or, if there is none, one sentence.
    """

    reason: str
    remedies: tuple[str, ...]


_ON_THE_CPU = ("use --device cpu",)


@dataclass(frozen=True)
class GpuCheck:
    """The result of the check.

    Attributes:
        facts: name and value of each fact, in the order of the check.
        steps: steps to take before the GPU can be used, in order.
        differences: differences between GPU and CPU by name; empty if they were not compared.
    """

    facts: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    differences: dict[str, float]

    @property
    def works(self) -> bool:
        """True if the GPU gives the numbers of the CPU."""
        return not self.steps and self.differences.keys() == LIMITS.keys()


def check_gpu(device: str = "gpu") -> GpuCheck:
    """Check card, driver and Paddle, then run one training step and one evaluation on the GPU and on the CPU.

    Everything that may crash or hang runs in child processes with a time limit.

    Args:
        device: device to compare with the CPU. `cpu` compares it with itself, whatever is missing.
    """
    cards, paddle = find_cards(), find_paddle()
    facts, steps = _facts(cards, paddle), tuple(_steps(cards, paddle))
    if steps and device == "gpu":
        return GpuCheck(facts, steps, {})
    result = call_in_child("chexnet.gpu.device_comparison:compare_devices", device, timeout=COMPARISON_TIMEOUT)
    return _compared(facts, result)


def _facts(cards: Cards, paddle: PaddleBuild) -> tuple[tuple[str, str], ...]:
    facts = [("driver", cards.driver or f"none: {cards.problem}"), *(("card", str(card)) for card in cards.cards)]
    facts.append(("Paddle", str(paddle)))
    if paddle.cuda:
        codes = ", ".join(f"{code // 10}.{code % 10}" for code in paddle.architectures)
        facts.append(("machine code", f"compute capability {codes}" if codes else "for unknown cards"))
    if paddle.devices is not None:
        opened = f"cuDNN {paddle.opened_cudnn}" if paddle.opened_cudnn else "no cuDNN"
        facts.append(("Paddle finds", f"cards: {paddle.devices}; {opened}"))
    return tuple(facts)


def _compared(facts: tuple[tuple[str, str], ...], result: ChildResult) -> GpuCheck:
    differences = {name: float(result.values[name]) for name in LIMITS if name in result.values}
    lines = [("compared", str(result.values["compared"]))] if "compared" in result.values else []
    steps = []
    if result.failure:
        steps.append(Step(f"the comparison with the CPU failed: {result.failure}", _ON_THE_CPU))
    for name, difference in differences.items():
        lines.append((name, f"differ by {difference:.1e}, limit {LIMITS[name]:.0e}"))
        if not difference <= LIMITS[name]:  # true for NaN
            steps.append(Step(f"the {name} of GPU and CPU differ too much", _ON_THE_CPU))
    return GpuCheck((*facts, *lines), tuple(steps), differences)


def _steps(cards: Cards, paddle: PaddleBuild) -> Iterator[Step]:
    """Yield the steps to take, in order."""
    if sys.platform == "darwin" or platform.machine().lower() not in ("x86_64", "amd64"):
        yield Step(f"Paddle has no build for GPUs on {sys.platform} {platform.machine()}", _ON_THE_CPU)
        return
    if not cards.cards:
        yield _no_card(cards)
    capability = cards.cards[0].capability if cards.cards else None
    build = suitable_build(capability, cards.driver_major)
    if build is None:
        yield Step(f"no build of Paddle has code for {cards.cards[0].name}", _ON_THE_CPU)
        return
    if cards.driver_major is not None and cards.driver_major < build.driver:
        yield Step(f"driver {cards.driver} is too old", (f"install NVIDIA's driver {build.driver} or later",))
    remove = f"pip uninstall -y {' '.join(package.split()[0] for package in paddle.packages)}"
    if len(paddle.packages) > 1:
        yield Step(f"{' and '.join(paddle.packages)} overwrite each other", (remove, build.command))
    elif not paddle.cuda:
        reason = "Paddle is the CPU build" if paddle.version else "Paddle is not installed"
        yield Step(reason, (*[remove] * bool(paddle.packages), build.command))
    else:
        yield from _unusable(cards, paddle, (remove, build.command))


def _no_card(cards: Cards) -> Step:
    if cards.plugged_in:
        reason = f"{cards.plugged_in} NVIDIA cards are plugged in, but not usable: {cards.problem}"
        return Step(reason, ("install or repair NVIDIA's driver",))
    return Step("no NVIDIA card is visible", ("use a machine with such a card, with NVIDIA's driver installed",))


def _unusable(cards: Cards, paddle: PaddleBuild, reinstall: tuple[str, str]) -> Iterator[Step]:
    """Yield the steps for a build for GPUs that does not work."""
    for card in cards.cards:
        if card.capability and paddle.architectures and not has_code_for(card.capability, paddle.architectures):
            yield Step(f"this build of Paddle has no machine code for {card.name}", reinstall)
            return
    if paddle.version.startswith("2."):
        reinstall = (reinstall[0], f"pip install -r {PYPI_REQUIREMENTS}")
    # Paddle 2.6 crashes if the links lead to cuDNN, but cuDNN does not find its other parts.
    opens_wrong = paddle.version.startswith("2.") and paddle.devices is not None and paddle.failure
    if paddle.missing or opens_wrong:
        link = f"python tools/check_gpu.py --link_libraries {LINK_FOLDER}"
        export = f"export LD_LIBRARY_PATH=$PWD/{LINK_FOLDER}:$LD_LIBRARY_PATH"
        reason = f"does not find {', '.join(paddle.missing)}" if paddle.missing else f"{paddle.failure} in cuDNN"
        yield Step(f"Paddle {reason}", (reinstall[1], link, export))
    elif paddle.failure:
        yield Step(f"Paddle does not work: {paddle.failure}", reinstall)
    elif not paddle.opened_cudnn:
        yield Step("Paddle does not find cuDNN", reinstall)
    elif cards.cards and not paddle.devices:
        reason = (
            f"Paddle finds no card: the driver may not run CUDA {paddle.cuda}, or CUDA_VISIBLE_DEVICES hides the card"
        )
        yield Step(reason, ("update NVIDIA's driver, or unset CUDA_VISIBLE_DEVICES",))
