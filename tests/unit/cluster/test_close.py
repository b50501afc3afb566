"""What is left of a cluster that is over."""

from __future__ import annotations

import gc
import weakref

from ksched.cluster.cluster import Cluster, ClusterConfig
from ksched.testing.factories import make_node, make_pod

from .harness import kube_scheduler


def test_a_closed_cluster_of_a_scheduler_alone_leaves_no_pod_for_the_garbage_collector() -> None:
    config = ClusterConfig.model_validate({"kubelet": {"enabled": False}, "controllers": {"enabled": False}})
    over = Cluster(config, kube_scheduler)
    over.client.create(make_node("n", cpu="4", memory="8Gi"))
    over.client.create(make_pod("p", cpu="100m"))
    over.run(0)
    found = over.scheduler.pods.get("default", "p")
    assert found is not None and found.spec.node_name == "n"
    pod = weakref.ref(found)
    del found
    gc.disable()
    try:
        over.close()
        assert pod() is None
    finally:
        gc.enable()
