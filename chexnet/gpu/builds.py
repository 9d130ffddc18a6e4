"""Builds of Paddle for GPUs, and which one suits a card.

Paddle's own index has one build per version of CUDA. Drivers: NVIDIA, CUDA Compatibility, table 1, and, for Blackwell,
the first driver with CUDA 12.8. Cards: issues and pull requests of Paddle, not tried here. The check reads from the
installed wheel for which cards it has machine code.
"""

from dataclasses import dataclass

from chexnet.gpu.cards import Capability

INDEX = "https://www.paddlepaddle.org.cn/packages/stable"
REQUIREMENTS = "requirements-gpu.txt"
PYPI_REQUIREMENTS = "requirements-gpu-pypi.txt"


@dataclass(frozen=True)
class Build:
    """A build of Paddle 3.3 on Paddle's own index.

    Attributes:
        name: folder of the index, named after the version of CUDA.
        driver: first major version of the driver that runs it.
        first: lowest compute capability of the cards that it is for.
        last: highest compute capability of these cards.
    """

    name: str
    driver: int
    first: Capability
    last: Capability

    @property
    def command(self) -> str:
        """Command that installs it."""
        return f"pip install -r {REQUIREMENTS} --extra-index-url {INDEX}/{self.name}/"


BUILDS = (
    Build("cu126", 525, (7, 5), (9, 0)),
    Build("cu118", 450, (6, 1), (8, 9)),
    Build("cu129", 570, (10, 0), (12, 1)),
)
"""The builds, the preferred one first where several suit a card."""


def suitable_build(capability: Capability | None, driver: int | None) -> Build | None:
    """Return the build for a card and a driver, or None if no build has code for the card.

    If all builds for the card need a newer driver, the first of them is returned. An unknown card counts as one of
    compute capability 8.0, an unknown driver as new enough.
    """
    card = capability or (8, 0)
    suitable = [build for build in BUILDS if build.first <= card <= build.last]
    running = [build for build in suitable if driver is None or driver >= build.driver]
    return next(iter(running or suitable), None)
