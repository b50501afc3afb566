"""The scheduler's cache: the NodeTable kept true to what the api-server told, plus pods assumed before it confirms.

Upstream: pkg/scheduler/internal/cache. A pod is assumed on its node as soon as it is decided, so that the next decision
sees it; it is forgotten if binding fails and confirmed when the watch shows it bound.
"""

from __future__ import annotations

from ksched.objects import Node, Pod
from ksched.tables import NodeTable, PodView

FINISHED = ("Succeeded", "Failed")
"""Phases in which a pod holds nothing; kube-scheduler never sees such pods."""


class SchedulerCache:
    """Assumed and confirmed pods over a NodeTable."""

    def __init__(self, table: NodeTable | None = None) -> None:
        self.table = table if table is not None else NodeTable()
        self._assumed: dict[str, PodView] = {}

    def add_node(self, node: Node) -> None:
        """A Node appeared."""
        self.table.add_node(node)

    def update_node(self, node: Node) -> None:
        """A Node changed."""
        self.table.update_node(node)

    def remove_node(self, name: str) -> None:
        """A Node went away; its pods are counted again should it come back."""
        self.table.remove_node(name)

    def assume(self, pod: PodView, node_name: str, devices: tuple[int, ...] | None) -> None:
        """Count ``pod`` on a node although nobody confirmed it yet."""
        self.table.add_pod(pod, node_name, devices)
        self._assumed[pod.uid] = pod

    def forget(self, pod: PodView) -> None:
        """Take back an assumed pod."""
        if self._assumed.pop(pod.uid, None) is not None:
            self.table.remove_pod(pod.uid)

    def is_assumed(self, uid: str) -> bool:
        """Whether the pod is assumed and not yet confirmed."""
        return uid in self._assumed

    def add_pod(self, pod: Pod) -> None:
        """The watch shows ``pod`` on a node: confirm it, or move it if it went elsewhere than assumed."""
        uid, node_name = _uid(pod), pod.spec.node_name or ""
        assumed = self._assumed.pop(uid, None)
        if assumed is not None and not _counts_differently(assumed, pod) and self.table.renew_pod(uid, pod, node_name):
            return  # What is counted stays. Only the pod is replaced: preemption reads it, and the old one can go.
        counted_on = self.table.node_of(uid)
        if counted_on == node_name:
            self.update_pod(pod)
            return
        if counted_on is not None:
            self.table.remove_pod(uid)
        self.table.add_pod(PodView(pod), node_name)

    def update_pod(self, pod: Pod) -> None:
        """A pod on a node changed in a way the table counts (labels, requests, deletion)."""
        placed = self.table.remove_pod(_uid(pod))
        self.table.add_pod(PodView(pod), pod.spec.node_name or "", placed.devices or None)

    def renew_pod(self, pod: Pod) -> None:
        """A pod on a node changed in a way that preemption reads and no column (its start, its disruption)."""
        self.table.renew_pod(_uid(pod), pod)

    def remove_pod(self, uid: str) -> None:
        """A pod left its node (deleted or finished); unknown pods are ignored."""
        self._assumed.pop(uid, None)
        if self.table.node_of(uid) is not None:
            self.table.remove_pod(uid)


def _counts_differently(assumed: PodView, pod: Pod) -> bool:
    """Whether a pod was given other labels, or is being deleted, since it was assumed: it is counted by both."""
    before, now = assumed.pod.metadata, pod.metadata
    return before.labels != now.labels or (before.deletion_timestamp is None) != (now.deletion_timestamp is None)


def _uid(pod: Pod) -> str:
    """The uid a PodView has, without compiling the spec: most confirmations need no more."""
    meta = pod.metadata
    return meta.uid or f"{meta.namespace or 'default'}/{meta.name}"
