"""check_plugin: the plugin contract as tests that anybody can run on their plugin in one line.

    from ksched.testing import check_plugin
    check_plugin(MyPolicy, {"weight": 3})

or, one test per clause:

    @pytest.mark.parametrize("check", plugin_checks(MyPolicy), ids=str)
    def test_contract(check): check()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksched.errors import InputError
from ksched.framework.protocols import POINTS, implements
from ksched.framework.registry import PluginClass, find
from ksched.testing.clauses import CLAUSES, Clause, Subject


class PluginContractError(InputError):
    """A plugin breaks the contract; the message lists every violated clause."""


@dataclass(frozen=True)
class PluginCheck:
    """One clause of the contract for one plugin; calling it raises PluginContractError if the clause is violated."""

    subject: Subject
    clause: Clause

    @property
    def name(self) -> str:
        """Short name of the clause."""
        return self.clause.__name__

    @property
    def rule(self) -> str:
        """The clause in words."""
        return (self.clause.__doc__ or "").strip()

    def violation(self) -> str | None:
        """The first violation found, None if the clause holds."""
        return next(self.clause(self.subject), None)

    def __call__(self) -> None:
        found = self.violation()
        if found is not None:
            raise _error(self.subject, [(self, found)])

    def __str__(self) -> str:
        return self.name


def plugin_checks(plugin: type | str, args: Mapping[str, Any] | None = None) -> list[PluginCheck]:
    """The clauses for ``plugin`` (a class, an entry-point name, ``module:Class`` or ``file.py:Class``)."""
    if isinstance(plugin, str):
        found = find(plugin)
    else:
        found = PluginClass(_name(plugin), plugin, plugin.__qualname__)
    subject = Subject(found, dict(args) if args else None)
    return [PluginCheck(subject, clause) for clause in CLAUSES]


def _name(plugin: type) -> str:
    name = getattr(plugin, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginContractError(f"plugin class {plugin.__qualname__} has no name", hint='write name = "MyPolicy"')
    if not any(implements(plugin, point) for point in POINTS):
        points = ", ".join(POINTS.values())
        raise PluginContractError(f"plugin {name} implements no extension point", hint=f"write one of: {points}")
    return name


def check_plugin(plugin: type | str, args: Mapping[str, Any] | None = None) -> None:
    """Raise PluginContractError listing every clause of the contract that ``plugin`` violates; None if it keeps all.

    Takes a second or two. What no test can see stays the author's promise, e.g. reading the date once a day.
    """
    checks = plugin_checks(plugin, args)
    violations = [(check, found) for check in checks if (found := check.violation()) is not None]
    if violations:
        raise _error(checks[0].subject, violations)


def _error(subject: Subject, violations: list[tuple[PluginCheck, str]]) -> PluginContractError:
    lines = [f"{check.name}: {found}\n    rule: {check.rule}" for check, found in violations]
    return PluginContractError(f"plugin {subject.found.name} breaks the plugin contract:\n  " + "\n  ".join(lines))
