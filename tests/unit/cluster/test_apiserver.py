"""The api-server: verbs, conflicts, subresources, deletion, admission, watches."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.cluster.apiserver.cacher import WatchEvent
from ksched.cluster.apiserver.selection import Selection
from ksched.objects.manifests import parse
from ksched.objects.pod import Pod
from ksched.objects.workloads import Deployment, Job

from .harness import SECOND, Answers, cluster, pod


def do(made: Any, method: str, *args: Any, **options: Any) -> Answers:
    """Make a call and let everything at this instant happen."""
    answers = Answers()
    getattr(made.client, method)(*args, then=answers, **options)
    made.run(made.kernel.now)
    assert len(answers.all) == 1
    return answers


def get(made: Any, name: str = "p", cls: Any = Pod) -> Any:
    return do(made, "get", cls, "default", name).result


def bind(made: Any, name: str = "p", node: str = "n0", **options: Any) -> Answers:
    return do(made, "bind", "default", name, node, **options)


@pytest.fixture
def empty() -> Any:
    return cluster(scheduler=None, nodes=0)


def test_create_fills_in_what_the_server_knows(empty: Any) -> None:
    empty.run(90 * SECOND)
    made = do(empty, "create", pod("p")).result
    assert made.metadata.uid == "00000000-0000-4000-8000-000000000001"
    assert (made.metadata.resource_version, made.metadata.creation_timestamp) == ("2", "2025-01-01T00:01:30Z")
    assert (made.status.phase, made.status.qos_class) == ("Pending", "Burstable")
    assert (made.spec.scheduler_name, made.spec.priority) == ("default-scheduler", 0)
    assert [t.key for t in made.spec.tolerations] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


def test_pods_of_one_template_share_one_prepared_spec(empty: Any) -> None:
    template = pod("p")
    other = template.replaced(metadata=template.metadata.replaced(name="q"))
    first, second = (do(empty, "create", each).result for each in (template, other))
    assert first.spec is second.spec
    bind(empty, "p"), bind(empty, "q")
    assert get(empty, "p").spec is get(empty, "q").spec
    assert first.spec.node_name is None


def test_clusters_of_one_process_share_prepared_specs_unless_they_prepare_them_differently() -> None:
    one, same, other = (cluster(scheduler=None, nodes=0) for _ in range(3))
    body = {"metadata": {"name": "high"}, "value": 7, "globalDefault": True}
    do(other, "create", parse({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"} | body))
    new = pod("p")
    for made in (one, same, other):
        do(made, "create", new)
    assert get(one).spec is get(same).spec
    assert (get(one).spec.priority, get(other).spec.priority) == (0, 7)


def test_generated_names_are_the_same_in_every_run_of_a_seed() -> None:
    template = pod("x", metadata={"name": None, "generateName": "web-"})
    names = []
    for seed in (1, 1, 2):
        made = cluster(scheduler=None, nodes=0, seed=seed)
        names.append([do(made, "create", template).result.name for _ in range(3)])
    assert names[0] == names[1] != names[2]
    assert all(len(name) == len("web-") + 5 for name in names[0])


def test_a_taken_name_is_409_already_exists(empty: Any) -> None:
    do(empty, "create", pod("p"))
    error = do(empty, "create", pod("p")).error
    assert (error.code, error.reason, error.message) == (409, "AlreadyExists", 'pods "p" already exists')


def test_what_is_not_there_is_404(empty: Any) -> None:
    error = do(empty, "get", Deployment, "default", "d").error
    assert (error.code, error.message) == (404, 'deployments.apps "d" not found')
    assert do(empty, "delete", Pod, "default", "p").error.code == 404
    assert do(empty, "patch", Pod, "default", "p", lambda p: p).error.code == 404


def test_what_is_not_valid_is_422(empty: Any) -> None:
    error = do(empty, "create", pod("Not_A_Name")).error
    assert (error.code, error.reason) == (422, "Invalid")


def test_an_update_with_an_outdated_revision_is_409_conflict(empty: Any) -> None:
    stale = do(empty, "create", pod("p")).result
    labelled = stale.replaced(metadata=stale.metadata.replaced(labels={"a": "1"}))
    assert do(empty, "update", labelled).result.metadata.labels == {"a": "1"}
    error = do(empty, "update", labelled).error
    assert (error.code, error.reason) == (409, "Conflict")
    assert "the object has been modified" in error.message


def test_an_update_that_changes_nothing_writes_nothing(empty: Any) -> None:
    made = do(empty, "create", pod("p")).result
    before = empty.etcd.store.revision
    assert do(empty, "update", made).result is made
    assert empty.etcd.store.revision == before


def test_status_and_spec_are_written_apart(empty: Any) -> None:
    made = do(empty, "create", pod("p")).result
    both = made.replaced(
        status=made.status.replaced(phase="Running"),
        metadata=made.metadata.replaced(labels={"a": "1"}),
    )
    through_status = do(empty, "update_status", both).result
    assert (through_status.status.phase, through_status.metadata.labels) == ("Running", {})
    again = through_status.replaced(
        status=made.status.replaced(phase="Failed"), metadata=through_status.metadata.replaced(labels={"a": "1"})
    )
    through_main = do(empty, "update", again).result
    assert (through_main.status.phase, through_main.metadata.labels) == ("Running", {"a": "1"})


def deployment(replicas: int = 1) -> Any:
    labels = {"app": "web"}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "x"}]}},
    }
    return parse({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})


def test_generation_counts_changes_of_the_spec_only() -> None:
    made = cluster(scheduler=None, nodes=0)
    made.controllers.deployment.queue.add = lambda key: None  # type: ignore[method-assign]
    created = do(made, "create", deployment()).result
    assert (created.metadata.generation, created.status.replicas) == (1, None)
    with_status = created.replaced(status=created.status.replaced(replicas=3))
    assert do(made, "update_status", with_status).result.metadata.generation == 1
    assert do(made, "scale", Deployment, "default", "d", 4).result.metadata.generation == 2
    labelled = lambda d: d.replaced(metadata=d.metadata.replaced(labels={"x": "y"}))  # noqa: E731
    assert do(made, "patch", Deployment, "default", "d", labelled).result.metadata.generation == 2


def test_binding_sets_node_condition_and_annotations(empty: Any) -> None:
    do(empty, "create", pod("p", metadata={"annotations": {"kept": "yes"}}))
    bind(empty, annotations={"added": "too"})
    bound = get(empty)
    assert bound.spec.node_name == "n0"
    assert bound.metadata.annotations == {"kept": "yes", "added": "too"}
    assert [(c.type, c.status) for c in bound.status.conditions] == [("PodScheduled", "True")]


BINDING_CONFLICTS = [
    ("already bound", {}, {}, 'pod p is already assigned to node "n0"'),
    ("another uid", {"uid": "other"}, {}, "Precondition failed: UID in precondition: other"),
    ("gated", {}, {"schedulingGates": [{"name": "wait"}]}, "pod p has non-empty .spec.schedulingGates"),
]


@pytest.mark.parametrize(("case", "meta", "spec", "why"), BINDING_CONFLICTS, ids=[c[0] for c in BINDING_CONFLICTS])
def test_a_binding_that_cannot_be_is_409(empty: Any, case: str, meta: Any, spec: Any, why: str) -> None:
    do(empty, "create", pod("p", **spec))
    if case == "already bound":
        bind(empty)
    error = bind(empty, **meta).error
    assert (error.code, error.reason) == (409, "Conflict")
    assert why in error.message


def test_a_gated_pod_says_so(empty: Any) -> None:
    (condition,) = do(empty, "create", pod("p", schedulingGates=[{"name": "g"}])).result.status.conditions
    assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "SchedulingGated")


def events(made: Any, **selection: Any) -> list[tuple[str, str, str]]:
    seen: list[tuple[str, str, str]] = []

    def receive(batch: list[WatchEvent]) -> None:
        seen.extend((e.type, e.object.name, e.object.metadata.resource_version) for e in batch)

    made.client.watch(Pod, receive, resource_version="1", selection=Selection("Pod", **selection))
    return seen


def test_an_unbound_pod_is_marked_and_removed_at_once(empty: Any) -> None:
    seen = events(empty)
    do(empty, "create", pod("p"))
    do(empty, "delete", Pod, "default", "p")
    assert seen == [("ADDED", "p", "2"), ("MODIFIED", "p", "3"), ("DELETED", "p", "4")]


def test_a_bound_pod_gets_its_grace_period_which_can_only_be_shortened(empty: Any) -> None:
    do(empty, "create", pod("p", terminationGracePeriodSeconds=40))
    bind(empty)
    meta = do(empty, "delete", Pod, "default", "p").result.metadata
    assert (meta.deletion_timestamp, meta.deletion_grace_period_seconds) == ("2025-01-01T00:00:40Z", 40)
    meta = do(empty, "delete", Pod, "default", "p", grace_seconds=60).result.metadata
    assert meta.deletion_grace_period_seconds == 40
    meta = do(empty, "delete", Pod, "default", "p", grace_seconds=10).result.metadata
    assert (meta.deletion_timestamp, meta.deletion_grace_period_seconds) == ("2025-01-01T00:00:10Z", 10)
    assert do(empty, "delete", Pod, "default", "p", grace_seconds=0, uid="other").error.code == 409
    do(empty, "delete", Pod, "default", "p", grace_seconds=0)
    assert do(empty, "get", Pod, "default", "p").error.code == 404


def test_a_finalizer_holds_an_object_until_it_is_taken_off(empty: Any) -> None:
    do(empty, "create", pod("p", metadata={"finalizers": ["example.com/hold"]}))
    do(empty, "delete", Pod, "default", "p")
    assert get(empty).metadata.deletion_timestamp is not None
    free = lambda p: p.replaced(metadata=p.metadata.replaced(finalizers=()))  # noqa: E731
    before = empty.etcd.store.revision
    do(empty, "patch", Pod, "default", "p", free)
    assert do(empty, "get", Pod, "default", "p").error.code == 404
    assert empty.etcd.store.revision == before + 1  # removed by the very write that freed it


def test_priority_comes_from_the_class() -> None:
    made = cluster(scheduler=None, nodes=0)
    for name, value, default in (("high", 1000, False), ("usual", 5, True)):
        body = {"metadata": {"name": name}, "value": value, "globalDefault": default}
        do(made, "create", parse({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"} | body))
    assert do(made, "create", pod("a", priorityClassName="high")).result.spec.priority == 1000
    assert do(made, "create", pod("b")).result.spec.priority == 5
    assert do(made, "create", pod("c", priorityClassName="system-node-critical")).result.spec.priority == 2_000_001_000
    error = do(made, "create", pod("d", priorityClassName="nosuch")).error
    assert (error.code, "no PriorityClass with name nosuch was found" in error.message) == (403, True)


def test_a_list_selects_by_namespace_labels_and_fields(empty: Any) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "y"}), ("c", {"app": "x"})):
        do(empty, "create", pod(name, metadata={"labels": labels}))
    bind(empty, "c")
    for cached in (False, True):
        listed = do(empty, "list", Pod, label_selector={"app": "x"}, cached=cached).result
        assert ([p.name for p in listed.items], listed.resource_version) == (["a", "c"], "5")
        listed = do(empty, "list", Pod, field_selector="spec.nodeName=n0", cached=cached).result
        assert [p.name for p in listed.items] == ["c"]
        listed = do(empty, "list", Pod, field_selector="spec.nodeName!=n0,metadata.name!=a", cached=cached).result
        assert [p.name for p in listed.items] == ["b"]
        assert do(empty, "list", Pod, namespace="other", cached=cached).result.items == []


def test_a_field_that_cannot_be_selected_by_is_400(empty: Any) -> None:
    with pytest.raises(Exception, match="field label not supported for Pod"):
        do(empty, "list", Pod, field_selector="spec.hostNetwork=true")


def test_a_watch_shows_an_object_from_when_it_matches_until_it_does_not(empty: Any) -> None:
    everything, unbound = events(empty), events(empty, field_selector="spec.nodeName=")
    bound, labelled = events(empty, field_selector="spec.nodeName=n0"), events(empty, label_selector={"a": "b"})
    do(empty, "create", pod("p", metadata={"labels": {"a": "b"}}))
    bind(empty)
    unlabel = lambda p: p.replaced(metadata=p.metadata.replaced(labels={}))  # noqa: E731
    do(empty, "patch", Pod, "default", "p", unlabel)
    do(empty, "delete", Pod, "default", "p", grace_seconds=0)
    assert unbound == [("ADDED", "p", "2"), ("DELETED", "p", "3")]
    assert bound == [("ADDED", "p", "3"), ("MODIFIED", "p", "4"), ("MODIFIED", "p", "5"), ("DELETED", "p", "6")]
    assert labelled == [("ADDED", "p", "2"), ("MODIFIED", "p", "3"), ("DELETED", "p", "4")]
    assert [kind for kind, _, _ in everything] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]


def test_a_write_asks_only_the_watchers_of_the_node_concerned(empty: Any) -> None:
    asked = []
    for i in range(50):
        selection = Selection("Pod", field_selector=f"spec.nodeName=n{i},status.phase=Pending")
        matches = selection.matches
        selection.matches = lambda obj, i=i, m=matches: (asked.append(i), m(obj))[1]
        empty.client.watch(Pod, lambda events: None, resource_version="1", selection=selection)
    do(empty, "create", pod("p"))
    bind(empty, node="n7")
    assert set(asked) == {7}


def test_a_watch_from_before_the_compaction_ends_with_410_and_an_informer_lists_again() -> None:
    made = cluster({"apiserver": {"compaction_interval": "1m"}}, scheduler=None, nodes=0)
    stopped = Answers()
    for i in range(200):
        made.kernel.call_at(i * SECOND, made.client.create, pod(f"p{i}"))
    made.run(300 * SECOND)
    assert made.etcd.store.compact_revision > 100
    made.client.watch(Pod, lambda events: stopped(events[0].object, None), resource_version="5")
    made.run(301 * SECOND)
    assert (stopped.result.code, stopped.result.reason) == (410, "Expired")


def test_an_informer_that_lost_its_watch_reports_the_difference() -> None:
    made = cluster(scheduler=None, nodes=0)
    seen: list[tuple[str, str]] = []
    informer = made.client.informer(
        Pod, on_add=lambda p: seen.append(("add", p.name)), on_delete=lambda p: seen.append(("delete", p.name))
    )
    do(made, "create", pod("a"))
    informer._watch.stop()
    do(made, "create", pod("b"))
    do(made, "delete", Pod, "default", "a")
    informer.start()
    made.run(0)
    assert seen == [("add", "a"), ("delete", "a"), ("add", "b")]
    assert [p.name for p in informer.list()] == ["b"]


def test_every_latency_counts_once_on_the_way_of_a_write() -> None:
    made = cluster(
        {
            "etcd": {"network": "1ms", "commit": "10ms"},
            "apiserver": {"request": "100ms", "response": "200ms", "watch": "500ms"},
        },
        scheduler=None,
        nodes=0,
    )
    made.run(SECOND)
    times = []
    made.client.informer(Pod, on_add=lambda p: times.append(("watch", made.kernel.now - start)))
    made.run(3 * SECOND)
    start = made.kernel.now
    made.client.create(pod("p"), lambda result, error: times.append(("response", made.kernel.now - start)))
    made.run(5 * SECOND)
    ms = 1_000_000
    # request, to etcd, commit, back to the api-server; then the response's and the event's own ways
    assert times == [("response", 312 * ms), ("watch", 612 * ms)]


def test_eviction_asks_the_disruption_budget() -> None:
    made = cluster(scheduler=None, nodes=0)
    budget = parse(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        }
    )
    do(made, "create", budget)
    for name in ("p", "q"):
        do(made, "create", pod(name, metadata={"labels": {"app": "x"}}))
        bind(made, name, node="elsewhere")
        running = lambda p: p.replaced(status=p.status.replaced(phase="Running"))  # noqa: E731
        do(made, "patch", Pod, "default", name, running, subresource="status")
    error = do(made, "evict", "default", "p").error
    assert (error.code, error.reason) == (429, "TooManyRequests")
    allow = lambda b: b.replaced(status=b.status.replaced(disruptions_allowed=1, observed_generation=1))  # noqa: E731
    do(made, "patch", type(budget), "default", "b", allow, subresource="status")
    assert do(made, "evict", "default", "p").result.metadata.deletion_timestamp is not None
    assert do(made, "evict", "default", "q").error.code == 429


def test_a_job_selects_its_pods_by_its_own_uid(empty: Any) -> None:
    body = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}}
    created = do(
        empty, "create", parse({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": body})
    ).result
    assert isinstance(created, Job)
    assert created.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": created.metadata.uid}
    assert created.spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "j"
