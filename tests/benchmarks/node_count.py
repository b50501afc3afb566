"""Cost of a decision against the number of nodes, by how much pods have in common.

Nodes: 32 cpu, 128 GiB, 110 pods, three zones; the default profile, every node scored. One template is what a Deployment
or a Job makes; 500 signatures are so many templates taking turns; all distinct are pods no two of which ask for the
same, so that nothing found out about one helps another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from statistics import median

from ksched.framework import Framework, default_configuration
from ksched.objects import Pod, PodSpec
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod
from measuring import cpu_seconds, decide

ONE_TEMPLATE, SIGNATURES, ALL_DISTINCT = "one template", "500 signatures", "all distinct"
BATCH, BATCHES = 200, 8


def cluster(nodes: int, *, pods: int = 110) -> NodeTable:
    """An empty cluster; a node takes ``pods`` pods."""
    table = NodeTable()
    for i in range(nodes):
        labels = {"kubernetes.io/hostname": f"node-{i:05d}", "topology.kubernetes.io/zone": f"zone-{i % 3}"}
        table.add_node(make_node(f"node-{i:05d}", cpu="32", memory="128Gi", pods=pods, labels=labels))
    return table


def framework_over(table: NodeTable) -> Framework:
    """The default profile."""
    return Framework(default_configuration().profiles[0], table)


def spec(milli: int, mebi: int = 128) -> PodSpec:
    """One container that asks for so much."""
    return make_pod("template", cpu=f"{milli}m", memory=f"{mebi}Mi").spec


def numbered(specs: list[PodSpec]) -> Iterator[PodView]:
    """Endless pods of their own names and uids, taking turns at ``specs``."""
    template = make_pod("template")
    for i in count():
        meta = template.metadata.replaced(name=f"pod-{i}", uid=f"uid-{i}")
        yield PodView(Pod.replaced(template, metadata=meta, spec=specs[i % len(specs)]))


CASES: Mapping[str, Callable[[], list[PodSpec]]] = {
    ONE_TEMPLATE: lambda: [spec(100)],
    SIGNATURES: lambda: [spec(100 + i) for i in range(500)],
    ALL_DISTINCT: lambda: [spec(10 + i, 64 + i % 977) for i in range(BATCH * (BATCHES + 2))],
}


class NodeCountRun:
    """A case at one size: signatures that come back have been met once."""

    def __init__(self, case: str, nodes: int) -> None:
        specs = CASES[case]()
        self._framework = framework_over(cluster(nodes))
        self._pods = numbered(specs)
        decide(self._framework, islice(self._pods, BATCH if case == ALL_DISTINCT else max(BATCH, len(specs))))

    def batch(self) -> None:
        """Decide and place the next pods."""
        decide(self._framework, islice(self._pods, BATCH))

    def seconds_per_decision(self) -> float:
        """CPU seconds, the median over batches."""
        return median(cpu_seconds(self.batch) for _ in range(BATCHES)) / BATCH
