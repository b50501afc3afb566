"""The scenarios of upstream's scheduler_perf: which nodes, which pods already there, which pods arrive.

Upstream: test/integration/scheduler_perf/config/performance-config.yaml and config/templates, v1.30;
SchedulingDaemonset came later. SystemDefaultSpreading is ours. Numbers of initial pods per node are those of the
5000-node workloads. Departures: nodes have 64 cpu instead of 4 and pods ask for 5 MiB, so that all pods fit whatever
the number of nodes; nodes are in ten zones instead of one or three; preferred affinity is to zones instead of nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ksched.framework import Framework, default_configuration
from ksched.framework.listers import Listers
from ksched.objects import Pod, default, parse
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod, node_affinity, term
from ksched.testing.storage_factories import claim_volume, make_claim, make_csi_node, make_volume

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
SIZES = (500, 1000, 5000)
Template = Mapping[str, Any]
"""What :func:`~ksched.testing.factories.make_pod` is given."""


def affinity(side: str, key: str, labels: Mapping[str, str], *, weight: int | None = None) -> dict[str, Any]:
    """Towards ("podAffinity") or away from pods with ``labels``: required, or preferred with a ``weight``."""
    rule = {"topologyKey": key, "labelSelector": {"matchLabels": dict(labels)}}
    if weight is None:
        return {side: {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}
    weighted = {"weight": weight, "podAffinityTerm": rule}
    return {side: {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}}


def spread(action: str) -> list[dict[str, Any]]:
    """Blue pods spread over zones."""
    selector = {"matchLabels": {"color": "blue"}}
    return [{"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": action, "labelSelector": selector}]


GREEN, BLUE, FOO = {"color": "green"}, {"color": "blue"}, {"foo": ""}
PLAIN: Template = {}
WITH_AFFINITY: Template = {"labels": BLUE, "affinity": affinity("podAffinity", ZONE, BLUE)}
WITH_ANTI_AFFINITY: Template = {"labels": GREEN, "affinity": affinity("podAntiAffinity", HOST, GREEN)}
WITH_PREFERRED_AFFINITY: Template = {"labels": FOO, "affinity": affinity("podAffinity", ZONE, FOO, weight=1)}
WITH_PREFERRED_ANTI_AFFINITY: Template = {
    "labels": FOO,
    "affinity": affinity("podAntiAffinity", HOST, FOO, weight=1),
}


def pod_of(template: Template, name: str) -> Pod:
    """A pod of a template."""
    return make_pod(name, **{"cpu": "100m", "memory": "5Mi", **template})


def copies(template: Pod) -> Iterator[PodView]:
    """Endless pods of one template, each with a name and uid of its own."""
    for i in count():
        name = f"{template.metadata.name}-{i}"
        yield PodView(template.replaced(metadata=template.metadata.replaced(name=name, uid=name)))


@dataclass(frozen=True)
class Scenario:
    """Pods of one template arrive at a cluster that holds ``initial`` pods: how many per node of which template.

    ``exclusive``: a node takes one such pod only.
    """

    name: str
    template: Template = field(default_factory=dict)
    initial: tuple[tuple[float, Template], ...] = ()
    exclusive: bool = False

    def framework(self, nodes: int) -> Framework:
        """The default profile, every node scored, over the filled cluster."""
        table = NodeTable()
        for i in range(nodes):
            table.add_node(make_node(f"node-{i}", cpu=64, memory="32Gi", labels={ZONE: f"zone-{i % 10}"}))
        self.prepare(table)
        for kind, (per_node, template) in enumerate(self.initial):
            pods = copies(pod_of(template, f"initial-{kind}"))
            for i in range(round(per_node * nodes)):
                table.add_pod(next(pods), f"node-{i % nodes}")
        return Framework(default_configuration().profiles[0], table, objects=self.objects(nodes))

    def prepare(self, table: NodeTable) -> None:
        """Nodes beside the usual ones."""

    def objects(self, nodes: int) -> Listers:
        """Objects beside nodes and pods."""
        return Listers()

    def arriving(self) -> Iterator[PodView]:
        """Endless pods."""
        return copies(pod_of(self.template, "pod"))

    def room(self, nodes: int) -> int | None:
        """How many pods fit; None for more than any run asks for."""
        return nodes - sum(round(per_node * nodes) for per_node, _ in self.initial) if self.exclusive else None


class Services(Scenario):
    """Pods of twenty Services take turns: those the system's default constraints spread."""

    KINDS = 20

    def objects(self, nodes: int) -> Listers:
        objects = Listers()
        for kind in range(self.KINDS):
            spec = {"selector": {"app": f"app-{kind}"}, "ports": [{"port": 80}]}
            manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"service-{kind}"}, "spec": spec}
            objects.put(default(parse(manifest, where="benchmark")))
        return objects

    def arriving(self) -> Iterator[PodView]:
        kinds = [copies(pod_of({"labels": {"app": f"app-{i}"}}, f"app-{i}")) for i in range(self.KINDS)]
        while True:
            for kind in kinds:
                yield next(kind)


class Daemonset(Scenario):
    """All pods name one and the same node, as a DaemonSet's pods name theirs."""

    NODE = "scheduler-perf-node"

    def prepare(self, table: NodeTable) -> None:
        table.add_node(make_node(self.NODE, cpu=90_000, memory="90000Gi", pods=90_000))


class Unschedulable(Scenario):
    """One pod in six fits on no node, asks whether preemption would help, and stays behind."""

    def arriving(self) -> Iterator[PodView]:
        large, plain = copies(pod_of({"cpu": 65}, "large")), copies(pod_of(PLAIN, "pod"))
        while True:
            yield next(large)
            for _ in range(5):
                yield next(plain)


class Volumes(Scenario):
    """Each pod has a claim of its own, bound to a volume of a driver that takes 39 to a node."""

    DRIVER = "ebs.csi.aws.com"
    CLAIMS = 2000

    def objects(self, nodes: int) -> Listers:
        objects = Listers(make_csi_node(f"node-{i}", {self.DRIVER: 39}) for i in range(nodes))
        for i in range(self.CLAIMS):
            objects.put(make_claim(f"claim-{i}", volume=f"volume-{i}"))
            source = {"csi": {"driver": self.DRIVER, "volumeHandle": f"volume-{i}"}}
            objects.put(make_volume(f"volume-{i}", claim=f"claim-{i}", source=source))
        return objects

    def arriving(self) -> Iterator[PodView]:
        for i in range(self.CLAIMS):
            yield PodView(pod_of({"volumes": claim_volume(f"claim-{i}")}, f"pod-{i}"))


NEAR_ZONES = node_affinity(term(f"{ZONE} In zone-1,zone-2"))
SCENARIOS = [
    Scenario("SchedulingBasic", PLAIN, ((0.2, PLAIN),)),
    Scenario("SchedulingPodAntiAffinity", WITH_ANTI_AFFINITY, ((0.2, WITH_ANTI_AFFINITY),), exclusive=True),
    Scenario("SchedulingPodAffinity", WITH_AFFINITY, ((1, WITH_AFFINITY),)),
    Scenario("SchedulingPreferredPodAffinity", WITH_PREFERRED_AFFINITY, ((1, WITH_PREFERRED_AFFINITY),)),
    Scenario("SchedulingPreferredPodAntiAffinity", WITH_PREFERRED_ANTI_AFFINITY, ((1, WITH_PREFERRED_ANTI_AFFINITY),)),
    Scenario("SchedulingNodeAffinity", {"affinity": NEAR_ZONES}, ((1, {"affinity": NEAR_ZONES}),)),
    Scenario(
        "TopologySpreading", {"labels": BLUE, "topologySpreadConstraints": spread("DoNotSchedule")}, ((1, PLAIN),)
    ),
    Scenario(
        "PreferredTopologySpreading",
        {"labels": BLUE, "topologySpreadConstraints": spread("ScheduleAnyway")},
        ((1, PLAIN),),
    ),
    Scenario(
        "MixedSchedulingBasePod",
        PLAIN,
        tuple(
            (0.4, template)
            for template in (
                PLAIN,
                WITH_AFFINITY,
                WITH_ANTI_AFFINITY,
                WITH_PREFERRED_AFFINITY,
                WITH_PREFERRED_ANTI_AFFINITY,
            )
        ),
    ),
    Unschedulable("Unschedulable"),
    Daemonset("SchedulingDaemonset", {"affinity": node_affinity(term(fields=[f"metadata.name In {Daemonset.NODE}"]))}),
    Scenario("SchedulingSecrets", {"volumes": [{"name": "secret", "secret": {"secretName": "secret"}}]}, ((1, PLAIN),)),
    Volumes("SchedulingCSIPVs"),
    Services("SystemDefaultSpreading"),
]
