"""Whether a toleration covers a taint (k8s.io/api/core/v1/toleration.go, component-helpers scheduling/corev1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from .node import Taint
from .pod import Toleration

NO_SCHEDULE: Final = "NoSchedule"
PREFER_NO_SCHEDULE: Final = "PreferNoSchedule"
NO_EXECUTE: Final = "NoExecute"
TAINT_EFFECTS: Final = (NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether ``toleration`` covers ``taint``.

    An empty effect covers every effect, an empty key (with Exists) every key. Operator Exists ignores the value; Equal,
    the default, compares it, where absent and "" are the same. Any other operator covers nothing.
    """
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    operator = toleration.operator or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.value or "") == (taint.value or "")


def find_untolerated(
    taints: Iterable[Taint], tolerations: Collection[Toleration], effects: Collection[str]
) -> Taint | None:
    """The first taint with one of ``effects`` that no toleration covers; None when all are covered."""
    for taint in taints:
        if taint.effect in effects and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None
