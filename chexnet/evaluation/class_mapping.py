"""Mapping of a network's outputs to the findings of a list with other or fewer classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.errors import InputError
from chexnet.evaluation.prediction_table import plain
from chexnet.files.text_files import shorten, shorten_all

RULES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "max": ("the highest of the probabilities", lambda values: values.max(axis=1)),
    "noisy_or": (
        "1 - (1 - p1)(1 - p2)..., as if the findings were independent",
        lambda values: 1 - np.prod(1 - values, axis=1),
    ),
}
"""Rules that combine the probabilities of several outputs, [N, K] -> [N]: description and function."""


@dataclass(frozen=True)
class ClassMapping:
    """The outputs that belong to each finding of a list.

    Attributes:
        outputs: names of the network's C outputs.
        findings: names of the L findings of the list, in its order.
        sources: finding -> its outputs, for the K findings that have any, in the order of the list.
        rule: key of RULES.
    """

    outputs: tuple[str, ...]
    findings: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]
    rule: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K findings that can be evaluated."""
        return tuple(self.sources)

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Combine the probabilities of the outputs, [N, C] -> float64 [N, K]."""
        return np.stack([RULES[self.rule][1](values[:, columns]) for columns in self._columns()], axis=1)

    def output_labels(self, labels: np.ndarray) -> np.ndarray:
        """Combine labels of the outputs, [N, C] -> [N, K]: present if any of a finding's outputs is present."""
        return np.stack([labels[:, columns].max(axis=1) for columns in self._columns()], axis=1)

    def list_labels(self, labels: np.ndarray) -> np.ndarray:
        """Select the labels of the findings that can be evaluated, [N, L] -> [N, K]."""
        return labels[:, [self.findings.index(name) for name in self.sources]]

    def describe(self) -> list[str]:
        """Describe the mapping, and the findings and outputs that are left out, in sentences."""
        changed = [
            f"{finding} = {' | '.join(sources)}" for finding, sources in self.sources.items() if sources != (finding,)
        ]
        combined = any(len(sources) > 1 for sources in self.sources.values())
        rule = f" Several outputs are combined into {RULES[self.rule][0]} (`{self.rule}`)." if combined else ""
        used = {name for sources in self.sources.values() for name in sources}
        sentences = [f"Outputs mapped to the findings of the list: {'; '.join(changed)}.{rule}"] if changed else []
        for names, kind in (
            ([name for name in self.findings if name not in self.sources], "Findings of the list without an output"),
            ([name for name in self.outputs if name not in used], "Outputs without a finding in the list"),
        ):
            if names:
                sentences.append(f"{kind}, left out: {', '.join(names)}.")
        return sentences

    def _columns(self) -> list[list[int]]:
        return [[self.outputs.index(name) for name in sources] for sources in self.sources.values()]


def parse_mapping(
    texts: Sequence[str], outputs: Sequence[str], findings: Sequence[str], rule: str = "max"
) -> ClassMapping:
    """Parse mappings such as `Lung Opacity=Infiltration|Consolidation|Atelectasis`.

    A finding without a mapping belongs to the output of the same name; case, and underscores or spaces, are ignored.

    Args:
        texts: mappings.
        outputs: names of the network's outputs.
        findings: names of the findings of the list.
        rule: key of RULES.

    Raises:
        InputError: a mapping is malformed, names an unknown finding or output, or maps a finding twice; or no finding
            has an output.
    """
    given: dict[str, tuple[str, ...]] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise InputError(f"--map: found {shorten(text)}, expected FINDING=OUTPUT or FINDING=OUTPUT|OUTPUT")
        finding = _named(left, findings, text, "findings of the list")
        sources = tuple(_named(name, outputs, text, "outputs") for name in right.split("|"))
        if len(set(sources)) < len(sources) or finding in given:
            raise InputError(
                f"--map: {shorten(text)} repeats a name, expected each finding and each of its outputs once"
            )
        given[finding] = sources
    by_plain = {plain(name): name for name in outputs}
    sources_by_finding = {
        finding: given.get(finding) or (by_plain[plain(finding)],)
        for finding in findings
        if finding in given or plain(finding) in by_plain
    }
    if not sources_by_finding:
        raise InputError(
            f"no finding of the list has an output: the list has {shorten_all(findings)}, the outputs are "
            f"{shorten_all(outputs)}; --map FINDING=OUTPUT assigns them"
        )
    return ClassMapping(tuple(outputs), tuple(findings), sources_by_finding, rule)


def _named(text: str, names: Sequence[str], mapping: str, kind: str) -> str:
    """Return the name that a text means."""
    found = [name for name in names if plain(name) == plain(text)]
    if len(found) != 1:
        raise InputError(
            f"--map {shorten(mapping)}: {shorten(text.strip())} is unknown, expected one of the {kind}: "
            f"{shorten_all(names)}"
        )
    return found[0]
