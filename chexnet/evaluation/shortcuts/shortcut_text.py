"""Format the result of a check for shortcuts as text."""

from chexnet.evaluation.shortcuts.effects import Change
from chexnet.evaluation.shortcuts.shortcut_check import RULE, ShortcutResult


def format_result(result: ShortcutResult) -> str:
    """Format a table of the changes of the logits, the verdict and its rule."""
    lines = [*_table(result), "", f"rule: {RULE}"]
    if result.verdict.not_judged:
        lines.append(f"not judged, because no pair plants them: {', '.join(result.verdict.not_judged)}")
    for shortcut in result.verdict.shortcuts:
        effect = shortcut.effect
        compared = "which does not raise its own logit"
        if shortcut.fraction is not None:
            compared = f"{shortcut.fraction:.2f} of what the finding itself does"
        lines.append(
            f"shortcut: {effect.planted} moves {effect.finding} by {_change(effect.logit)}, {compared}; its "
            f"probability by {_change(effect.probability, 3)}"
        )
    if not result.verdict.shortcuts:
        lines.append("no shortcut found among the things that were planted")
    return "\n".join(lines)


def _table(result: ShortcutResult) -> list[str]:
    """Return a row per finding: the mean change of its logit by the finding itself, and by each other thing."""
    planted = dict.fromkeys(pair.planted for pair in result.pairs)
    things = [thing for thing in planted if thing not in result.classes]
    found = {(effect.planted, effect.finding): effect.logit.mean for effect in result.effects}
    marked = {(shortcut.effect.planted, shortcut.effect.finding) for shortcut in result.verdict.shortcuts}
    width = max(20, *map(len, result.classes)) + 2
    columns = [max(11, len(thing) + 2) for thing in things]
    head = f"{'change of the logit':{width}}{'itself':>9}"
    lines = [head + "".join(f"{thing:>{size}} " for thing, size in zip(things, columns, strict=True))]
    for finding in result.classes:
        own = found.get((finding, finding))
        line = f"{finding:{width}}" + (f"{own:>+9.2f}" if own is not None else f"{'-':>9}")
        for thing, size in zip(things, columns, strict=True):
            line += f"{found[thing, finding]:>+{size}.2f}" + ("*" if (thing, finding) in marked else " ")
        lines.append(line)
    return [line.rstrip() for line in lines]


def _change(change: Change, digits: int = 2) -> str:
    return f"{change.mean:+.{digits}f} (95 % {change.low:+.{digits}f} to {change.high:+.{digits}f})"
