"""Rules for pod specs, of pods and of templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ksched.errors import InputError
from ksched.objects.gpu import gpu_request
from ksched.objects.pod import Container, ContainerPort, PodSpec, Probe
from ksched.objects.resources import pod_requests
from ksched.objects.volumes import VOLUME_SOURCES, Volume

from . import names
from .affinity import check_affinity, check_spread_constraints, check_tolerations
from .field_errors import FieldErrors
from .metadata import check_labels
from .quantities import MAX_AMOUNT, check_amounts, check_requirements

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_MAX_PORT: Final = 65535
_HANDLERS: Final = ("exec", "http_get", "tcp_socket", "grpc")


def check_pod_spec(errors: FieldErrors, path: str, spec: PodSpec) -> None:
    """Everything about a pod's spec."""
    before = len(errors)
    volumes = _check_volumes(errors, f"{path}.volumes", spec.volumes)
    _check_containers(errors, path, spec, volumes)
    errors.one_of(f"{path}.restartPolicy", spec.restart_policy, ("Always", "OnFailure", "Never"))
    errors.one_of(f"{path}.dnsPolicy", spec.dns_policy, ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    errors.one_of(f"{path}.preemptionPolicy", spec.preemption_policy, ("PreemptLowerPriority", "Never"))
    errors.at_least(f"{path}.terminationGracePeriodSeconds", spec.termination_grace_period_seconds, 0)
    errors.within(f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, 1, 2**31 - 1)
    errors.within(f"{path}.priority", spec.priority, -(2**31), 2**31 - 1)
    check_labels(errors, f"{path}.nodeSelector", spec.node_selector)
    if spec.affinity is not None:
        check_affinity(errors, f"{path}.affinity", spec.affinity)
    check_tolerations(errors, f"{path}.tolerations", spec.tolerations)
    check_spread_constraints(errors, f"{path}.topologySpreadConstraints", spec.topology_spread_constraints)
    check_amounts(errors, f"{path}.overhead", spec.overhead)
    _check_names(errors, path, spec)
    _check_gates(errors, path, spec)
    if len(errors) == before:
        _check_total(errors, path, spec)


def _check_names(errors: FieldErrors, path: str, spec: PodSpec) -> None:
    for field, name in (
        ("nodeName", spec.node_name),
        ("schedulerName", spec.scheduler_name),
        ("priorityClassName", spec.priority_class_name),
        ("runtimeClassName", spec.runtime_class_name),
        ("serviceAccountName", spec.service_account_name),
    ):
        if name and (problem := names.dns_subdomain(name)) is not None:
            errors.invalid(f"{path}.{field}", name, problem)


def _check_gates(errors: FieldErrors, path: str, spec: PodSpec) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(spec.scheduling_gates):
        at = f"{path}.schedulingGates[{index}]"
        name = gate.name or ""
        if (problem := names.qualified_name(name)) is not None:
            errors.invalid(f"{at}.name", name, problem)
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
    if spec.scheduling_gates and spec.node_name:
        errors.forbidden(f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared")


def _check_total(errors: FieldErrors, path: str, spec: PodSpec) -> None:
    """Containers may be plausible one by one and absurd together."""
    for name, value in pod_requests(spec).items():
        if value > MAX_AMOUNT:
            errors.invalid(f"{path}.containers", value, f"the pod's {name} request must be at most {MAX_AMOUNT}")
    try:
        gpu_request(spec)
    except InputError as error:  # ours: no api-server knows what a share of a device is
        errors.forbidden(f"{path}.containers", error.message)


# --- containers -----------------------------------------------------------------------------------------------------


def _check_containers(errors: FieldErrors, path: str, spec: PodSpec, volumes: Mapping[str, Volume]) -> None:
    if not spec.containers:
        errors.required(f"{path}.containers")
    seen: set[str] = set()
    host_ports: set[tuple[str, str, int]] = set()
    for field, containers in (
        ("initContainers", spec.init_containers),
        ("containers", spec.containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        for index, container in enumerate(containers):
            at = f"{path}.{field}[{index}]"
            _check_container(errors, at, container, volumes)
            if container.name in seen:
                errors.duplicate(f"{at}.name", container.name)
            seen.add(container.name or "")
            if field == "initContainers":
                errors.one_of(f"{at}.restartPolicy", container.restart_policy, ("Always",))
            elif container.restart_policy is not None:
                errors.forbidden(f"{at}.restartPolicy", "may only be set for init containers")
            for position, port in enumerate(container.ports):
                _check_port(errors, f"{at}.ports[{position}]", port, bool(spec.host_network))
                if field == "containers":
                    _check_host_port(errors, f"{at}.ports[{position}]", port, host_ports)


def _check_container(errors: FieldErrors, path: str, container: Container, volumes: Mapping[str, Volume]) -> None:
    if not container.name:
        errors.required(f"{path}.name")
    elif (problem := names.dns_label(container.name)) is not None:
        errors.invalid(f"{path}.name", container.name, problem)
    if container.image is not None and container.image != container.image.strip():
        errors.invalid(f"{path}.image", container.image, "must not have leading or trailing whitespace")
    errors.one_of(f"{path}.imagePullPolicy", container.image_pull_policy, ("Always", "IfNotPresent", "Never"))
    check_requirements(errors, f"{path}.resources", container.resources)
    for index, variable in enumerate(container.env):
        at = f"{path}.env[{index}]"
        if not variable.name:
            errors.required(f"{at}.name")
        elif (problem := names.env_name(variable.name)) is not None:
            errors.invalid(f"{at}.name", variable.name, problem)
    _check_mounts(errors, path, container, volumes)
    for field, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            _check_probe(errors, f"{path}.{field}", probe)


def _check_port(errors: FieldErrors, path: str, port: ContainerPort, host_network: bool) -> None:
    if port.name and (problem := names.port_name(port.name)) is not None:
        errors.invalid(f"{path}.name", port.name, problem)
    if not port.container_port:
        errors.required(f"{path}.containerPort")
    else:
        errors.within(f"{path}.containerPort", port.container_port, 1, _MAX_PORT)
    if port.host_port:
        errors.within(f"{path}.hostPort", port.host_port, 1, _MAX_PORT)
        if host_network and port.host_port != port.container_port:
            errors.invalid(f"{path}.hostPort", port.host_port, "must match containerPort when hostNetwork is true")
    errors.one_of(f"{path}.protocol", port.protocol, _PROTOCOLS)
    if port.host_ip and (problem := names.ip_address(port.host_ip)) is not None:
        errors.invalid(f"{path}.hostIP", port.host_ip, problem)


def _check_host_port(errors: FieldErrors, path: str, port: ContainerPort, taken: set[tuple[str, str, int]]) -> None:
    if port.host_port:
        key = (port.protocol or "TCP", port.host_ip or "", port.host_port)
        if key in taken:
            errors.duplicate(f"{path}.hostPort", "/".join(str(part) for part in key if part))
        taken.add(key)


def _check_probe(errors: FieldErrors, path: str, probe: Probe) -> None:
    handlers = [name for name in _HANDLERS if getattr(probe, name) is not None]
    if not handlers:
        errors.required(path, "must have one of exec, httpGet, tcpSocket, grpc")
    elif len(handlers) > 1:
        errors.forbidden(path, "may have only one of exec, httpGet, tcpSocket, grpc")
    for field, value in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        errors.within(f"{path}.{field}", value, 0, 2**31 - 1)


# --- volumes --------------------------------------------------------------------------------------------------------


def _check_volumes(errors: FieldErrors, path: str, volumes: tuple[Volume, ...]) -> dict[str, Volume]:
    """The volumes by name."""
    by_name: dict[str, Volume] = {}
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        if not volume.name:
            errors.required(f"{at}.name")
        elif (problem := names.dns_label(volume.name)) is not None:
            errors.invalid(f"{at}.name", volume.name, problem)
        elif volume.name in by_name:
            errors.duplicate(f"{at}.name", volume.name)
        by_name[volume.name or ""] = volume
        if sum(getattr(volume, source) is not None for source in VOLUME_SOURCES) > 1:
            errors.forbidden(at, "may not specify more than 1 volume type")
        claim = volume.persistent_volume_claim
        if claim is not None and not claim.claim_name:
            errors.required(f"{at}.persistentVolumeClaim.claimName")
        if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is None:
            errors.required(f"{at}.ephemeral.volumeClaimTemplate")
        if volume.csi is not None and not volume.csi.driver:
            errors.required(f"{at}.csi.driver")
    return by_name


def _check_mounts(errors: FieldErrors, path: str, container: Container, volumes: Mapping[str, Volume]) -> None:
    paths: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        at = f"{path}.volumeMounts[{index}]"
        if not mount.name:
            errors.required(f"{at}.name")
        elif mount.name not in volumes:
            errors.not_found(f"{at}.name", mount.name)
        if not mount.mount_path:
            errors.required(f"{at}.mountPath")
        elif mount.mount_path in paths:
            errors.invalid(f"{at}.mountPath", mount.mount_path, "must be unique")
        paths.add(mount.mount_path or "")
    for index, device in enumerate(container.volume_devices):
        if device.name not in volumes:
            errors.not_found(f"{path}.volumeDevices[{index}].name", device.name or "")
