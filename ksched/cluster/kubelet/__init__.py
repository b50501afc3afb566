"""Kubelets and the container runtimes below them."""

from ksched.cluster.kubelet.cri import Runtime, RuntimeConfig
from ksched.cluster.kubelet.fleet import Kubelets
from ksched.cluster.kubelet.kubelet import Kubelet, KubeletConfig
from ksched.cluster.kubelet.processes import Process, Processes

__all__ = ["Kubelet", "KubeletConfig", "Kubelets", "Process", "Processes", "Runtime", "RuntimeConfig"]
