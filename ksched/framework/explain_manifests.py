"""Explaining a pod from manifests alone: nodes, bound pods and the rest become a cluster for one decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ksched.errors import InputError, nearest
from ksched.framework.cache import FINISHED
from ksched.framework.explain import explain
from ksched.framework.explanation import Explanation
from ksched.framework.framework import Framework
from ksched.framework.listers import Listers
from ksched.framework.profile import Profile, SchedulerConfiguration, default_configuration
from ksched.objects import KubeObject, Namespace, Node, Pod, PriorityClass, default, validate
from ksched.tables import NodeTable, PodView


def explain_objects(
    objects: Iterable[KubeObject],
    pod_name: str,
    configuration: SchedulerConfiguration | None = None,
    *,
    seed: int = 0,
    fit_on: Iterable[str] = (),
) -> Explanation:
    """Explain where ``pod_name`` ("namespace/name"; a bare name is in "default") goes in the cluster of ``objects``.

    Nodes, bound pods and all that is neither (claims, services, ...) make up the cluster. Other pending pods are left
    out, and so is the pod itself where it is already bound: the answer then says why it is (or would no longer be)
    where it is. ``fit_on`` names nodes for which to say what would have to change. Raises InputError if an object is
    invalid, or there is no such pod or node, or no profile for it.
    """
    listed = _checked(objects)
    classes = {obj.name: obj.value or 0 for obj in listed if isinstance(obj, PriorityClass)}
    pods = {PodView(pod).key: _with_priority(pod, classes) for pod in listed if isinstance(pod, Pod)}
    pod = _the_pod(pods, pod_name if "/" in pod_name else f"default/{pod_name}")
    profile = _profile_of(pod, configuration or default_configuration())
    table = NodeTable()
    for obj in listed:
        if isinstance(obj, Node):
            table.add_node(obj)
        elif isinstance(obj, Namespace):
            table.namespaces.put(obj.name, obj.metadata.labels)
    if not table.n:
        raise InputError("there is no Node in the manifests", hint="add them: kubectl get nodes -o yaml")
    notes = _fill(table, [other for other in pods.values() if other is not pod])
    unbound = pod.replaced(spec=pod.spec.replaced(node_name=None)) if pod.spec.node_name else pod
    others = Listers(obj for obj in listed if not isinstance(obj, (Node, Pod, Namespace)))
    framework = Framework(profile, table, seed=seed, objects=others)
    return replace(explain(framework, PodView(unbound), fit_on=fit_on), notes=notes)


def _checked(objects: Iterable[KubeObject]) -> list[KubeObject]:
    """The objects as the api-server would hold them; InputError for what it would refuse."""
    listed = [default(obj) for obj in objects]
    seen: set[tuple[str, str]] = set()
    for obj in listed:
        validate(obj)
        if (obj.KIND, obj.key) in seen:
            raise InputError(f"{obj.KIND} {obj.key} is given twice", hint="each object may stand in one manifest only")
        seen.add((obj.KIND, obj.key))
    return listed


def _the_pod(pods: Mapping[str, Pod], name: str) -> Pod:
    if name not in pods:
        guess = nearest(name, pods)
        hint = f"did you mean {guess!r}?" if guess else "pods there: " + (", ".join(sorted(pods)[:10]) or "none")
        raise InputError(f"there is no pod {name!r} in the manifests", hint=hint)
    return pods[name]


def _profile_of(pod: Pod, configuration: SchedulerConfiguration) -> Profile:
    wanted = pod.spec.scheduler_name or ""
    profile = configuration.profile(wanted)
    if profile is None:
        known = ", ".join(repr(p.scheduler_name) for p in configuration.profiles)
        raise InputError(
            f"pod {PodView(pod).key!r} wants scheduler {wanted!r}, which has no profile",
            hint=f"profiles are for: {known}",
        )
    return profile


def _fill(table: NodeTable, others: Iterable[Pod]) -> tuple[str, ...]:
    """Count the bound pods; returns a sentence about each group of pods that is not counted."""
    pending: list[str] = []
    astray: list[str] = []
    seen: dict[str, str] = {}
    for other in others:
        view = PodView(other)
        if view.uid in seen:
            raise InputError(f"pods {seen[view.uid]} and {view.key} have the same metadata.uid {view.uid!r}")
        seen[view.uid] = view.key
        if other.status.phase in FINISHED:
            continue
        if not other.spec.node_name:
            pending.append(view.key)
        elif other.spec.node_name not in table.index:
            astray.append(view.key)
        else:
            table.add_pod(view, other.spec.node_name)
    sentences = {
        "{n} left out because pending: {names}": pending,
        "{n} left out because the node is not in the manifests: {names}": astray,
    }
    return tuple(
        sentence.format(n=f"{len(keys)} pod{'s' if len(keys) > 1 else ''}", names=_first(sorted(keys)))
        for sentence, keys in sentences.items()
        if keys
    )


def _first(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _with_priority(pod: Pod, classes: Mapping[str, int]) -> Pod:
    """The priority admission would have resolved from the class, where the manifest only names the class."""
    name = pod.spec.priority_class_name
    if pod.spec.priority is not None or not name or name not in classes:
        return pod
    return pod.replaced(spec=pod.spec.replaced(priority=classes[name]))
