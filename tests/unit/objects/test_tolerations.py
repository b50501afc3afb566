"""Which toleration covers which taint."""

import pytest

from ksched.objects import Taint, Toleration, find_untolerated, tolerates

TAINT = Taint(key="gpu", value="true", effect="NoSchedule")
ROWS = [
    ("equal key, value and effect", {"key": "gpu", "value": "true", "effect": "NoSchedule"}, TAINT, True),
    ("an empty effect covers all effects", {"key": "gpu", "value": "true"}, TAINT, True),
    ("another effect", {"key": "gpu", "value": "true", "effect": "NoExecute"}, TAINT, False),
    ("another value", {"key": "gpu", "value": "false"}, TAINT, False),
    ("Equal by default needs the value", {"key": "gpu"}, TAINT, False),
    ("Exists ignores the value", {"key": "gpu", "operator": "Exists"}, TAINT, True),
    ("another key", {"key": "cpu", "operator": "Exists"}, TAINT, False),
    ("Exists without key covers everything", {"operator": "Exists"}, TAINT, True),
    ("an unknown operator covers nothing", {"key": "gpu", "operator": "Like", "value": "true"}, TAINT, False),
    ("absent and empty values are the same", {"key": "k", "value": ""}, Taint(key="k", effect="NoSchedule"), True),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_toleration(row):
    _, toleration, taint, expected = row
    assert tolerates(Toleration(**toleration), taint) is expected


def test_the_first_untolerated_taint_of_the_given_effects_is_found():
    taints = (
        Taint(key="soft", effect="PreferNoSchedule"),
        Taint(key="a", effect="NoSchedule"),
        Taint(key="b", effect="NoExecute"),
        Taint(key="c", effect="NoSchedule"),
    )
    hard = ("NoSchedule", "NoExecute")
    tolerations = (Toleration(key="a", operator="Exists"),)
    assert find_untolerated(taints, tolerations, hard) is taints[2]
    assert find_untolerated(taints, tolerations, ("PreferNoSchedule",)) is taints[0]
    assert find_untolerated(taints, (Toleration(operator="Exists"),), hard) is None
    assert find_untolerated((), (), hard) is None
