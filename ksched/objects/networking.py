"""Services and EndpointSlices (k8s.io/api/core/v1 and discovery/v1, v1.30)."""

from typing import Any

from pydantic import Field

from .base import Bool, Int, IntOrStr, KubeModel, Many, Str, StrMap, Struct
from .meta import Condition, KubeObject, ObjectReference


class ServicePort(KubeModel):
    """A port of a service and where it leads."""

    name: Str | None = None
    protocol: Str | None = None
    app_protocol: Str | None = None
    port: Int | None = None
    target_port: IntOrStr | None = None
    node_port: Int | None = None


class ServiceSpec(KubeModel):
    """Which pods a service reaches and how it is reached."""

    ports: Many[ServicePort] = ()
    selector: StrMap = Field(default_factory=dict)
    cluster_ip: Str | None = Field(default=None, alias="clusterIP")
    cluster_ips: Many[Str] = Field(default=(), alias="clusterIPs")
    type: Str | None = None
    external_ips: Many[Str] = Field(default=(), alias="externalIPs")
    session_affinity: Str | None = None
    load_balancer_ip: Str | None = Field(default=None, alias="loadBalancerIP")
    load_balancer_source_ranges: Many[Str] = ()
    external_name: Str | None = None
    external_traffic_policy: Str | None = None
    health_check_node_port: Int | None = None
    publish_not_ready_addresses: Bool | None = None
    session_affinity_config: Any = None
    ip_families: Many[Str] = ()
    ip_family_policy: Str | None = None
    allocate_load_balancer_node_ports: Bool | None = None
    load_balancer_class: Str | None = None
    internal_traffic_policy: Str | None = None
    traffic_distribution: Str | None = None


class ServiceStatus(KubeModel):
    """Addresses of the load balancer."""

    load_balancer: Any = None
    conditions: Many[Condition] = ()


class Service(KubeObject):
    """A stable address for the pods its selector matches."""

    KIND = "Service"
    API_VERSION = "v1"
    PLURAL = "services"

    spec: Struct[ServiceSpec] = Field(default_factory=ServiceSpec)
    status: Struct[ServiceStatus] = Field(default_factory=ServiceStatus)


class EndpointConditions(KubeModel):
    """Whether an endpoint takes traffic; an absent ``ready`` counts as true."""

    ready: Bool | None = None
    serving: Bool | None = None
    terminating: Bool | None = None


class ForZone(KubeModel):
    """A zone whose clients should use the endpoint."""

    name: Str | None = None


class EndpointHints(KubeModel):
    """Topology hints of an endpoint."""

    for_zones: Many[ForZone] = ()


class Endpoint(KubeModel):
    """One backend of a service."""

    addresses: Many[Str] = ()
    conditions: EndpointConditions | None = None
    hostname: Str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: StrMap = Field(default_factory=dict)
    node_name: Str | None = None
    zone: Str | None = None
    hints: EndpointHints | None = None


class EndpointPort(KubeModel):
    """A port all endpoints of a slice share."""

    name: Str | None = None
    protocol: Str | None = None
    port: Int | None = None
    app_protocol: Str | None = None


class EndpointSlice(KubeObject):
    """Some of the endpoints of a service."""

    KIND = "EndpointSlice"
    API_VERSION = "discovery.k8s.io/v1"
    PLURAL = "endpointslices"

    address_type: Str | None = None
    endpoints: Many[Endpoint] = ()
    ports: Many[EndpointPort] = ()
