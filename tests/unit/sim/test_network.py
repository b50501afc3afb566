"""The simulated network: delays, order, accidents, cuts, and lives of endpoints."""

from __future__ import annotations

from typing import Any

from ksched.sim import Kernel, Streams, Uniform
from ksched.sim.delays import Constant
from ksched.sim.network import LinkQuality, Network


class Post:
    """A network whose endpoints note (time, from, to, message)."""

    def __init__(self, quality: LinkQuality | None = None, seed: int = 1, endpoints: str = "abc") -> None:
        self.kernel = Kernel()
        self.network = Network(self.kernel, Streams(seed), "net", quality)
        self.got: list[tuple[int, str, str, Any]] = []
        for name in endpoints:
            self.attach(name)

    def attach(self, name: str) -> None:
        self.network.attach(name, lambda sender, message: self.got.append((self.kernel.now, sender, name, message)))

    def messages(self) -> list[Any]:
        self.kernel.run()
        return [message for _, _, _, message in self.got]


def test_by_default_messages_arrive_at_once_in_order_and_after_the_sender_is_done() -> None:
    post = Post()
    for number in range(5):
        post.network.send("a", "b", number)
    assert post.got == []
    assert post.messages() == [0, 1, 2, 3, 4]
    assert post.kernel.now == 0


def test_a_lane_keeps_its_order_whatever_the_delays() -> None:
    post = Post(LinkQuality(delay=Uniform(low=0, high=10_000)))
    for number in range(50):
        post.network.send("a", "b", number)
    assert post.messages() == list(range(50))
    assert len({time for time, *_ in post.got}) > 1


def test_lanes_do_not_wait_for_each_other() -> None:
    post = Post()
    post.network.send("a", "b", "slow", lane="bulk", delay=10)
    post.network.send("a", "b", "fast", lane="urgent", delay=1)
    assert post.messages() == ["fast", "slow"]


def test_a_new_endpoint_and_its_traffic_shift_nobody_elses_delays() -> None:
    quality = LinkQuality(delay=Uniform(low=0, high=1_000_000))

    def arrivals(newcomer: bool) -> list[tuple[int, str, str, Any]]:
        post = Post(quality, endpoints="abcd" if newcomer else "abc")
        for number in range(20):
            post.network.send("a", "b", number)
            if newcomer:
                post.network.send("a", "d", number)
                post.network.send("d", "b", number)
        post.kernel.run()
        return [one for one in post.got if "d" not in one[1:3]]

    assert arrivals(False) == arrivals(True)


def test_losing_duplicating_and_reordering_happen_about_as_often_as_asked_for() -> None:
    lost = Post(LinkQuality(loss=0.25))
    doubled = Post(LinkQuality(duplicate=0.25))
    mixed = Post(LinkQuality(reorder=0.25, detour=Constant(value=5)))
    for number in range(2000):
        for post in (lost, doubled, mixed):
            post.network.send("a", "b", number)
    assert 1400 < len(lost.messages()) < 1600
    assert 2400 < len(doubled.messages()) < 2600
    assert sorted(mixed.messages()) == list(range(2000))
    late = sum(time == 5 for time, *_ in mixed.got)
    assert 400 < late < 600
    assert mixed.messages() != list(range(2000))


def test_what_a_layer_above_deduplicates_never_arrives_twice() -> None:
    post = Post(LinkQuality(duplicate=1.0))
    post.network.send("a", "b", "twice")
    post.network.send("a", "b", "once", once=True)
    assert post.messages() == ["twice", "twice", "once"]


def test_a_cut_works_one_way_and_loses_what_is_on_its_way() -> None:
    post = Post(LinkQuality(delay=Constant(value=10)))
    post.network.send("a", "b", "too late")
    post.kernel.run(5)
    post.network.cut("a", "b")
    post.network.send("a", "b", "into the cut")
    post.network.send("b", "a", "back")
    assert post.messages() == ["back"]
    post.network.heal()
    post.network.send("a", "b", "healed")
    assert post.messages() == ["back", "healed"]


def test_a_partition_cuts_between_groups_and_not_within() -> None:
    post = Post()
    post.network.partition("ab", "c")
    for source in "abc":
        for target in "abc":
            if source != target:
                post.network.send(source, target, source + target)
    assert sorted(post.messages()) == ["ab", "ba"]
    assert not post.network.faultless
    post.network.heal()
    assert post.network.faultless


def test_an_isolated_endpoint_hears_nobody_and_is_not_heard() -> None:
    post = Post()
    post.network.isolate("b", "abc")
    post.network.send("a", "b", 1)
    post.network.send("b", "c", 2)
    post.network.send("a", "c", 3)
    assert post.messages() == [3]


def test_what_was_sent_to_a_former_life_never_reaches_the_next() -> None:
    post = Post(LinkQuality(delay=Constant(value=10)))
    post.network.send("a", "b", "old")
    post.network.detach("b")
    post.network.send("a", "b", "nobody there")
    post.attach("b")
    post.network.send("a", "b", "new")
    assert post.messages() == ["new"]


def test_quality_can_change_while_the_network_runs() -> None:
    post = Post()
    post.network.send("a", "b", "before")
    post.network.set_quality("a", "b", LinkQuality(delay=Constant(value=7)))
    post.network.send("a", "b", "slow")
    assert post.messages() == ["before", "slow"]
    assert [time for time, *_ in post.got] == [0, 7]
    assert post.network.typical_delay("a", "b") == 7
    assert not post.network.faultless
