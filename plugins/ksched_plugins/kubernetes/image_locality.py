"""ImageLocality: prefers nodes that already hold the pod's images.

Upstream: pkg/scheduler/framework/plugins/imagelocality/image_locality.go. An image counts with its size times the
share of all nodes that hold it, so that one node with a rare image does not draw every pod (node heating).
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array

MIB = 1 << 20
MIN_THRESHOLD = 23 * MIB
"""Below this sum of bytes nothing is worth preferring."""
MAX_CONTAINER_THRESHOLD = 1000 * MIB
"""Per container of the pod: above this sum of bytes everything is equally good."""


class ImageLocality:
    """Scores each distinct set of images once; containers and init containers count alike."""

    name = "ImageLocality"
    node_local = True

    def signature(self, pod: PodView) -> Hashable:
        """The images and the number of containers."""
        return (pod.images, _containers(pod))

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n] in 0..100, by the sum of scaled image sizes between the two thresholds."""
        worth = {image: self._worth(nodes, image) for image in pod.images}
        low, high = MIN_THRESHOLD, MAX_CONTAINER_THRESHOLD * _containers(pod)

        def points(present: frozenset[str]) -> int:
            total = sum(worth[image] for image in pod.images if image in present)
            return 100 * (min(max(total, low), high) - low) // (high - low)

        if not any(worth.values()):
            return np.zeros(len(nodes), dtype=np.int64)
        return nodes.per_image_set(points, np.int64)

    @staticmethod
    def _worth(nodes: NodeView, image: str) -> int:
        state = nodes.image(image)
        if state is None or not nodes.total_nodes:
            return 0
        return int(float(state.size) * (state.num_nodes / nodes.total_nodes))


def _containers(pod: PodView) -> int:
    return len(pod.spec.init_containers) + len(pod.spec.containers)
