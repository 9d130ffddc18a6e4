"""The result for a person."""

import math
from collections.abc import Sequence

from chexnet.evaluation.localization.comparison import LocalizationResult
from chexnet.evaluation.localization.hit_rates import MEASURES, THRESHOLDS, HitRate, MeanHitRate
from chexnet.evaluation.localization.published import WANG, WANG_SHARES


def format_result(result: LocalizationResult) -> str:
    """Tables of the pointing game, IoBB and IoU, the latter two beside Wang et al.'s, and how to read them."""
    blocks = [
        _table(result, "pointing game", ("pointing",)),
        *(_table(result, name, [f"{name.lower()}>{t:g}" for t in THRESHOLDS]) for name in ("IoBB", "IoU")),
        f"{len(result.cases)} cases, each an image with a finding, of {_patients(result)}: {result.config.boxes}.",
        f"Wang: {WANG}.",
        "They scored NIH's boxes on images that their network had not seen: nothing else compares.",
    ]
    return "\n".join(blocks)


def _patients(result: LocalizationResult) -> str:
    known, unknown = result.scores.patients, result.scores.unknown_patients
    if not unknown:
        return f"{known} patients"
    return f"{known} known patients and {unknown} images of unknown ones, each counted as of a patient of its own"


def _table(result: LocalizationResult, name: str, measures: Sequence[str]) -> str:
    width = max(18, *map(len, result.scores.findings))
    head = f"{name:{width}}{'cases':>7}" + "".join(_head(measure) for measure in measures)
    lines = [head]
    for finding, shares in result.scores.findings.items():
        own = dict(zip(MEASURES, shares, strict=True))
        cells = [_cell(own[measure], WANG_SHARES.get(measure, {}).get(finding), measure) for measure in measures]
        lines.append(f"{finding:{width}}{shares[0].cases:>7}" + "".join(cells))
    means = dict(zip(MEASURES, result.scores.mean, strict=True))
    cells = [_cell(means[measure], _published_mean(measure, result), measure) for measure in measures]
    lines.append(f"{f'mean of {len(result.scores.findings)}':{width}}{len(result.cases):>7}" + "".join(cells))
    return "\n".join(lines) + "\n"


def _head(measure: str) -> str:
    threshold = measure.partition(">")[2]
    head = f"{f'> {threshold}' if threshold else 'share':>8}{'95 %':>13}"
    return head + (f"{'Wang':>7}" if measure in WANG_SHARES else "")


def _cell(own: HitRate | MeanHitRate, published: float | None, measure: str) -> str:
    interval = "-" if math.isnan(own.low) else f"{own.low:.3f}-{own.high:.3f}"
    text = f"{own.share:>8.3f}{interval:>13}"
    if measure not in WANG_SHARES:
        return text
    return text + ("      -" if published is None else f"{published:>7.3f}")


def _published_mean(measure: str, result: LocalizationResult) -> float | None:
    """Over the same findings as ours, or none."""
    shares = WANG_SHARES.get(measure, {})
    if not set(result.scores.findings) <= set(shares):
        return None
    return sum(shares[finding] for finding in result.scores.findings) / len(result.scores.findings)
