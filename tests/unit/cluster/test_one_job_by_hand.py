"""One Job, one pod, from submission to removal: every write, every revision, every watch event, written out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import SECOND, Diary, cluster, job, kube_scheduler

EXPECTED = """
# The user submits; the api-server stores the job and its watchers hear of it.
10 kubernetes-admin -> create jobs/default/j
10 etcd 3 create jobs/default/j
10 kube-controller-manager <- ADDED jobs/default/j @3

# The Job controller wants one pod, held until it is counted, and writes down that it is there.
10 kube-controller-manager -> create pods/default/j-*
10 etcd 4 create pods/default/j-rfhpn held by job-tracking unbound Pending
10 kube-controller-manager <- ADDED pods/default/j-rfhpn @4
10 kube-scheduler <- ADDED pods/default/j-rfhpn @4
10 kube-controller-manager -> update_status jobs/default/j
10 etcd 5 update jobs/default/j active=1 ready=0
10 kube-controller-manager <- MODIFIED jobs/default/j @5

# The scheduler binds; for the node's kubelet the pod is new.
10 kube-scheduler -> bind pods/default/j-rfhpn
10 etcd 6 update pods/default/j-rfhpn held by job-tracking on n0 Pending
10 kube-controller-manager <- MODIFIED pods/default/j-rfhpn @6
10 kube-scheduler <- MODIFIED pods/default/j-rfhpn @6
10 system:node:n0 <- ADDED pods/default/j-rfhpn @6

# The kubelet starts it, which takes no time here: its first report says Running.
10 system:node:n0 -> patch status pods/default/j-rfhpn
10 etcd 7 update pods/default/j-rfhpn held by job-tracking on n0 Running
10 kube-controller-manager <- MODIFIED pods/default/j-rfhpn @7
10 kube-scheduler <- MODIFIED pods/default/j-rfhpn @7
10 system:node:n0 <- MODIFIED pods/default/j-rfhpn @7

# The Job controller collects pod events for a second before it looks: the pod is ready.
11 kube-controller-manager -> update_status jobs/default/j
11 etcd 8 update jobs/default/j active=1 ready=1
11 kube-controller-manager <- MODIFIED jobs/default/j @8

# 100 s after its start the container exits with 0. The scheduler does not watch pods that have finished.
110 system:node:n0 -> patch status pods/default/j-rfhpn
110 etcd 9 update pods/default/j-rfhpn held by job-tracking on n0 Succeeded
110 kube-controller-manager <- MODIFIED pods/default/j-rfhpn @9
110 kube-scheduler <- DELETED pods/default/j-rfhpn @9
110 system:node:n0 <- MODIFIED pods/default/j-rfhpn @9

# A second later the controller notes its uid, lets go of the pod, and only then counts it; the job is complete.
111 kube-controller-manager -> update_status jobs/default/j
111 etcd 10 update jobs/default/j active=0 ready=0 uncounted=1
111 kube-controller-manager <- MODIFIED jobs/default/j @10
111 kube-controller-manager -> patch pods/default/j-rfhpn
111 etcd 11 update pods/default/j-rfhpn on n0 Succeeded
111 kube-controller-manager <- MODIFIED pods/default/j-rfhpn @11
111 system:node:n0 <- MODIFIED pods/default/j-rfhpn @11
111 kube-controller-manager -> update_status jobs/default/j
111 etcd 12 update jobs/default/j active=0 ready=0 succeeded=1 Complete
111 kube-controller-manager <- MODIFIED jobs/default/j @12

# 60 s after its end the TTL controller deletes the job in the foreground: it waits for its dependents.
171 kube-controller-manager -> delete jobs/default/j
171 etcd 13 update jobs/default/j deleting held by foregroundDeletion active=0 ready=0 succeeded=1 Complete
171 kube-controller-manager <- MODIFIED jobs/default/j @13

# The garbage collector deletes the pod. It has ended, so it needs no grace: marked and removed at once.
171 kube-controller-manager -> delete pods/default/j-rfhpn
171 etcd 14 update pods/default/j-rfhpn deleting on n0 Succeeded
171 etcd 15 delete pods/default/j-rfhpn
171 kube-controller-manager <- MODIFIED pods/default/j-rfhpn @14
171 kube-controller-manager <- DELETED pods/default/j-rfhpn @15
171 system:node:n0 <- MODIFIED pods/default/j-rfhpn @14
171 system:node:n0 <- DELETED pods/default/j-rfhpn @15

# Nothing depends on the job any more: taking its finalizer off removes it.
171 kube-controller-manager -> patch jobs/default/j
171 etcd 16 delete jobs/default/j
171 kube-controller-manager <- DELETED jobs/default/j @16
"""


def describe(body: dict[str, Any]) -> str:
    """What the table shows of an object: what a reader would look for in this revision."""
    meta, status = body["metadata"], body.get("status", {})
    words = []
    if "deletionTimestamp" in meta:
        words.append("deleting")
    if meta.get("finalizers"):
        words.append("held by " + ",".join(f.rpartition("/")[2] for f in meta["finalizers"]))
    if body["kind"] == "Pod":
        words.append(f"on {body['spec']['nodeName']}" if body["spec"].get("nodeName") else "unbound")
        words.append(status["phase"])
    else:
        uncounted = status.get("uncountedTerminatedPods", {})
        words += [f"{name}={status[name]}" for name in ("active", "ready", "succeeded") if name in status]
        words += ["uncounted=1"] if uncounted.get("succeeded") else []
        words += [condition["type"] for condition in status.get("conditions", ())]
    return " ".join(words)


def test_every_write_revision_and_watch_event_of_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    diary = Diary(monkeypatch)
    made = cluster(scheduler=kube_scheduler, nodes=1)
    assert made.etcd.store.revision == 2
    diary.attach(made, describe)
    made.processes.add("w", [100 * SECOND])
    made.kernel.call_at(10 * SECOND, made.client.create, job("j", "w", ttlSecondsAfterFinished=60))
    made.run()
    expected = [line for line in EXPECTED.splitlines() if line and not line.startswith("#")]
    assert diary.lines == expected
