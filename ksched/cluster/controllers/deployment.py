"""The Deployment controller: moves pods from one ReplicaSet to another (pkg/controller/deployment)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ksched.cluster.controllers import rollout
from ksched.cluster.controllers.adoption import claim
from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.pods import controller_reference, is_finished
from ksched.cluster.controllers.steps import Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.meta import Condition, LabelSelector, ObjectMeta
from ksched.objects.pod import Pod
from ksched.objects.selectors import LabelSelectorMatcher
from ksched.objects.workloads import Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec


class DeploymentController:
    """Keys are ``namespace/name`` of Deployments."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._deployments = context.informer(Deployment)
        self._sets = context.dependents(ReplicaSet)
        self._pods = context.dependents(Pod)
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._deployments.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._enqueue)
        context.informer(ReplicaSet).add_handler(
            self._set_changed, lambda old, new: self._set_changed(new), self._set_changed
        )
        context.informer(Pod).add_handler(on_delete=self._pod_deleted)

    # -- events -----------------------------------------------------------------------------------------------

    def _enqueue(self, deployment: Deployment) -> None:
        self.queue.add(deployment.key)

    def _set_changed(self, replica_set: ReplicaSet) -> None:
        reference = replica_set.metadata.controller
        if reference is not None:
            if reference.kind == Deployment.KIND:
                self.queue.add(f"{replica_set.namespace}/{reference.name}")
            return
        for deployment in self._deployments.store.values():
            selected = LabelSelectorMatcher(deployment.spec.selector).matches(replica_set.metadata.labels)
            if deployment.namespace == replica_set.namespace and selected:
                self._enqueue(deployment)

    def _pod_deleted(self, pod: Pod) -> None:
        # Recreate waits for the last old pod to be gone; nothing else here depends on single pods.
        reference = pod.metadata.controller
        if reference is None or reference.kind != ReplicaSet.KIND:
            return
        for deployment in self._deployments.store.values():
            if _recreates(deployment) and deployment.namespace == pod.namespace:
                self._enqueue(deployment)

    # -- sync -------------------------------------------------------------------------------------------------

    def sync(self, key: str) -> Steps:
        """Take one Deployment's rollout a step further."""
        namespace, _, name = key.partition("/")
        deployment = self._deployments.get(namespace, name)
        if deployment is None:
            return
        selector = LabelSelectorMatcher(deployment.spec.selector)
        owned, orphans = self._sets.of(deployment.metadata.uid or ""), self._sets.orphans(namespace)
        sets: list[ReplicaSet] = yield from claim(self._client, deployment, selector, owned, orphans)
        new = _newest(deployment, sets)
        old = [s for s in sets if new is None or s.metadata.uid != new.metadata.uid]
        if deployment.metadata.deletion_timestamp is not None:
            yield from self._write_status(deployment, new, sets)
        elif deployment.spec.paused or _scaled(deployment, sets):
            new = yield from self._scale(deployment, new, old)
            yield from self._write_status(deployment, new, _with(new, old))
        elif _recreates(deployment):
            yield from self._recreate(deployment, new, old)
        else:
            yield from self._roll(deployment, new, old)

    def _roll(self, deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> Any:
        """One move of a rolling update: grow the new set, else shrink the old ones."""
        new = yield from self._ensure_new(deployment, new, old)
        size = rollout.new_set_size(deployment, _with(new, old), new.spec.replicas or 0)
        if (new.spec.replicas or 0) > (deployment.spec.replicas or 0):
            size = deployment.spec.replicas or 0
        if size != (new.spec.replicas or 0):
            new = yield from self._resize(deployment, new, size)
            yield from self._write_status(deployment, new, _with(new, old))
            return
        shrunk = yield from self._shrink_old(deployment, new, old)
        if shrunk is not None:
            yield from self._write_status(deployment, new, _with(new, shrunk))
            return
        if _complete(deployment, new, old):
            yield from self._clean_up(deployment, old)
        yield from self._write_status(deployment, new, _with(new, old))

    def _shrink_old(self, deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> Any:
        """Scale the old sets down as far as availability allows; unhealthy pods first. None: nothing to do."""
        if rollout.total(old) == 0:
            return None
        _, unavailable = rollout.surge_and_unavailable(deployment)
        minimum = (deployment.spec.replicas or 0) - unavailable
        everything = _with(new, old)
        new_missing = (new.spec.replicas or 0) - (new.status.available_replicas or 0)
        budget = rollout.total(everything) - minimum - new_missing
        if budget <= 0:
            return None
        sizes = {s.name: s.spec.replicas or 0 for s in old}
        oldest_first = sorted(old, key=lambda s: (s.metadata.creation_timestamp or "", s.name))
        for replica_set in oldest_first:
            unhealthy = sizes[replica_set.name] - (replica_set.status.available_replicas or 0)
            taken = max(min(budget, unhealthy), 0)
            sizes[replica_set.name] -= taken
            budget -= taken
        spare = max(rollout.available(everything) - minimum, 0)
        for replica_set in oldest_first:
            taken = min(spare, sizes[replica_set.name])
            sizes[replica_set.name] -= taken
            spare -= taken
        changed = False
        shrunk = []
        for replica_set in old:
            size = sizes[replica_set.name]
            if size != (replica_set.spec.replicas or 0):
                changed = True
                replica_set = yield from self._resize(deployment, replica_set, size)
            shrunk.append(replica_set)
        return shrunk if changed else None

    def _recreate(self, deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> Any:
        """First all old pods go, then the new ones come."""
        if rollout.total(old):
            shrunk = []
            for replica_set in old:
                if replica_set.spec.replicas:
                    replica_set = yield from self._resize(deployment, replica_set, 0)
                shrunk.append(replica_set)
            yield from self._write_status(deployment, new, _with(new, shrunk))
            return
        if any(not is_finished(pod) for s in old for pod in self._pods.of(s.metadata.uid or "")):
            yield from self._write_status(deployment, new, _with(new, old))
            return
        new = yield from self._ensure_new(deployment, new, old)
        if (new.spec.replicas or 0) != (deployment.spec.replicas or 0):
            new = yield from self._resize(deployment, new, deployment.spec.replicas or 0)
        if _complete(deployment, new, old):
            yield from self._clean_up(deployment, old)
        yield from self._write_status(deployment, new, _with(new, old))

    def _scale(self, deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> Any:
        """The number of replicas has changed: the one set with pods follows, or several in proportion."""
        everything = _with(new, old)
        live = [s for s in everything if s.spec.replicas]
        if len(live) <= 1:
            target = live[0] if live else new
            if target is not None and (target.spec.replicas or 0) != (deployment.spec.replicas or 0):
                resized = yield from self._resize(deployment, target, deployment.spec.replicas or 0)
                return resized if new is not None and resized.name == new.name else new
            if target is not None:
                yield from self._resize(deployment, target, target.spec.replicas or 0)
            return new
        if _recreates(deployment):
            return new
        for replica_set, size in zip(live, rollout.proportions(deployment, live), strict=True):
            resized = yield from self._resize(deployment, replica_set, size)
            if new is not None and resized.name == new.name:
                new = resized
        return new

    # -- ReplicaSets ------------------------------------------------------------------------------------------

    def _ensure_new(self, deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> Any:
        revision = str(max((_revision(s) for s in old), default=0) + 1)
        if new is not None:
            if _revision(new) < int(revision):
                new = yield from self._annotate(new, {rollout.REVISION: revision})
            yield from self._set_revision(deployment, new.metadata.annotations[rollout.REVISION])
            return new
        collisions = deployment.status.collision_count or 0
        wanted = self._replica_set(deployment, old, revision, collisions)
        created, error = yield call(self._client.create, wanted)
        if error is not None and error.is_already_exists:
            created, failed = yield call(self._client.get, ReplicaSet, deployment.namespace, wanted.name)
            if failed is not None:
                raise failed
            owner = created.metadata.controller
            ours = owner is not None and owner.uid == deployment.metadata.uid
            if not (ours and rollout.same_template(created.spec.template, wanted.spec.template)):
                # Another template has the same hash: count the collision and hash anew next time.
                status = deployment.status.replaced(collision_count=collisions + 1)
                yield call(self._client.update_status, deployment.replaced(status=status))
                raise error
        elif error is not None:
            raise error
        yield from self._set_revision(deployment, revision)
        return created

    def _replica_set(
        self, deployment: Deployment, old: Sequence[ReplicaSet], revision: str, collisions: int
    ) -> ReplicaSet:
        template = deployment.spec.template
        name_hash = rollout.template_hash(template, collisions)
        labels = template.metadata.labels | {rollout.HASH_LABEL: name_hash}
        selector = deployment.spec.selector or LabelSelector()
        matched = selector.match_labels | {rollout.HASH_LABEL: name_hash}
        spec = ReplicaSetSpec(
            replicas=rollout.new_set_size(deployment, old, 0),
            min_ready_seconds=deployment.spec.min_ready_seconds or 0,
            selector=selector.replaced(match_labels=matched),
            template=template.replaced(metadata=template.metadata.replaced(labels=labels)),
        )
        meta = ObjectMeta(
            name=f"{deployment.name}-{name_hash}",
            namespace=deployment.namespace,
            labels=labels,
            annotations=_size_annotations(deployment) | {rollout.REVISION: revision},
            owner_references=(controller_reference(deployment),),
        )
        return ReplicaSet(metadata=meta, spec=spec)

    def _resize(self, deployment: Deployment, replica_set: ReplicaSet, size: int) -> Any:
        annotations = replica_set.metadata.annotations | _size_annotations(deployment)
        if size == (replica_set.spec.replicas or 0) and annotations == replica_set.metadata.annotations:
            return replica_set
        wanted = replica_set.replaced(
            metadata=replica_set.metadata.replaced(annotations=annotations),
            spec=replica_set.spec.replaced(replicas=size),
        )
        written, error = yield call(self._client.update, wanted)
        if error is not None:
            raise error
        return written

    def _annotate(self, replica_set: ReplicaSet, annotations: dict[str, str]) -> Any:
        meta = replica_set.metadata
        wanted = replica_set.replaced(metadata=meta.replaced(annotations=meta.annotations | annotations))
        written, error = yield call(self._client.update, wanted)
        if error is not None:
            raise error
        return written

    def _set_revision(self, deployment: Deployment, revision: str) -> Any:
        def change(current: Deployment) -> Deployment:
            annotations = current.metadata.annotations
            if annotations.get(rollout.REVISION) == revision:
                return current
            annotations = annotations | {rollout.REVISION: revision}
            return current.replaced(metadata=current.metadata.replaced(annotations=annotations))

        if deployment.metadata.annotations.get(rollout.REVISION) != revision:
            # Through the status, as upstream does: the controller's own note must not look like a new spec.
            _, error = yield call(
                self._client.patch,
                Deployment,
                deployment.namespace,
                deployment.name,
                change,
                subresource="status",
            )
            if error is not None:
                raise error

    def _clean_up(self, deployment: Deployment, old: list[ReplicaSet]) -> Any:
        """Delete the oldest empty ReplicaSets beyond the history limit."""
        limit = deployment.spec.revision_history_limit
        idle = [
            s for s in old if not s.spec.replicas and not s.status.replicas and s.metadata.deletion_timestamp is None
        ]
        surplus = len(idle) - (10 if limit is None else limit)
        for replica_set in sorted(idle, key=lambda s: (_revision(s), s.name))[: max(surplus, 0)]:
            _, error = yield call(self._client.delete, ReplicaSet, replica_set.namespace, replica_set.name)
            if error is not None and not error.is_not_found:
                raise error

    # -- status -----------------------------------------------------------------------------------------------

    def _write_status(self, deployment: Deployment, new: ReplicaSet | None, sets: list[ReplicaSet]) -> Any:
        status = self._status(deployment, new, sets)
        if status == deployment.status:
            return

        def change(current: Deployment) -> Deployment:
            return current.replaced(status=status)

        _, error = yield call(
            self._client.patch,
            Deployment,
            deployment.namespace,
            deployment.name,
            change,
            subresource="status",
            uid=deployment.metadata.uid,
        )
        if error is not None and not error.is_not_found:
            raise error

    def _status(self, deployment: Deployment, new: ReplicaSet | None, sets: list[ReplicaSet]) -> DeploymentStatus:
        old = deployment.status
        replicas, available = rollout.actual(sets), rollout.available(sets)
        counts = {
            "observed_generation": deployment.metadata.generation,
            "replicas": replicas,
            "updated_replicas": (new.status.replicas or 0) if new is not None else 0,
            "ready_replicas": sum(s.status.ready_replicas or 0 for s in sets),
            "available_replicas": available,
            "unavailable_replicas": max(rollout.total(sets) - available, 0),
        }
        _, unavailable = rollout.surge_and_unavailable(deployment)
        enough = available >= (deployment.spec.replicas or 0) - unavailable
        status = old.replaced(**counts)
        done = new is not None and _complete(deployment, new, [s for s in sets if s.name != new.name])
        name = new.name if new is not None else deployment.name
        conditions = self._set_condition(
            old.conditions,
            "Available",
            "True" if enough else "False",
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        )
        conditions = self._set_condition(
            conditions,
            "Progressing",
            "True",
            "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
            f'ReplicaSet "{name}" {"has successfully progressed" if done else "is progressing"}.',
        )
        return status if conditions == old.conditions else status.replaced(conditions=conditions)

    def _set_condition(
        self, conditions: tuple[Condition, ...], kind: str, value: str, reason: str, message: str
    ) -> tuple[Condition, ...]:
        known = next((c for c in conditions if c.type == kind), None)
        if known is not None and known.status == value and known.reason == reason:
            return conditions
        now = self._clock.timestamp()
        since = known.last_transition_time if known is not None and known.status == value else now
        made = Condition(
            type=kind,
            status=value,
            reason=reason,
            message=message,
            last_update_time=now,
            last_transition_time=since,
        )
        return (*(c for c in conditions if c.type != kind), made)


def _with(new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    return [*old] if new is None else [*old, new]


def _newest(deployment: Deployment, sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The set that has the deployment's template; the oldest, should there be several."""
    by_age = sorted(sets, key=lambda s: (s.metadata.creation_timestamp or "", s.name))
    for replica_set in by_age:
        if rollout.same_template(replica_set.spec.template, deployment.spec.template):
            return replica_set
    return None


def _recreates(deployment: Deployment) -> bool:
    return deployment.spec.strategy is not None and deployment.spec.strategy.type == "Recreate"


def _scaled(deployment: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """True when ``spec.replicas`` is not what the sets were last sized for."""
    for replica_set in sets:
        sized_for = replica_set.metadata.annotations.get(rollout.DESIRED_REPLICAS)
        if replica_set.spec.replicas and sized_for is not None and int(sized_for) != (deployment.spec.replicas or 0):
            return True
    return False


def _complete(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> bool:
    wanted = deployment.spec.replicas or 0
    return (
        (new.status.replicas or 0) == wanted
        and (new.status.available_replicas or 0) == wanted
        and (new.spec.replicas or 0) == wanted
        and rollout.actual(old) == 0
    )


def _revision(replica_set: ReplicaSet) -> int:
    text = replica_set.metadata.annotations.get(rollout.REVISION, "0")
    return int(text) if text.isdecimal() else 0


def _size_annotations(deployment: Deployment) -> dict[str, str]:
    surge, _ = rollout.surge_and_unavailable(deployment)
    replicas = deployment.spec.replicas or 0
    return {rollout.DESIRED_REPLICAS: str(replicas), rollout.MAX_REPLICAS: str(replicas + surge)}
