"""Effects of planted things on the outputs of a network, and the rule that makes one of them a shortcut."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.bootstrap import REPLICATES
from chexnet.metrics.platt import to_logits

MIN_LOGIT, FRACTION = 1.0, 0.25
"""Change of a finding's logit that makes a shortcut: more than MIN_LOGIT, which multiplies the odds by 2.7, and more
than this fraction of the change by the finding itself."""

SEED = 0


@dataclass(frozen=True)
class Change:
    """Mean change over pairs with its 95 % interval, from resampled patients."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True if the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Effect:
    """Change of one output by one planted thing.

    Attributes:
        planted: the thing.
        finding: class of the output.
        pairs, patients: numbers of pairs and of their patients.
        logit: change of the logit, with minus without the thing.
        probability: change of the probability.
    """

    planted: str
    finding: str
    pairs: int
    patients: int
    logit: Change
    probability: Change


@dataclass(frozen=True)
class Shortcut:
    """A thing that is no finding and moves the output of a finding.

    Attributes:
        effect: its effect on the finding.
        fraction: absolute mean change of the logit, divided by the mean change by the finding itself; None unless the
            finding raises its logit.
    """

    effect: Effect
    fraction: float | None


@dataclass(frozen=True)
class Verdict:
    """The shortcuts among the effects.

    Attributes:
        shortcuts: the shortcuts, the largest change of a logit first.
        not_judged: findings that no pair plants, so that there is nothing to compare with.
    """

    shortcuts: tuple[Shortcut, ...]
    not_judged: tuple[str, ...]


def measure_effects(
    planted: Sequence[str],
    patients: Sequence[str],
    without: np.ndarray,
    with_it: np.ndarray,
    classes: Sequence[str],
) -> list[Effect]:
    """Measure the effect of each planted thing on each class.

    The intervals are the 2.5th and the 97.5th percentile of the means over REPLICATES resamples of the patients, each
    drawn with all of its pairs, seed SEED.

    Args:
        planted: the planted thing of each of N pairs.
        patients: the patient of each pair; each thing has at least two.
        without: probabilities of the images without it, [N, C] in 0..1. `to_logits` limits the logits of 0 and 1.
        with_it: those of the images with it.
        classes: names of the C classes.

    Returns:
        One entry per thing, in the order of appearance, and class.
    """
    changes = np.stack([to_logits(with_it) - to_logits(without), np.subtract(with_it, without, dtype=np.float64)])
    things, owners = np.array(planted), np.array(patients)
    effects = []
    for thing in dict.fromkeys(planted):
        rows = things == thing
        number, owner = np.unique(owners[rows], return_inverse=True)
        logits, probabilities = (_changes(change[rows], owner.ravel(), len(number)) for change in changes)
        effects += [
            Effect(thing, finding, int(rows.sum()), len(number), logit, probability)
            for finding, logit, probability in zip(classes, logits, probabilities, strict=True)
        ]
    return effects


def judge(effects: Sequence[Effect], classes: Sequence[str]) -> Verdict:
    """Find the shortcuts among the effects.

    A thing that is no class is a shortcut for a finding if the interval of its change of the logit excludes 0, and the
    mean is more than MIN_LOGIT and more than FRACTION of the mean change by the finding itself, up or down. A network
    that has learned only the drain does not react to the finding, so MIN_LOGIT then decides alone.

    Args:
        effects: from `measure_effects`.
        classes: names of the network's classes.
    """
    own = {effect.finding: effect.logit.mean for effect in effects if effect.planted == effect.finding}
    found = []
    for effect in effects:
        size = abs(effect.logit.mean)
        if effect.planted in classes or effect.finding not in own or not effect.logit.excludes_zero:
            continue
        reference = own[effect.finding]
        if size > max(MIN_LOGIT, FRACTION * reference):
            found.append(Shortcut(effect, size / reference if reference > 0 else None))
    found.sort(key=lambda shortcut: -abs(shortcut.effect.logit.mean))
    return Verdict(tuple(found), tuple(finding for finding in classes if finding not in own))


def _changes(values: np.ndarray, owner: np.ndarray, patients: int) -> list[Change]:
    """Return the mean of each column of `values` [N, C] with its interval; `owner` [N] is the index of the patient."""
    rng = np.random.default_rng(SEED)
    draws = rng.multinomial(patients, np.full(patients, 1 / patients), REPLICATES).astype(np.float64)
    sums = np.zeros((patients, values.shape[1]))
    np.add.at(sums, owner, values)
    means = draws @ sums / (draws @ np.bincount(owner, minlength=patients))[:, None]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return [Change(*map(float, numbers)) for numbers in zip(values.mean(axis=0), low, high, strict=True)]
