"""The modelled cluster: etcd, api-server, controllers, scheduler, kubelets, in virtual time."""

from ksched.cluster.cluster import Cluster, ClusterConfig

__all__ = ["Cluster", "ClusterConfig"]
