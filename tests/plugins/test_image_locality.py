"""ImageLocality, row by row (upstream: image_locality_test.go)."""

from __future__ import annotations

import pytest

from ksched.testing import ask, make_node, make_pod
from ksched_plugins.kubernetes.image_locality import ImageLocality

MIB = 1 << 20


@pytest.mark.parametrize(
    ("images", "points"),
    [
        pytest.param(("tiny:1",), 0, id="an image below 23 MiB is not worth moving for"),
        pytest.param(("absent:1",), 0, id="nor is one that is nowhere"),
        pytest.param(("huge:1",), 100, id="above 1000 MiB everything is as good"),
        # (500 / 2 - 23) / (1000 - 23) of 100
        pytest.param(("half:1",), 23, id="an image counts by the share of nodes that have it"),
        pytest.param(("web",), 47, id="no tag means latest"),
        # both images, thresholds of two containers: (486 + 250 - 23) / (2000 - 23)
        pytest.param(("web", "half:1"), 36, id="images add up and each container raises the ceiling"),
    ],
)
def test_score_of_a_node_with_all_images(images: tuple[str, ...], points: int) -> None:
    held = {"tiny:1": 20 * MIB, "huge:1": 4000 * MIB, "half:1": 500 * MIB, "web:latest": 972 * MIB}
    answer = ask(ImageLocality(), make_pod(images=images), [make_node("with", images=held), make_node("without")])
    assert answer.raw == {"with": points, "without": 0}


def test_init_containers_count_too() -> None:
    nodes = [make_node("n", images={"init:1": 1500 * MIB})]
    pod = make_pod(images=("app:1",), initContainers=[{"name": "i", "image": "init:1"}])
    # (1500 - 23) / (2 * 1000 - 23) of 100
    assert ask(ImageLocality(), pod, nodes).raw == {"n": 74}
