"""Controllers: what the cluster makes of workloads."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.cluster.controllers import rollout
from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.expectations import Expectations
from ksched.cluster.controllers.indexes import format_indexes, parse_indexes
from ksched.cluster.controllers.pods import deletion_order
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.manifests import parse
from ksched.objects.pod import Pod
from ksched.objects.workloads import Deployment, Job, ReplicaSet
from ksched.sim import MILLISECOND, Kernel

from .harness import SECOND, Answers, History, cluster, job, pod


def listed(made: Any, cls: Any) -> list[Any]:
    answers = Answers()
    made.client.list(cls, answers)
    made.run(made.kernel.now)
    return list(answers.result.items)


def deployment(replicas: int, *, image: str = "v1", **spec: Any) -> Any:
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}}]},
    }
    body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template} | spec
    return parse({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": body})


def with_image(image: str) -> Any:
    def change(current: Any) -> Any:
        template = current.spec.template
        containers = tuple(c.replaced(image=image) for c in template.spec.containers)
        spec = template.spec.replaced(containers=containers)
        return current.replaced(spec=current.spec.replaced(template=template.replaced(spec=spec)))

    return change


def replicas_over_time(history: History) -> list[tuple[int, int]]:
    """(pods there, pods ready) after each revision of a pod."""
    alive: dict[str, bool] = {}
    rows = []
    for _, _, verb, key, body in history.of("pods/"):
        if verb == "delete" or body["metadata"].get("deletionTimestamp"):
            alive.pop(key, None)
        else:
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in body["status"].get("conditions", ()))
            alive[key] = ready
        rows.append((len(alive), sum(alive.values())))
    return rows


def test_a_deployment_runs_its_replicas_through_one_replicaset() -> None:
    made = cluster()
    made.client.create(deployment(3))
    made.run(SECOND)
    (replica_set,) = listed(made, ReplicaSet)
    (current,) = listed(made, Deployment)
    pods = listed(made, Pod)
    assert replica_set.metadata.controller.uid == current.metadata.uid
    assert {p.metadata.controller.uid for p in pods} == {replica_set.metadata.uid}
    assert {p.metadata.labels[rollout.HASH_LABEL] for p in pods} == {replica_set.name.removeprefix("d-")}
    assert (current.status.replicas, current.status.available_replicas) == (3, 3)
    assert current.metadata.annotations[rollout.REVISION] == "1"
    assert (current.metadata.generation, current.status.observed_generation) == (1, 1)
    assert {c.type: c.status for c in current.status.conditions} == {"Available": "True", "Progressing": "True"}


@pytest.mark.parametrize(("surge", "unavailable", "most", "least"), [("25%", "25%", 5, 3), (0, 1, 4, 3), (2, 0, 6, 4)])
def test_a_rolling_update_stays_between_its_bounds(surge: Any, unavailable: Any, most: int, least: int) -> None:
    made = cluster({"runtime": {"start_container": "2s"}})
    update = {"maxSurge": surge, "maxUnavailable": unavailable}
    made.client.create(deployment(4, strategy={"type": "RollingUpdate", "rollingUpdate": update}))
    made.run(10 * SECOND)
    history = History(made)
    before = len(history.of("pods/"))
    made.client.patch(Deployment, "default", "d", with_image("v2"))
    made.run(100 * SECOND)
    seen = replicas_over_time(history)[before:]
    assert max(there for there, _ in seen) <= most
    assert min(ready for _, ready in seen) >= least
    assert {p.spec.containers[0].image for p in listed(made, Pod)} == {"v2"}
    old, new = sorted(listed(made, ReplicaSet), key=lambda s: s.metadata.annotations[rollout.REVISION])
    assert (old.spec.replicas, new.spec.replicas, new.status.available_replicas) == (0, 4, 4)
    assert listed(made, Deployment)[0].metadata.annotations[rollout.REVISION] == "2"


def test_recreate_ends_all_old_pods_before_the_first_new_one() -> None:
    made = cluster({"runtime": {"stop_container": "5s"}})
    made.client.create(deployment(3, strategy={"type": "Recreate"}))
    made.run(10 * SECOND)
    history = History(made)
    made.client.patch(Deployment, "default", "d", with_image("v2"))
    made.run(60 * SECOND)
    rows = history.of("pods/")
    created = [i for i, row in enumerate(rows) if row[2] == "create" and "v2" in str(row[4]["spec"])]
    deleted = [i for i, row in enumerate(rows) if row[2] == "delete"]
    assert (len(created), len(deleted)) == (3, 3)
    assert min(created) > max(deleted)


def test_going_back_to_an_old_template_reuses_its_replicaset() -> None:
    made = cluster()
    made.client.create(deployment(2))
    for image in ("v2", "v1"):
        made.run(made.kernel.now + 10 * SECOND)
        made.client.patch(Deployment, "default", "d", with_image(image))
    made.run(made.kernel.now + 10 * SECOND)
    sets = {s.spec.template.spec.containers[0].image: s for s in listed(made, ReplicaSet)}
    assert {image: s.spec.replicas for image, s in sets.items()} == {"v1": 2, "v2": 0}
    assert sets["v1"].metadata.annotations[rollout.REVISION] == "3"


def test_scaling_follows_and_history_beyond_the_limit_is_deleted() -> None:
    made = cluster()
    made.client.create(deployment(1, revisionHistoryLimit=1))
    made.run(SECOND)
    made.client.scale(Deployment, "default", "d", 5)
    made.run(2 * SECOND)
    assert len(listed(made, Pod)) == 5
    for image in ("v2", "v3", "v4"):
        made.client.patch(Deployment, "default", "d", with_image(image))
        made.run(made.kernel.now + 10 * SECOND)
    assert sorted(s.spec.replicas for s in listed(made, ReplicaSet)) == [0, 5]


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    made = cluster()
    made.client.create(deployment(2))
    made.run(SECOND)
    pause = lambda d: with_image("v2")(d.replaced(spec=d.spec.replaced(paused=True, replicas=3)))  # noqa: E731
    made.client.patch(Deployment, "default", "d", pause)
    made.run(5 * SECOND)
    assert [p.spec.containers[0].image for p in listed(made, Pod)] == ["v1"] * 3


def test_a_deleted_pod_is_replaced() -> None:
    made = cluster()
    made.client.create(deployment(2))
    made.run(SECOND)
    victim = listed(made, Pod)[0]
    made.client.delete(Pod, "default", victim.name)
    made.run(2 * SECOND)
    assert len(listed(made, Pod)) == 2
    assert victim.name not in [p.name for p in listed(made, Pod)]


def test_deleting_a_deployment_deletes_what_it_owns() -> None:
    made = cluster()
    made.client.create(deployment(2))
    made.run(SECOND)
    made.client.delete(Deployment, "default", "d")
    made.run(100 * SECOND)
    assert listed(made, ReplicaSet) == listed(made, Pod) == []


def test_orphaned_dependents_stay_and_are_adopted_again() -> None:
    made = cluster()
    made.client.create(deployment(2))
    made.run(SECOND)
    made.client.delete(Deployment, "default", "d", propagation="Orphan")
    made.run(2 * SECOND)
    assert listed(made, Deployment) == []
    (replica_set,) = listed(made, ReplicaSet)
    assert replica_set.metadata.owner_references == ()
    before = {p.metadata.uid for p in listed(made, Pod)}
    made.client.create(deployment(2))
    made.run(3 * SECOND)
    assert listed(made, ReplicaSet)[0].metadata.controller.name == "d"
    assert {p.metadata.uid for p in listed(made, Pod)} == before


def test_a_pod_whose_labels_leave_the_selector_is_released_and_replaced() -> None:
    made = cluster()
    made.client.create(deployment(2))
    made.run(SECOND)
    lost = listed(made, Pod)[0]
    made.client.patch(
        Pod, "default", lost.name, lambda p: p.replaced(metadata=p.metadata.replaced(labels={"app": "other"}))
    )
    made.run(2 * SECOND)
    pods = {p.name: p for p in listed(made, Pod)}
    assert len(pods) == 3
    assert pods[lost.name].metadata.owner_references == ()


def test_a_job_runs_its_completions_with_its_parallelism() -> None:
    made = cluster()
    made.processes.add("w", [10 * SECOND])
    made.client.create(job("j", "w", completions=5, parallelism=2))
    history = History(made)
    made.run(200 * SECOND)
    active = [row[4]["status"].get("active", 0) for row in history.of("jobs/")]
    assert max(active) == 2
    (done,) = listed(made, Job)
    assert (done.status.succeeded, done.status.failed, done.status.active) == (5, None, 0)
    assert [c.type for c in done.status.conditions] == ["Complete"]
    assert all(p.metadata.finalizers == () for p in listed(made, Pod))


def test_an_indexed_job_makes_one_pod_for_each_index() -> None:
    made = cluster()
    made.processes.add("w", [SECOND, 3 * SECOND, 2 * SECOND])
    made.client.create(job("j", "w", completions=3, parallelism=3, completionMode="Indexed"))
    history = History(made)
    made.run(60 * SECOND)
    (done,) = listed(made, Job)
    assert (done.status.completed_indexes, done.status.succeeded) == ("0-2", 3)
    finished = {
        row[4]["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: row[0]
        for row in history.of("pods/")
        if row[4]["status"].get("phase") == "Succeeded" and row[4]["metadata"].get("finalizers")
    }
    assert finished == {"0": 1, "1": 3, "2": 2}
    assert sorted(p.name[:4] for p in listed(made, Pod)) == ["j-0-", "j-1-", "j-2-"]
    assert len({id(p.spec.containers) for p in listed(made, Pod)}) == 1


def test_failed_pods_are_replaced_after_a_doubling_back_off_until_the_limit() -> None:
    made = cluster()
    made.processes.add("w", [SECOND], [1])
    made.client.create(job("j", "w", backoffLimit=3))
    history = History(made)
    made.run(400 * SECOND)
    created = [row[0] for row in history.of("pods/") if row[2] == "create"]
    # ends at 1 s, +10 s; ends at 12 s, +20 s; ends at 33 s, +40 s; the fourth failure is one too many
    assert created == [0, 11, 32, 73]
    (failed,) = listed(made, Job)
    assert (failed.status.failed, failed.status.succeeded) == (4, None)
    assert [(c.type, c.reason) for c in failed.status.conditions] == [("Failed", "BackoffLimitExceeded")]


def test_a_job_past_its_deadline_fails_and_its_pods_go() -> None:
    made = cluster()
    made.processes.add("w", [None])
    made.client.create(job("j", "w", parallelism=2, completions=2, activeDeadlineSeconds=30))
    made.run(100 * SECOND)
    (failed,) = listed(made, Job)
    assert [(c.type, c.reason) for c in failed.status.conditions] == [("Failed", "DeadlineExceeded")]
    assert failed.status.failed == 2
    assert listed(made, Pod) == []


def test_a_suspended_job_loses_its_pods_and_resumes() -> None:
    made = cluster()
    made.processes.add("w", [50 * SECOND])
    made.client.create(job("j", "w"))
    suspend = lambda value: lambda j: j.replaced(spec=j.spec.replaced(suspend=value))  # noqa: E731
    made.run(5 * SECOND)
    made.client.patch(Job, "default", "j", suspend(True))
    made.run(10 * SECOND)
    assert listed(made, Pod) == []
    (held,) = listed(made, Job)
    assert [(c.type, c.status) for c in held.status.conditions] == [("Suspended", "True")]
    assert (held.status.failed, held.status.active) == (None, 0)
    made.client.patch(Job, "default", "j", suspend(False))
    made.run(100 * SECOND)
    (done,) = listed(made, Job)
    assert {c.type: c.status for c in done.status.conditions} == {"Suspended": "False", "Complete": "True"}


def test_a_job_is_deleted_with_its_pods_when_its_ttl_is_over() -> None:
    made = cluster()
    made.processes.add("w", [SECOND])
    made.client.create(job("j", "w", ttlSecondsAfterFinished=30))
    made.run(31 * SECOND)
    assert len(listed(made, Job)) == 1
    made.run(40 * SECOND)
    assert listed(made, Job) == listed(made, Pod) == []


def test_pods_are_given_up_in_upstreams_order() -> None:
    made = cluster(scheduler=None, nodes=0)
    clock = made.clock
    made.run(1000 * SECOND)

    def candidate(name: str, node: str | None, phase: str, ready: int | None, cost: str | None = None) -> Any:
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {}
        conditions = (
            [{"type": "Ready", "status": "True", "lastTransitionTime": clock.format(ready)}]
            if ready is not None
            else []
        )
        body = {
            "metadata": {"name": name, "uid": name, "annotations": annotations, "creationTimestamp": clock.format(0)},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase, "conditions": conditions},
        }
        return parse({"apiVersion": "v1", "kind": "Pod"} | body)

    pods = [
        candidate("expensive", "a", "Running", 0, "10"),
        candidate("long ready", "b", "Running", 0),
        candidate("just ready", "c", "Running", 999),
        candidate("two on a node 1", "d", "Running", 0),
        candidate("two on a node 2", "d", "Running", 0),
        candidate("unready", "e", "Running", None),
        candidate("pending", "f", "Pending", None),
        candidate("unassigned", None, "Pending", None),
    ]
    assert [p.name for p in deletion_order(pods, clock)] == [
        "unassigned",
        "pending",
        "unready",
        "two on a node 1",
        "two on a node 2",
        "just ready",
        "long ready",
        "expensive",
    ]


@pytest.mark.parametrize(
    ("indexes", "text"), [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2, 5, 7, 8, 9], "0-2,5,7-9"), ([1, 3], "1,3")]
)
def test_completed_indexes_are_written_as_ranges(indexes: list[int], text: str) -> None:
    assert format_indexes(indexes) == text
    assert parse_indexes(text, 100) == set(indexes)


def test_a_queue_never_syncs_a_key_twice_at_once_and_backs_off_after_failures() -> None:
    kernel, log = Kernel(), []
    failing = [4]

    def sync(key: str) -> Any:
        log.append((kernel.now, key))
        queue.add(key) if len(log) == 1 else None  # while it is being synced
        _, _ = yield lambda then: kernel.call_later(MILLISECOND, then, None, None)
        if key == "bad" and failing[0]:
            failing[0] -= 1
            from ksched.cluster.apiserver.errors import ApiError

            raise ApiError(500, "InternalError", "no")

    queue = WorkQueue(kernel, sync, ControllersConfig())
    queue.add("good")
    queue.add("good")
    kernel.run()
    assert log == [(0, "good"), (MILLISECOND, "good")]
    log.clear()
    log.append(None)
    start = kernel.now
    queue.add("bad")
    kernel.run()
    assert [(time - start) / MILLISECOND for time, _ in log[1:]] == [0, 6, 17, 38, 79]  # 5, 10, 20, 40 after each end


def test_expectations_hold_until_seen_or_timed_out() -> None:
    kernel = Kernel()
    expected = Expectations(kernel, 5)
    expected.expect_creations("k", 2)
    expected.expect_deletions("k", ["u"])
    expected.creation_observed("k")
    expected.creation_observed("k")
    assert not expected.satisfied("k")
    expected.deletion_observed("k", "someone else")
    assert not expected.satisfied("k")
    expected.deletion_observed("k", "u")
    assert expected.satisfied("k")
    expected.expect_creations("k", 1)
    kernel.run(6)
    assert expected.satisfied("k")


def test_a_pod_without_its_owner_is_collected() -> None:
    made = cluster()
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "long-gone", "controller": True}
    made.client.create(pod("stray", metadata={"ownerReferences": [owner]}))
    foreign = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "t", "controller": True}
    made.client.create(pod("foreign", metadata={"ownerReferences": [foreign]}))
    made.run(60 * SECOND)
    assert [p.name for p in listed(made, Pod)] == ["foreign"]
