"""KubeSchedulerConfiguration v1: the file a kube-scheduler is given, read strictly.

Keys are upstream's (k8s.io/kube-scheduler/config/v1/types.go). Keys that only concern the process kube-scheduler runs
in (leader election, client connection, profiling) are accepted and have no effect here.
"""

import re
from pathlib import Path
from typing import Any, Self

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from ksched.errors import InputError, invalid
from ksched.objects.yaml_text import load_documents, read_text

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        alias_generator=AliasGenerator(validation_alias=to_camel, serialization_alias=to_camel, alias=to_camel),
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        # As in Go's JSON. Unknown keys are left in place: they are to be reported, null or not.
        if not isinstance(data, dict):
            return data
        known = {field.alias for field in cls.model_fields.values()}
        return {key: value for key, value in data.items() if value is not None or key not in known}


class PluginEntry(_Strict):
    """A plugin enabled or disabled at a point, by ``name``: of an installed plugin, ``module:Class`` or
    ``path/to/file.py:Class``, relative to the profile. ``weight`` only matters where it scores, 0 means 1.
    """

    name: str
    weight: int = Field(default=0, ge=0, le=2**31 - 1)


class PluginSet(_Strict):
    """What a profile changes at one extension point: ``enabled`` plugins come after the defaults, in this order; those
    under ``disabled`` are taken out of the defaults, "*" takes out all.
    """

    enabled: tuple[PluginEntry, ...] = ()
    disabled: tuple[PluginEntry, ...] = ()


class Plugins(_Strict):
    """A profile's ``plugins``: one set per extension point, and ``multiPoint`` for all a plugin implements."""

    pre_enqueue: PluginSet = PluginSet()
    queue_sort: PluginSet = PluginSet()
    pre_filter: PluginSet = PluginSet()
    filter: PluginSet = PluginSet()
    post_filter: PluginSet = PluginSet()
    pre_score: PluginSet = PluginSet()
    score: PluginSet = PluginSet()
    reserve: PluginSet = PluginSet()
    permit: PluginSet = PluginSet()
    pre_bind: PluginSet = PluginSet()
    bind: PluginSet = PluginSet()
    post_bind: PluginSet = PluginSet()
    multi_point: PluginSet = PluginSet()

    def at(self, point: str) -> PluginSet:
        """The set of an extension point by its name in the file, e.g. "preFilter"."""
        for name, field in type(self).model_fields.items():
            if field.alias == point:
                found = getattr(self, name)
                assert isinstance(found, PluginSet)
                return found
        raise KeyError(point)


class PluginConfig(_Strict):
    """Arguments of one plugin: ``args`` as its own model says, ``name`` the plugin's own, wherever its file is."""

    name: str
    args: dict[str, Any] = {}

    @field_validator("args")
    @classmethod
    def _without_type(cls, args: dict[str, Any]) -> dict[str, Any]:
        # Genuine files carry the type of the args; the plugin's own model says all there is to check.
        return {key: value for key, value in args.items() if key not in ("apiVersion", "kind")}


class ProfileSpec(_Strict):
    """One entry of ``profiles``, as written.

    ``schedulerName``: pods whose spec says so are placed by this profile. ``percentageOfNodesToScore``: over that of
    the whole file. ``pluginConfig``: arguments, one entry a plugin.
    """

    scheduler_name: str = "default-scheduler"
    percentage_of_nodes_to_score: int | None = Field(default=None, ge=0, le=100)
    plugins: Plugins = Plugins()
    plugin_config: tuple[PluginConfig, ...] = ()


class ManagedResource(_Strict):
    """An extended resource by ``name`` that only the extender knows about; with ``ignoredByScheduler``
    NodeResourcesFit leaves it alone.
    """

    name: str
    ignored_by_scheduler: bool = False

    @field_validator("name")
    @classmethod
    def _extended(cls, name: str) -> str:
        if "/" not in name or name.split("/", 1)[0].endswith("kubernetes.io"):
            raise ValueError(f"{name!r} is an invalid extended resource name")
        return name


class ExtenderSpec(_Strict):
    """A webhook beside the plugins (upstream: Extender in config/v1/types.go; extenders.py says how it is asked).

    ``urlPrefix`` is ``http://host:port/path`` or ``python:module:function``. ``httpTimeout`` as Go writes durations;
    0 means 5 s. ``filterVerb``, ``prioritizeVerb`` and ``bindVerb`` are put behind the prefix; an empty one is not
    asked. ``weight`` multiplies what it prioritises. ``nodeCacheCapable``: it is told names of nodes, not nodes.
    ``ignorable``: a pod can be placed when it does not answer. ``managedResources``: it is asked about pods that name
    one of them only. ``preemptVerb``, ``enableHTTPS`` and ``tlsConfig`` are refused: there is no support for them.
    """

    url_prefix: str
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = Field(default=0, ge=0)
    bind_verb: str = ""
    enable_https: bool = Field(default=False, validation_alias="enableHTTPS", serialization_alias="enableHTTPS")
    tls_config: dict[str, Any] | None = None
    http_timeout: str = "5s"
    node_cache_capable: bool = False
    managed_resources: tuple[ManagedResource, ...] = ()
    ignorable: bool = False

    @property
    def timeout_s(self) -> float:
        """``httpTimeout`` in seconds."""
        return _seconds(self.http_timeout) or 5.0

    @field_validator("http_timeout")
    @classmethod
    def _a_duration(cls, text: str) -> str:
        _seconds(text)
        return text

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if not self.url_prefix.startswith(("http://", "python:")):
            raise ValueError(f"urlPrefix {self.url_prefix!r} must begin with http:// or python:")
        if self.enable_https or self.tls_config:
            raise ValueError("extenders over TLS are not supported")
        if self.prioritize_verb and self.weight <= 0:
            raise ValueError("an extender with a prioritizeVerb needs a positive weight")
        return self


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


def _seconds(text: str) -> float:
    """A Go duration ("1m30s", "500ms") in seconds; ValueError if it is none."""
    parts = _DURATION.findall(text)
    if not text or (text != "0" and "".join(number + unit for number, unit in parts) != text):
        raise ValueError(f"{text!r} is not a duration such as 5s or 500ms")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class ConfigurationSpec(_Strict):
    """The whole file, as written.

    ``apiVersion`` and ``kind`` must be what their defaults are. ``percentageOfNodesToScore``: the search ends when that
    share of the nodes was found feasible; 0 is upstream's adaptive sampling, upstream's own default.
    ``podInitialBackoffSeconds``, ``podMaxBackoffSeconds``: wait of a pod that could not be placed, doubled each time.
    Read and without effect here: ``parallelism``, ``leaderElection``, ``clientConnection``, ``enableProfiling``,
    ``enableContentionProfiling``, ``delayCacheUntilActive``.
    """

    api_version: str = API_VERSION
    kind: str = KIND
    parallelism: int = Field(default=16, gt=0)
    percentage_of_nodes_to_score: int = Field(default=100, ge=0, le=100)
    """Upstream's default is 0 (adaptive sampling); here all nodes are scored unless the file says otherwise."""
    pod_initial_backoff_seconds: int = Field(default=1, gt=0)
    pod_max_backoff_seconds: int = Field(default=10, gt=0)
    profiles: tuple[ProfileSpec, ...] = (ProfileSpec(),)
    extenders: tuple[ExtenderSpec, ...] = ()
    leader_election: dict[str, Any] = {}
    client_connection: dict[str, Any] = {}
    enable_profiling: bool = True
    enable_contention_profiling: bool = True
    delay_cache_until_active: bool = False

    @field_validator("api_version")
    @classmethod
    def _known_version(cls, version: str) -> str:
        if version != API_VERSION:
            raise ValueError(f"expected {API_VERSION}")
        return version

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind != KIND:
            raise ValueError(f"expected {KIND}")
        return kind

    @field_validator("extenders")
    @classmethod
    def _one_binder(cls, extenders: tuple[ExtenderSpec, ...]) -> tuple[ExtenderSpec, ...]:
        if sum(bool(extender.bind_verb) for extender in extenders) > 1:
            raise ValueError("only one extender can implement bind")
        managed = [resource.name for extender in extenders for resource in extender.managed_resources]
        for name in managed:
            if managed.count(name) > 1:
                raise ValueError(f"resource {name} is managed by two extenders")
        return extenders


def parse(data: Any, *, where: str | None) -> ConfigurationSpec:
    """A validated configuration from parsed YAML; InputError names the key that is wrong."""
    if not isinstance(data, dict):
        raise InputError(f"expected a {KIND} mapping, got {type(data).__name__}", where=where)
    try:
        spec = ConfigurationSpec.model_validate(data)
    except ValidationError as error:
        raise invalid(error, ConfigurationSpec, where=where) from None
    if spec.pod_max_backoff_seconds < spec.pod_initial_backoff_seconds:
        raise InputError("podMaxBackoffSeconds must not be below podInitialBackoffSeconds", where=where)
    if not spec.profiles:
        raise InputError("profiles must name at least one profile", where=where)
    names = [profile.scheduler_name for profile in spec.profiles]
    if len(set(names)) != len(names):
        raise InputError("two profiles have the same schedulerName", where=where)
    return spec


def read(path: Path) -> ConfigurationSpec:
    """Read a configuration file; InputError names file, line and key."""
    documents = load_documents(read_text(path, "scheduler configuration"), where=str(path))
    if len(documents) != 1:
        raise InputError(f"expected one {KIND}, found {len(documents)} documents", where=str(path))
    return parse(documents[0].data, where=str(path))
