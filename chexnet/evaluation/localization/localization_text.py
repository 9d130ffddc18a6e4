"""Format a localization result as text."""

import math
from collections.abc import Sequence

from chexnet.evaluation.localization.comparison import LocalizationResult
from chexnet.evaluation.localization.hit_rates import MASK_MEASURES, THRESHOLDS, HitRate, MeanHitRate
from chexnet.evaluation.localization.wang_hit_rates import WANG, WANG_HIT_RATES


def format_result(result: LocalizationResult) -> str:
    """Format tables of the pointing game, IoBB and IoU, next to the results of Wang et al. where they have any."""
    blocks = [
        _table(result, "pointing game", ("pointing",)),
        *(_table(result, name, [f"{name.lower()}>{t:g}" for t in THRESHOLDS]) for name in ("IoBB", "IoU")),
        *_mask_tables(result),
        f"{len(result.cases)} cases, one per image and finding, of {_patients(result)}: {result.config.boxes}.",
        f"Wang: {WANG}.",
        "They used NIH's boxes on images that their network was not trained on; other boxes or images do not compare.",
    ]
    return "\n".join(blocks)


def _mask_tables(result: LocalizationResult) -> list[str]:
    if MASK_MEASURES[0] not in result.scores.measures:
        return []
    names = {"mask, pointing": [MASK_MEASURES[0]]}
    names |= {f"mask, {name}": [f"mask {name.lower()}>{t:g}" for t in THRESHOLDS] for name in ("IoBB", "IoU")}
    return [_table(result, name, measures) for name, measures in names.items()]


def _patients(result: LocalizationResult) -> str:
    known, unknown = result.scores.patients, result.scores.unknown_patients
    if not unknown:
        return f"{known} patients"
    return f"{known} known patients and {unknown} images of unknown patients, each counted as a separate patient"


def _table(result: LocalizationResult, name: str, measures: Sequence[str]) -> str:
    width = max(18, *map(len, result.scores.findings))
    head = f"{name:{width}}{'cases':>7}" + "".join(_head(measure) for measure in measures)
    lines = [head]
    for finding, hit_rates in result.scores.findings.items():
        rates = dict(zip(result.scores.measures, hit_rates, strict=True))
        cells = [_cell(rates[measure], WANG_HIT_RATES.get(measure, {}).get(finding), measure) for measure in measures]
        lines.append(f"{finding:{width}}{hit_rates[0].cases:>7}" + "".join(cells))
    means = dict(zip(result.scores.measures, result.scores.mean, strict=True))
    cells = [_cell(means[measure], _published_mean(measure, result), measure) for measure in measures]
    lines.append(f"{f'mean of {len(result.scores.findings)}':{width}}{len(result.cases):>7}" + "".join(cells))
    return "\n".join(lines) + "\n"


def _head(measure: str) -> str:
    threshold = measure.partition(">")[2]
    head = f"{f'> {threshold}' if threshold else 'share':>8}{'95 %':>13}"
    return head + (f"{'Wang':>7}" if measure in WANG_HIT_RATES else "")


def _cell(hit_rate: HitRate | MeanHitRate, published: float | None, measure: str) -> str:
    interval = "-" if math.isnan(hit_rate.low) else f"{hit_rate.low:.3f}-{hit_rate.high:.3f}"
    text = f"{hit_rate.rate:>8.3f}{interval:>13}"
    if measure not in WANG_HIT_RATES:
        return text
    return text + ("      -" if published is None else f"{published:>7.3f}")


def _published_mean(measure: str, result: LocalizationResult) -> float | None:
    """Return the published mean over the same findings, or None if some of them have no published value."""
    rates = WANG_HIT_RATES.get(measure, {})
    if not set(result.scores.findings) <= set(rates):
        return None
    return sum(rates[finding] for finding in result.scores.findings) / len(result.scores.findings)
