"""Rates at which confounders are planted in a data set of phantoms, general ones and those of findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.phantom.confounders import CONFOUNDERS
from chexnet.phantom.radiograph import CHOICE_OF_CONFOUNDERS


@dataclass(frozen=True)
class Planting:
    """Frequency of one confounder.

    Attributes:
        confounder: a name from CONFOUNDERS.
        rate: fraction of the images in which it is planted, 0..1, unless one of `finding_rates` applies.
        finding_rates: finding -> fraction of the images with this finding. The highest one counts for an image with
            several of them.
    """

    confounder: str
    rate: float
    finding_rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Planting":
        """Return the frequency that a text such as `chest_drain=0.05,Pneumothorax=0.9` describes.

        Raises:
            InputError: it has another form, an unknown name, a name twice, or a number outside 0..1.
        """
        rates: dict[str, float] = {}
        for part in text.split(","):
            name, _, number = part.partition("=")
            known = CLASS_NAMES if rates else tuple(CONFOUNDERS)
            rate = _fraction(number)
            if name not in known or name in rates or rate is None:
                raise InputError(
                    f"--plant {text}: {part!r}, expected NAME=RATE with a rate from 0 to 1 and one of "
                    f"{', '.join(known)}, each once"
                )
            rates[name] = rate
        (confounder, rate), *others = rates.items()
        return cls(confounder, rate, dict(others))

    def __str__(self) -> str:
        rates = {self.confounder: self.rate, **self.finding_rates}
        return ",".join(f"{name}={rate:.12g}" for name, rate in rates.items())

    def rate_with(self, findings: Sequence[str]) -> float:
        """Return the rate in images with exactly these findings."""
        return max((rate for name, rate in self.finding_rates.items() if name in findings), default=self.rate)


def parse_plantings(texts: Sequence[str]) -> list[Planting]:
    """Return the frequencies of several confounders. Raises InputError as `Planting.parse`, or if one occurs twice."""
    plantings = [Planting.parse(text) for text in texts]
    names = [planting.confounder for planting in plantings]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--plant: {twice[0]} occurs twice, expected each confounder once")
    return plantings


def sample_confounders(
    plantings: Sequence[Planting], findings: Sequence[str], seed: int, patient: int, image: int
) -> tuple[str, ...]:
    """Sample the confounders of one image, in the order of CONFOUNDERS.

    The numbers of an image do not depend on `plantings`, so that a higher rate adds confounders and removes none.

    Args:
        plantings: frequencies.
        findings: findings of the image.
        seed: random seed, non-negative like `patient` and `image`.
        patient: number of the patient.
        image: number of the exposure of this patient.
    """
    chances = np.random.default_rng((seed, patient, image, CHOICE_OF_CONFOUNDERS)).random(len(CONFOUNDERS))
    rates = {planting.confounder: planting.rate_with(findings) for planting in plantings}
    return tuple(name for name, chance in zip(CONFOUNDERS, chances, strict=True) if chance < rates.get(name, 0.0))


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None
