"""How answers must change when a case changes: relations that hold whatever the right answer is.

Each test states one relation in a sentence. A case is in the form of data/FORMAT.md, drawn at random; the answer holds
every verdict, score and the whole preemption analysis, so a relation speaks of all plugins of the default profile.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ksched.objects import Quantity
from ksched.objects.gpu import GPU_MILLI
from ksched.testing import clusters
from ksched.testing.conformance import evaluate_case
from ksched.testing.pod_rules import pod_affinity, spread_constraints
from ksched.testing.strategies import Drawn

Case = dict[str, Any]
Answer = dict[str, Any]

relation = settings(max_examples=60, deadline=None)
HOSTNAME = "kubernetes.io/hostname"
FILTERS = (
    "NodeUnschedulable",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
)
SCORES = (
    "TaintToleration",
    "NodeAffinity",
    "NodeResourcesFit",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
    "PodTopologySpread",
    "InterPodAffinity",
)
BY_NODE = ("filter", "scoreRaw", "scoreNormalized")
"""Parts of an answer that are a mapping plugin -> node -> value."""


def case_of(choose: clusters.Chooser) -> Case:
    """A cluster with pods on it, services that select some of them, and a pod to schedule.

    Mostly of usable nodes without too many pods, and pods that seldom want a GPU: else little would ever be feasible.
    """
    odd = choose.integer(0, 5) == 5
    world = clusters.world(choose, most_nodes=choose.pick((3, 8)), most_pods=12, odd=odd)
    if not odd and choose.integer(0, 3):
        world = world.usable()
    pods = []
    for held, node in world.pods.values():
        body = _seldom_gpu(choose, held.to_dict())
        body["spec"]["nodeName"] = node
        pods.append(body)
    nodes = [_mostly_roomy(choose, node.to_dict()) for node in world.nodes.values()]
    return {
        "id": "drawn",
        "nodes": nodes,
        "pods": pods,
        "namespaces": [
            {"metadata": {"name": name, "labels": labels}} for name, labels in clusters.NAMESPACE_LABELS.items()
        ],
        "services": [
            {"metadata": {"name": f"s-{namespace}", "namespace": namespace}, "spec": {"selector": {"app": "x"}}}
            for namespace in clusters.subset(choose, ("default", "team"), 2)
        ],
        "pod": _demanding(choose, _seldom_gpu(choose, clusters.pod(choose, "incoming").to_dict())),
    }


def _demanding(choose: clusters.Chooser, pod: dict[str, Any]) -> dict[str, Any]:
    """Often with rules about other pods, and important enough to evict some."""
    spec = pod["spec"]
    if choose.integer(0, 2):
        spec.pop("nodeSelector", None)
        (spec.get("affinity", {}).get("nodeAffinity") or {}).pop("requiredDuringSchedulingIgnoredDuringExecution", None)
    if choose.integer(0, 1):
        spec["topologySpreadConstraints"] = spread_constraints(choose, rare=False)
    if choose.integer(0, 1):
        spec["affinity"] = {**(spec.get("affinity") or {}), **pod_affinity(choose, rare=False)}
    if choose.integer(0, 3) == 0:
        spec["priority"] = 1000
        spec["containers"][0].setdefault("resources", {})["requests"] = {"cpu": "16", "memory": "1Gi"}
    return pod


def _seldom_gpu(choose: clusters.Chooser, pod: dict[str, Any]) -> dict[str, Any]:
    if choose.integer(0, 7) < 7:
        for container in pod["spec"]["containers"]:
            for listed in container.get("resources", {}).values():
                for resource in (GPU_MILLI, "example.com/fpga"):
                    listed.pop(resource, None)
    return pod


def _mostly_roomy(choose: clusters.Chooser, node: dict[str, Any]) -> dict[str, Any]:
    if choose.integer(0, 3) < 3:
        soft = [taint for taint in node["spec"].get("taints", ()) if taint["effect"] == "PreferNoSchedule"]
        node["spec"]["taints"] = soft
    if choose.integer(0, 3):
        node["status"]["allocatable"] |= {"cpu": "16", "memory": "64Gi", "pods": "20"}
    return node


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random cases that shrink."""
    return case_of(Drawn(draw))


def specs(case: Case) -> Iterator[dict[str, Any]]:
    """The specs of all pods of a case."""
    for pod in (*case["pods"], case["pod"]):
        yield pod["spec"]


def of_nodes(answer: Answer, fn: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    """The answer with ``fn`` applied to everything that is a mapping from node names."""
    made = copy.deepcopy(answer)
    for part in BY_NODE:
        for plugin, by_node in (made.get(part) or {}).items():
            made[part][plugin] = fn(by_node)
    for part in ("total", "rejectedBy"):
        if part in made:
            made[part] = fn(made[part])
    if made.get("preemption"):
        made["preemption"]["nodeStatus"] = fn(made["preemption"]["nodeStatus"])
    return made


# -- names and order ---------------------------------------------------------------------------------------------------


def renamed(case: Case, names: Mapping[str, str]) -> Case:
    made = copy.deepcopy(case)
    for node in made["nodes"]:
        node["metadata"]["name"] = names[node["metadata"]["name"]]
        node["metadata"]["labels"][HOSTNAME] = names[node["metadata"]["labels"][HOSTNAME]]
    for spec in specs(made):
        if spec.get("nodeName"):
            spec["nodeName"] = names[spec["nodeName"]]
        for selector in node_terms(spec):
            for field in selector.get("matchFields", ()):
                field["values"] = [names.get(value, value) for value in field["values"]]
    return made


def node_terms(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    rules = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    yield from (rules.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms", ())
    for preferred in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield preferred["preference"]


def renamed_answer(answer: Answer, names: Mapping[str, str]) -> Answer:
    made = of_nodes(answer, lambda by_node: {names[node]: value for node, value in by_node.items()})
    for part in ("feasible", "best"):
        made[part] = sorted(names[node] for node in made[part])
    if "preFilter" in made and made["preFilter"]["nodeNames"] is not None:
        made["preFilter"]["nodeNames"] = sorted(names.get(node, node) for node in made["preFilter"]["nodeNames"])
    if made.get("preemption"):
        found = made["preemption"]
        for part in ("potentialNodes", "bestNodes"):
            found[part] = sorted(names[node] for node in found[part])
        for candidate in found["candidates"]:
            candidate["node"] = names[candidate["node"]]
        found["candidates"].sort(key=lambda candidate: candidate["node"])
        found["nominatedNode"] = found["bestNodes"][0] if found["bestNodes"] else None
    return made


@relation
@given(cases())
def test_renaming_nodes_renames_the_answer_and_changes_nothing_else(case: Case) -> None:
    """Names only break ties: the node nominated for preemption is the alphabetically first of the best."""
    old = [node["metadata"]["name"] for node in case["nodes"]]
    names = {name: f"z{len(old) - position:03}" for position, name in enumerate(old)}
    assert evaluate_case(renamed(case, names)) == renamed_answer(evaluate_case(case), names)


@relation
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_in_which_nodes_came_changes_nothing(case: Case, random: Any) -> None:
    """The order of the pods of one node is kept: among equal ones it says who is evicted first."""
    shuffled = {**case, "nodes": random.sample(case["nodes"], len(case["nodes"]))}
    assert evaluate_case(shuffled) == evaluate_case(case)


# -- what nobody reads -------------------------------------------------------------------------------------------------


@relation
@given(cases(), st.integers(0, 2**31))
def test_a_label_that_no_selector_and_no_topology_key_reads_changes_nothing(case: Case, bits: int) -> None:
    """On nodes, placed pods, the pod itself and namespaces, on some of them or all, with equal or different values."""
    made = copy.deepcopy(case)
    labelled = [*made["nodes"], *made["pods"], made["pod"], *made["namespaces"]]
    for number, holder in enumerate(labelled):
        if bits >> (number % 31) & 1:
            holder["metadata"].setdefault("labels", {})["example.com/irrelevant"] = f"v{number % 3}"
    assert evaluate_case(made) == evaluate_case(case)


NOBODYS = "nobody-fits"


@relation
@given(cases())
def test_a_node_nobody_fits_changes_nothing_for_the_others_but_how_common_images_are(case: Case) -> None:
    """It has no label, so it is in no topology domain. ImageLocality divides by the number of all nodes: its scores
    may fall, and the totals and the choice with them."""
    nobodys = {"metadata": {"name": NOBODYS}, "spec": {"unschedulable": True}, "status": {"allocatable": {"pods": "0"}}}
    before, after = evaluate_case(case), evaluate_case({**case, "nodes": [*case["nodes"], nobodys]})
    assert NOBODYS not in after["feasible"]
    after = of_nodes(after, lambda by_node: {node: value for node, value in by_node.items() if node != NOBODYS})
    if not after.get("rejectedBy"):
        after.pop("rejectedBy", None)
    if after.get("preemption"):
        found = after["preemption"]
        assert NOBODYS not in [candidate["node"] for candidate in found["candidates"]]
        found["potentialNodes"] = [node for node in found["potentialNodes"] if node != NOBODYS]
    images_before, images_after = (answer.get("scoreRaw", {}).pop("ImageLocality", {}) for answer in (before, after))
    assert images_before.keys() == images_after.keys()
    assert all(images_after[node] <= points for node, points in images_before.items())
    for answer in (before, after):
        points = answer.get("scoreNormalized", {}).pop("ImageLocality", {})
        if "total" in answer:
            answer["total"] = {node: total - points[node] for node, total in answer["total"].items()}
        del answer["best"]
    assert after == before


# -- units -------------------------------------------------------------------------------------------------------------

SCALED = ("cpu", "memory", "ephemeral-storage", "example.com/fpga")


def amounts(case: Case) -> Iterator[dict[str, str]]:
    """Every resource list of a case."""
    for node in case["nodes"]:
        yield node["status"]["allocatable"]
    for spec in specs(case):
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            yield from container.get("resources", {}).values()


def times(resource: str, text: str, factor: int) -> str:
    quantity = Quantity.parse(text)
    return f"{quantity.milli_value() * factor}m" if resource == "cpu" else str(quantity.value() * factor)


@relation
@given(cases(), st.sampled_from([2, 3, 10, 1000]))
def test_scaling_all_resources_alike_changes_nothing(case: Case, factor: int) -> None:
    """Every score is a function of ratios, every filter of comparisons. Requests are spelt out first: what scoring
    assumes for a missing one (100m and 200 MiB) does not scale. Pod slots are counts and stay."""
    case = copy.deepcopy(case)
    for spec in specs(case):
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            requests = container.setdefault("resources", {}).setdefault("requests", {})
            for resource in ("cpu", "memory"):
                requests.setdefault(resource, "0")
    scaled = copy.deepcopy(case)
    for listed in amounts(scaled):
        for resource in listed.keys() & set(SCALED):
            listed[resource] = times(resource, listed[resource], factor)
    assert evaluate_case(scaled) == evaluate_case(case)


# -- equal terms -------------------------------------------------------------------------------------------------------


def preferred_terms(spec: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    for rules in (spec.get("affinity") or {}).values():
        yield (rules or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or []


def split(terms: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    """Every term of weight w > 1 as two equal ones of weights that add up to w."""
    made = []
    for term in terms:
        weight = term["weight"]
        if weight < 2:
            made.append(term)
        else:
            first = 1 + part % (weight - 1)
            made += [{**term, "weight": first}, {**term, "weight": weight - first}]
    return made


@relation
@given(cases(), st.integers(0, 100))
def test_a_preferred_term_split_in_two_equal_ones_of_the_same_weight_together_changes_nothing(
    case: Case, part: int
) -> None:
    """Node affinity, pod affinity and anti-affinity, of the pod itself and of placed pods: weights are added up."""
    made = copy.deepcopy(case)
    terms = [terms for spec in specs(made) for terms in preferred_terms(spec) if terms]
    assume(any(term["weight"] > 1 for listed in terms for term in listed))
    for listed in terms:
        listed[:] = split(listed, part)
    assert evaluate_case(made) == evaluate_case(case)


@relation
@given(cases())
def test_a_required_term_of_the_pod_said_twice_changes_nothing(case: Case) -> None:
    """Terms of node affinity are alternatives, those of pod (anti-)affinity conditions: neither minds repetition.

    Required affinity of placed pods is left alone: each of its terms scores (hardPodAffinityWeight)."""
    made = copy.deepcopy(case)
    affinity = made["pod"]["spec"].get("affinity") or {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    selector = (affinity.get("nodeAffinity") or {}).get(required) or {}
    listed = [selector.get("nodeSelectorTerms") or []]
    listed += [(affinity.get(kind) or {}).get(required) or [] for kind in ("podAffinity", "podAntiAffinity")]
    assume(any(listed))
    for terms in listed:
        terms *= 2
    assert evaluate_case(made) == evaluate_case(case)


# -- whether the relations have anything to bite on --------------------------------------------------------------------


def test_cases_of_this_kind_make_every_plugin_reject_or_score_and_pods_be_evicted() -> None:
    rejecting: Counter[str] = Counter()
    scoring: Counter[str] = Counter()
    evicting = 0
    for seed in range(200):
        answer = evaluate_case(case_of(clusters.Seeded(seed)))
        rejecting.update(plugin for plugin, nodes in answer.get("filter", {}).items() if any(nodes.values()))
        scoring.update(plugin for plugin, nodes in answer.get("scoreRaw", {}).items() if len(set(nodes.values())) > 1)
        evicting += bool((answer["preemption"] or {}).get("candidates"))
    assert min(rejecting[plugin] for plugin in FILTERS) >= 5
    assert min(scoring[plugin] for plugin in SCORES) >= 5
    assert evicting >= 5
