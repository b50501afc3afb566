"""What the generator can be told, and its defaults: a mixed cluster of 150 nodes and four classes of work.

Defaults follow published shapes: lognormal bodies with sigma 1.5 to 2.9 and Pareto tails with alpha 0.7 to 1.5,
Zipf users, a third of the GPU pods bound to models, fractional GPU shares around .2, .3, .47, .65 and .81.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GPU_TAINT = ("dedicated", "gpu", "NoSchedule")
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Taint(_Config):
    """A taint, or what a pod tolerates, with ``key``, ``value`` and ``effect`` as in Kubernetes."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Pool(_Config):
    """Identical nodes.

    ``name``: begins the nodes' names. ``count``: how many; relative when the configuration names a total.
    ``memory_gib``: memory of a node in GiB. ``gpus`` and ``gpu_model``: devices of a node; both or none.
    ``gpu_memory_gib``: memory of each. ``labels``: further labels.
    """

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    count: int = Field(ge=1)
    cpu: Positive = Field(description="Cores of a node.")
    memory_gib: Positive
    gpus: int = Field(default=0, ge=0)
    gpu_model: str | None = None
    gpu_memory_gib: Positive | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[Taint, ...] = ()

    @model_validator(mode="after")
    def _model_with_gpus(self) -> "Pool":
        if (self.gpus > 0) != (self.gpu_model is not None):
            raise ValueError("gpus and gpu_model go together")
        return self


class Shape(_Config):
    """One joint atom of a pod's requests.

    ``cpu``: cores. ``memory_gib``: GiB. ``gpus``: devices. ``gpu_milli``: of each device; below 1000 it is a share of
    one GPU. ``weight``: how often it is drawn, relative to the other shapes.
    """

    cpu: Positive
    memory_gib: Positive
    gpus: int = Field(default=0, ge=0)
    gpu_milli: int = Field(default=1000, ge=1, le=1000)
    weight: Positive = 1.0

    @model_validator(mode="after")
    def _share_of_one(self) -> "Shape":
        if self.gpu_milli < 1000 and self.gpus != 1:
            raise ValueError("gpu_milli below 1000 goes with gpus: 1")
        return self


class Replicas(_Config):
    """A number of ``pods`` a workload may have, drawn with this ``weight`` relative to the others."""

    pods: int = Field(ge=1)
    weight: Positive = 1.0


class WorkClass(_Config):
    """A class of work: what it asks for, how long it runs, how it arrives.

    ``name``: begins the workloads' names. ``kind``: a job ends by itself, a service is deleted. ``tail_alpha``:
    exponent of the Pareto tail. ``killed``, ``failed``: share of pods that end so in the trace.
    """

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    kind: Literal["job", "service"] = "job"
    weight: Positive = Field(description="Share of all sessions.")
    shapes: tuple[Shape, ...] = Field(min_length=1)
    replicas: tuple[Replicas, ...] = (Replicas(pods=1),)
    gang: bool = Field(default=False, description="All pods of a workload must start together.")
    median_s: Positive = Field(description="Median run time.")
    sigma: Positive = Field(description="Of the lognormal body.")
    tail_quantile: float = Field(default=0.97, gt=0.5, lt=1, description="Where the Pareto tail begins.")
    tail_alpha: Positive = 1.2
    longest_s: Positive = Field(default=43_200.0, description="Run times are drawn conditional on being shorter.")
    size_correlation: float = Field(default=0.15, ge=-0.95, le=0.95, description="Gaussian copula, size and run time.")
    burst: float = Field(default=1.0, ge=1, description="Mean number of workloads a session submits.")
    at_start: Share = Field(default=0.0, description="Share of the load target its workloads hold from the start.")
    model_constraint: Share = Field(default=0.0, description="Share of templates bound to GPU models.")
    ssd: Share = Field(default=0.0, description="Share of templates that need a node with label disktype=ssd.")
    zonal: Share = Field(default=0.0, description="Share of templates bound to one zone.")
    tolerations: tuple[Taint, ...] = ()
    killed: Share = 0.0
    failed: Share = 0.0


def _gpu_taint() -> Taint:
    return Taint(key=GPU_TAINT[0], value=GPU_TAINT[1], effect="NoSchedule")


DEFAULT_POOLS = (
    Pool(name="cpu", count=60, cpu=16, memory_gib=64),
    Pool(name="ssd", count=24, cpu=32, memory_gib=128, labels={"disktype": "ssd"}),
    Pool(name="mem", count=12, cpu=16, memory_gib=256),
    Pool(name="t4", count=24, cpu=32, memory_gib=128, gpus=2, gpu_model="T4", gpu_memory_gib=16),
    Pool(name="a10", count=18, cpu=64, memory_gib=256, gpus=4, gpu_model="A10", gpu_memory_gib=24,
         labels={"disktype": "ssd"}),
    Pool(name="a100", count=12, cpu=96, memory_gib=768, gpus=8, gpu_model="A100", gpu_memory_gib=80,
         taints=(_gpu_taint(),)),
)  # fmt: skip

DEFAULT_CLASSES = (
    WorkClass(
        name="service", kind="service", weight=4, median_s=18_000, sigma=0.9, at_start=0.25,
        shapes=(
            Shape(cpu=0.5, memory_gib=1, weight=3), Shape(cpu=1, memory_gib=4, weight=3),
            Shape(cpu=2, memory_gib=4, weight=3), Shape(cpu=4, memory_gib=16, weight=2),
            Shape(cpu=8, memory_gib=24, weight=1),
        ),
        replicas=(Replicas(pods=1, weight=3), Replicas(pods=2, weight=4), Replicas(pods=3, weight=4),
                  Replicas(pods=5, weight=2), Replicas(pods=10, weight=1)),
        ssd=0.15, zonal=0.1,
    ),
    WorkClass(
        name="batch", weight=32, median_s=2_700, sigma=1.5, longest_s=21_600, burst=2, tail_alpha=1.1,
        shapes=(
            Shape(cpu=1, memory_gib=2, weight=3), Shape(cpu=2, memory_gib=8, weight=4),
            Shape(cpu=4, memory_gib=8, weight=4), Shape(cpu=8, memory_gib=32, weight=3),
            Shape(cpu=14, memory_gib=28, weight=1.5), Shape(cpu=4, memory_gib=48, weight=1),
            Shape(cpu=12, memory_gib=160, weight=0.4), Shape(cpu=28, memory_gib=96, weight=0.6),
        ),
        ssd=0.2, zonal=0.05, killed=0.12, failed=0.1,
    ),
    WorkClass(
        name="training", weight=7, median_s=3_000, sigma=1.8, longest_s=21_600, tail_alpha=1.2, size_correlation=0.3,
        gang=True,
        shapes=(
            Shape(cpu=6, memory_gib=24, gpus=1, weight=6), Shape(cpu=12, memory_gib=48, gpus=2, weight=2),
            Shape(cpu=24, memory_gib=96, gpus=4, weight=1.2), Shape(cpu=64, memory_gib=512, gpus=8, weight=0.7),
        ),
        replicas=(Replicas(pods=1, weight=12), Replicas(pods=2, weight=2), Replicas(pods=4, weight=1)),
        model_constraint=0.33, tolerations=(_gpu_taint(),), killed=0.22, failed=0.15,
    ),
    WorkClass(
        name="inference", weight=16, median_s=2_400, sigma=1.5, longest_s=21_600, burst=2,
        shapes=(
            Shape(cpu=2, memory_gib=8, gpus=1, gpu_milli=200, weight=2),
            Shape(cpu=3, memory_gib=12, gpus=1, gpu_milli=320, weight=3),
            Shape(cpu=4, memory_gib=16, gpus=1, gpu_milli=470, weight=4),
            Shape(cpu=4, memory_gib=16, gpus=1, gpu_milli=650, weight=3),
            Shape(cpu=6, memory_gib=18, gpus=1, gpu_milli=810, weight=4),
            Shape(cpu=6, memory_gib=24, gpus=1, weight=2),
        ),
        model_constraint=0.33, tolerations=(_gpu_taint(),), killed=0.3, failed=0.1,
    ),
)  # fmt: skip


class GeneratorConfig(_Config):
    """A generated trace; equal configurations give equal traces.

    ``name``: of the trace. ``seed``: of all that is drawn. ``pods``: how many. ``zones``: failure zones nodes are
    spread over. ``peak_hour``: hour of day with the highest rate. ``users``: how many submit.
    """

    name: str = "generated"
    seed: int = Field(default=0, ge=0)
    pods: int = Field(default=3000, ge=1, le=10_000_000)
    nodes: int | None = Field(default=None, ge=1, le=1_000_000, description="All nodes; null: the pools' own counts.")
    load: dict[Literal["cpu", "memory", "gpu"], Positive] = Field(
        default={"cpu": 0.92, "memory": 0.92, "gpu": 0.92},
        min_length=1,
        description="Largest fraction of each capacity demanded at once when no pod waits. One arrival rate serves "
        "all: the span is the shortest that keeps every resource at or below its target.",
    )
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")
    start_hour: float = Field(default=7.0, ge=0, lt=24, description="Hour of day at the trace's zero.")
    peak_hour: float = Field(default=15.0, ge=0, lt=24)
    trough: float = Field(default=0.35, gt=0, le=1, description="Lowest over highest hourly rate of a day.")
    burst_sigma: float = Field(default=0.3, ge=0, description="Of the logarithm of the rate, besides the day's wave.")
    burst_correlation: float = Field(default=0.7, ge=0, lt=1, description="Of that between windows of ten minutes.")
    session_gap_s: Positive = Field(default=1.0, description="Between the workloads of one session.")
    rollout_s: Positive = Field(default=900.0, description="In which what is there from the start comes up.")
    users: int = Field(default=60, ge=1)
    user_zipf: float = Field(default=1.0, ge=0, description="Exponent of activity over users.")
    templates_per_user: int = Field(default=3, ge=1, description="Different things a user submits, per class.")
    template_sigma_share: Share = Field(default=0.4, description="Share of run time variance between templates.")
    pools: tuple[Pool, ...] = Field(default=DEFAULT_POOLS, min_length=1)
    classes: tuple[WorkClass, ...] = Field(default=DEFAULT_CLASSES, min_length=1)

    @model_validator(mode="after")
    def _unique_names(self) -> "GeneratorConfig":
        for label, names in (("pools", [p.name for p in self.pools]), ("classes", [c.name for c in self.classes])):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{label}: two are called {name}")
        if self.nodes is not None and self.nodes < len(self.pools):
            raise ValueError(f"nodes: {self.nodes} is fewer than the {len(self.pools)} pools")
        return self
