"""Namespaces and their labels, for the namespaceSelector of pod affinity terms."""

from __future__ import annotations

from collections.abc import Mapping

from ksched.objects import LabelSelectorMatcher

_NONE: Mapping[str, str] = {}


class Namespaces:
    """Namespace objects by name. ``version`` counts changes that a selector could notice."""

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}
        self.version = 0

    def put(self, name: str, labels: Mapping[str, str]) -> None:
        """A namespace appeared or changed."""
        if self._labels.get(name) != labels:
            self._labels[name] = labels
            self.version += 1

    def remove(self, name: str) -> None:
        """A namespace went away; an unknown one is ignored."""
        if self._labels.pop(name, None) is not None:
            self.version += 1

    def labels(self, name: str) -> Mapping[str, str]:
        """Labels of a namespace; none for one nobody told of."""
        return self._labels.get(name, _NONE)

    def selected(self, selector: LabelSelectorMatcher) -> frozenset[str]:
        """Names of the known namespaces that ``selector`` matches."""
        return frozenset(name for name, labels in self._labels.items() if selector.matches(labels))
