"""Rules for the small kinds: namespaces, services, priority classes, disruption budgets, storage, bindings."""

from __future__ import annotations

from typing import Final

from ksched.objects.namespace import Namespace
from ksched.objects.networking import EndpointSlice, Service
from ksched.objects.pod import Binding
from ksched.objects.policy import PodDisruptionBudget
from ksched.objects.scheduling import PriorityClass
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass

from . import names
from .affinity import check_node_selector
from .field_errors import FieldErrors
from .metadata import check_label_selector, check_labels
from .workloads import check_int_or_percent

_ACCESS_MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_VOLUME_MODES: Final = ("Block", "Filesystem")
_SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_HIGHEST_USER_PRIORITY: Final = 1_000_000_000
_STORAGE: Final = "storage"


def check_namespace(errors: FieldErrors, namespace: Namespace) -> None:
    """A Namespace."""
    errors.one_of("status.phase", namespace.status.phase, ("Active", "Terminating"))


def check_service(errors: FieldErrors, service: Service) -> None:
    """A Service."""
    spec = service.spec
    errors.one_of("spec.type", spec.type, _SERVICE_TYPES)
    errors.one_of("spec.sessionAffinity", spec.session_affinity, ("ClientIP", "None"))
    check_labels(errors, "spec.selector", spec.selector)
    if not spec.ports and spec.cluster_ip != "None" and spec.type != "ExternalName":
        errors.required("spec.ports")
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, int | None]] = set()
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        if port.name:
            if (problem := names.dns_label(port.name)) is not None:
                errors.invalid(f"{path}.name", port.name, problem)
            if port.name in seen_names:
                errors.duplicate(f"{path}.name", port.name)
            seen_names.add(port.name)
        elif len(spec.ports) > 1:
            errors.required(f"{path}.name")
        errors.within(f"{path}.port", port.port or 0, 1, 65535)
        errors.within(f"{path}.nodePort", port.node_port or None, 1, 65535)
        errors.one_of(f"{path}.protocol", port.protocol, _PROTOCOLS)
        key = (port.protocol or "TCP", port.port)
        if key in seen_ports:
            errors.duplicate(path, f"{key[0]}/{key[1]}")
        seen_ports.add(key)


def check_endpoint_slice(errors: FieldErrors, endpoints: EndpointSlice) -> None:
    """An EndpointSlice."""
    if not endpoints.address_type:
        errors.required("addressType")
    else:
        errors.one_of("addressType", endpoints.address_type, ("IPv4", "IPv6", "FQDN"))
    for index, endpoint in enumerate(endpoints.endpoints):
        if not 1 <= len(endpoint.addresses) <= 100:
            errors.invalid(f"endpoints[{index}].addresses", len(endpoint.addresses), "must be 1 to 100 addresses")


def check_priority_class(errors: FieldErrors, priority_class: PriorityClass) -> None:
    """A PriorityClass; values above a thousand million are the system's."""
    value = priority_class.value
    errors.within("value", value, -(2**31), 2**31 - 1)
    system = priority_class.name.startswith("system-")
    if value is not None and value > _HIGHEST_USER_PRIORITY and not system:
        errors.forbidden("value", f"must be at most {_HIGHEST_USER_PRIORITY} for a user-defined priority class")
    errors.one_of("preemptionPolicy", priority_class.preemption_policy, ("PreemptLowerPriority", "Never"))


def check_disruption_budget(errors: FieldErrors, budget: PodDisruptionBudget) -> None:
    """A PodDisruptionBudget."""
    spec = budget.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        errors.invalid("spec", "minAvailable and maxUnavailable", "cannot be both set")
    check_int_or_percent(errors, "spec.minAvailable", spec.min_available)
    check_int_or_percent(errors, "spec.maxUnavailable", spec.max_unavailable)
    if spec.selector is not None:
        check_label_selector(errors, "spec.selector", spec.selector)
    errors.one_of(
        "spec.unhealthyPodEvictionPolicy", spec.unhealthy_pod_eviction_policy, ("IfHealthyBudget", "AlwaysAllow")
    )
    errors.at_least("status.disruptionsAllowed", budget.status.disruptions_allowed, 0)


def check_persistent_volume(errors: FieldErrors, volume: PersistentVolume) -> None:
    """A PersistentVolume."""
    spec = volume.spec
    _check_modes(errors, spec.access_modes, spec.volume_mode)
    size = spec.capacity.get(_STORAGE)
    if size is None:
        errors.required("spec.capacity[storage]")
    elif size.nano <= 0:
        errors.invalid("spec.capacity[storage]", size, "must be greater than zero")
    errors.one_of(
        "spec.persistentVolumeReclaimPolicy", spec.persistent_volume_reclaim_policy, ("Delete", "Recycle", "Retain")
    )
    if spec.node_affinity is not None and spec.node_affinity.required is not None:
        check_node_selector(errors, "spec.nodeAffinity.required", spec.node_affinity.required)


def check_claim(errors: FieldErrors, claim: PersistentVolumeClaim) -> None:
    """A PersistentVolumeClaim."""
    spec = claim.spec
    _check_modes(errors, spec.access_modes, spec.volume_mode)
    size = spec.resources.requests.get(_STORAGE) if spec.resources is not None else None
    if size is None:
        errors.required("spec.resources.requests[storage]")
    elif size.nano <= 0:
        errors.invalid("spec.resources.requests[storage]", size, "must be greater than zero")
    if spec.selector is not None:
        check_label_selector(errors, "spec.selector", spec.selector)
    if spec.storage_class_name and (problem := names.dns_subdomain(spec.storage_class_name)) is not None:
        errors.invalid("spec.storageClassName", spec.storage_class_name, problem)


def _check_modes(errors: FieldErrors, access_modes: tuple[str, ...], volume_mode: str | None) -> None:
    if not access_modes:
        errors.required("spec.accessModes", "at least 1 access mode is required")
    for index, mode in enumerate(access_modes):
        errors.one_of(f"spec.accessModes[{index}]", mode, _ACCESS_MODES)
    errors.one_of("spec.volumeMode", volume_mode, _VOLUME_MODES)


def check_storage_class(errors: FieldErrors, storage_class: StorageClass) -> None:
    """A StorageClass."""
    if not storage_class.provisioner:
        errors.required("provisioner")
    errors.one_of("reclaimPolicy", storage_class.reclaim_policy, ("Delete", "Retain"))
    errors.one_of("volumeBindingMode", storage_class.volume_binding_mode, ("Immediate", "WaitForFirstConsumer"))


def check_csi_node(errors: FieldErrors, csi_node: CSINode) -> None:
    """A CSINode."""
    seen: set[str] = set()
    for index, driver in enumerate(csi_node.spec.drivers):
        path = f"spec.drivers[{index}]"
        if not driver.name:
            errors.required(f"{path}.name")
        elif driver.name in seen:
            errors.duplicate(f"{path}.name", driver.name)
        seen.add(driver.name or "")
        if driver.allocatable is not None:
            errors.at_least(f"{path}.allocatable.count", driver.allocatable.count, 0)


def check_binding(errors: FieldErrors, binding: Binding) -> None:
    """A Binding."""
    if binding.target.kind not in (None, "", "Node"):
        errors.unsupported("target.kind", binding.target.kind, ("Node", "<empty>"))
    if not binding.target.name:
        errors.required("target.name")
