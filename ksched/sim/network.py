"""A network between named endpoints, whose every link can be slow, lossy, untidy or cut, and changed while it runs.

Between two endpoints there is one link each way. On a link messages of one ``lane`` arrive in the order they were
sent, as over one TCP connection; lanes are independent. By default a link takes no time and loses nothing.

Each lane draws its delays, and each link its accidents, from streams of their own, named after the endpoints. So a
new endpoint, or more traffic on one link, shifts no draw on another; and what cannot happen draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import Kernel
from ksched.sim.streams import Streams

Receive = Callable[[str, Any], object]
"""Called with (sender, message)."""


class LinkQuality(BaseModel):
    """What one direction of a link does to messages.

    ``delay``: time on the way. ``loss``, ``duplicate``, ``reorder``: chances per message of getting lost, of arriving
    twice, and of a ``detour`` on which later messages may overtake it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: Delay = Constant()
    loss: float = Field(default=0.0, ge=0, le=1)
    duplicate: float = Field(default=0.0, ge=0, le=1)
    reorder: float = Field(default=0.0, ge=0, le=1)
    detour: Delay = Constant()

    @property
    def has_accidents(self) -> bool:
        """False when every message arrives once and in order."""
        return bool(self.loss or self.duplicate or self.reorder)


class _Endpoint:
    """One life of an endpoint; what is on its way to a life that is over is lost, as a connection's data is."""

    __slots__ = ("receive",)

    def __init__(self, receive: Receive) -> None:
        self.receive = receive


class _Lane:
    __slots__ = ("delay", "last")

    def __init__(self, delay: Sampler) -> None:
        self.delay = delay
        self.last = 0


class _Link:
    __slots__ = ("detour", "lanes", "name", "open", "quality", "source", "target")

    def __init__(self, source: str, target: str, name: str, quality: LinkQuality) -> None:
        self.source = source
        self.target = target
        self.name = name
        self.quality = quality
        self.open = True
        self.lanes: dict[str, _Lane] = {}
        self.detour: Sampler | None = None


class Network:
    """See the module's text. ``priority`` is that of arrivals in the kernel, ``name`` the start of stream names."""

    def __init__(
        self,
        kernel: Kernel,
        streams: Streams,
        name: str,
        quality: LinkQuality | None = None,
        *,
        priority: int = 0,
    ) -> None:
        self.default = quality or LinkQuality()
        self._kernel = kernel
        self._streams = streams
        self._name = name
        self._priority = priority
        self._endpoints: dict[str, _Endpoint] = {}
        self._links: dict[tuple[str, str], _Link] = {}

    # -- traffic ----------------------------------------------------------------------------------------------

    def attach(self, endpoint: str, receive: Receive) -> None:
        """Connect ``endpoint``, anew if it was: nothing sent to its former life reaches this one."""
        self._endpoints[endpoint] = _Endpoint(receive)

    def detach(self, endpoint: str) -> None:
        """Disconnect ``endpoint``; what is on its way to it is lost, what it has sent arrives."""
        self._endpoints.pop(endpoint, None)

    def send(
        self, source: str, target: str, message: Any, *, lane: str = "", once: bool = False, delay: int | None = None
    ) -> None:
        """Let ``message`` go from ``source`` to ``target``.

        ``once``: a layer above discards duplicates, so it never arrives twice. ``delay`` (ns) replaces the draw.
        """
        link = self._link(source, target)
        endpoint = self._endpoints.get(target)
        if endpoint is None or not link.open:
            return
        way = link.lanes.get(lane) or self._open_lane(link, lane)
        taken = way.delay() if delay is None else delay
        quality = link.quality
        if quality.has_accidents:
            self._send_by_chance(link, way, endpoint, message, taken, once)
            return
        way.last = arrival = max(self._kernel.now + taken, way.last)
        self._kernel.call_at(arrival, self._arrive, link, endpoint, message, priority=self._priority)

    def _send_by_chance(
        self, link: _Link, way: _Lane, endpoint: _Endpoint, message: Any, taken: int, once: bool
    ) -> None:
        quality, chance = link.quality, self._streams.generator(link.name + "/accidents")
        if quality.loss and chance.random() < quality.loss:
            return
        copies = 2 if quality.duplicate and chance.random() < quality.duplicate and not once else 1
        for _ in range(copies):
            arrival = max(self._kernel.now + taken, way.last)
            if quality.reorder and chance.random() < quality.reorder:
                arrival += self._detour(link)
            else:
                way.last = arrival
            self._kernel.call_at(arrival, self._arrive, link, endpoint, message, priority=self._priority)

    def _arrive(self, link: _Link, endpoint: _Endpoint, message: Any) -> None:
        if link.open and self._endpoints.get(link.target) is endpoint:
            endpoint.receive(link.source, message)

    # -- faults -----------------------------------------------------------------------------------------------

    @property
    def faultless(self) -> bool:
        """True while every link is open and of the default quality, which has no accidents."""
        if self.default.has_accidents:
            return False
        return all(link.open and link.quality is self.default for link in self._links.values())

    def is_open(self, source: str, target: str) -> bool:
        return self._link(source, target).open

    def typical_delay(self, source: str, target: str) -> int:
        """The median time from ``source`` to ``target``, in ns."""
        return self._link(source, target).quality.delay.typical

    def set_quality(self, source: str, target: str, quality: LinkQuality | None = None) -> None:
        """Change one direction from now on; None: back to the default."""
        link = self._link(source, target)
        link.quality = quality or self.default
        link.detour = None
        for name, lane in link.lanes.items():
            lane.delay = self._sampler(link, name)

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from ``source`` to ``target``, what is on its way included; the way back stays open."""
        self._link(source, target).open = False

    def partition(self, *groups: Sequence[str]) -> None:
        """Let nothing through between the groups, either way."""
        for group in groups:
            for other in groups:
                if other is not group:
                    for source in group:
                        for target in other:
                            self.cut(source, target)

    def isolate(self, endpoint: str, others: Iterable[str]) -> None:
        """Cut ``endpoint`` off from ``others``, both ways."""
        self.partition([endpoint], [other for other in others if other != endpoint])

    def heal(self) -> None:
        """Open every link and make it of the default quality again."""
        for source, target in self._links:
            self._links[source, target].open = True
            self.set_quality(source, target)

    # -- links ------------------------------------------------------------------------------------------------

    def _link(self, source: str, target: str) -> _Link:
        link = self._links.get((source, target))
        if link is None:
            name = f"{self._name}/{source}>{target}"
            link = self._links[source, target] = _Link(source, target, name, self.default)
        return link

    def _open_lane(self, link: _Link, name: str) -> _Lane:
        lane = link.lanes[name] = _Lane(self._sampler(link, name))
        return lane

    def _sampler(self, link: _Link, lane: str) -> Sampler:
        return Sampler(link.quality.delay, self._streams, f"{link.name}/{lane}")

    def _detour(self, link: _Link) -> int:
        if link.detour is None:
            link.detour = Sampler(link.quality.detour, self._streams, f"{link.name}/detour")
        return link.detour()
