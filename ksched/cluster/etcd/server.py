"""An etcd cluster as its clients meet it: requests that take time, watches over a connection, leases that expire.

While all members are healthy and agree in no time, one :class:`Store` stands for all of them and a request is applied
when it arrives. As soon as agreement takes time, or anything is done to a member or its links, the cluster goes on as
a :class:`Group` of members that run Raft; what clients see is the same. All delays are zero by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.config import EtcdConfig
from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.group import Group
from ksched.cluster.etcd.leases import Lessor
from ksched.cluster.etcd.member import Member, Then
from ksched.cluster.etcd.ops import LeaseGrant, LeaseResponse, LeaseRevoke, Range, Request, Response, encoded_size
from ksched.cluster.etcd.raft import Entry, Snapshot, SoftState
from ksched.cluster.etcd.store import VERBS, Store
from ksched.cluster.etcd.watch_handle import WatchHandle
from ksched.cluster.etcd.watches import Sink
from ksched.cluster.priorities import DELIVERY
from ksched.sim.channels import Channel, OrderedChannel
from ksched.sim.delays import Sampler
from ksched.sim.kernel import Kernel
from ksched.sim.network import LinkQuality
from ksched.sim.streams import Streams

__all__ = ["Etcd", "EtcdConfig", "MemberStatus", "WatchHandle"]

_WITHOUT_LEADER = 3
"""After so many election timeouts without a leader a member ends the watches of clients that want one."""


class MemberStatus(NamedTuple):
    """What a member says of itself (maintenance status). ``leader`` is 0 when it knows none."""

    id: int
    up: bool
    leader: int
    term: int
    applied: int
    revision: int


class Etcd:
    """One etcd cluster. All calls return at once and answer through ``then(response, error)``.

    A client talks to one member, the first, until that fails it, and then to the next. ``member`` names another
    one, and then there is no next. The methods from ``crash`` on are faults.
    """

    def __init__(self, kernel: Kernel, streams: Streams, config: EtcdConfig | None = None) -> None:
        self.config = config or EtcdConfig()
        self._kernel = kernel
        self._streams = streams
        self._network = Sampler(self.config.network, streams, "etcd/network")
        self._requests = Channel(kernel, self._network, priority=DELIVERY, inline=True)
        commit = Sampler(self.config.commit, streams, "etcd/commit")
        read = Sampler(self.config.read, streams, "etcd/read")
        self._commits = OrderedChannel(kernel, commit, priority=DELIVERY, inline=True)
        self._reads = Channel(kernel, read, priority=DELIVERY, inline=True)
        # With every delay zero all these channels call at once, so a request need not be led through each of them.
        self._instant = all(delay.is_zero for delay in (self._network, commit, read))
        self._max_request_bytes = self.config.max_request_bytes
        self._next_lease_id = 1
        self._born = kernel.now
        self._endpoint = 1
        self._watches: list[WatchHandle] = []
        # By member that has no leader and is to be asked later whether it has one: since when.
        self._minded: dict[int, int] = {}
        # One store for all members, and the length their logs would have; unused once there is a group.
        self._store = Store()
        self._applied = 1
        self._lessor = Lessor(kernel, self.config.lease_check, self._revoke_expired)
        self._group: Group | None = None
        if self.config.raft_is_observable:
            self._become_group()

    @property
    def store(self) -> Store:
        """The state as the client's member has it."""
        if self._group is None:
            return self._store
        member = self._reachable(None)
        return (member or self._group.members[self._endpoint]).store

    def close(self) -> None:
        """Let go of everything (:meth:`ksched.cluster.cluster.Cluster.close`)."""
        for handle in self._watches:
            handle.cancel()
        vars(self).clear()

    # -- requests ---------------------------------------------------------------------------------------------

    def submit(self, op: Request, then: Then, *, member: int | None = None, serializable: bool = False) -> None:
        """Execute ``op``: a read after the ``read`` delay, anything else after its commit.

        A ``serializable`` read is served by the member alone and may be old; all else is linearizable.
        """
        if encoded_size(op) > self._max_request_bytes:
            self._requests.send(then, None, errors.request_too_large())
            return
        if self._instant and member is None and not serializable:
            self._apply(op, then)
            return
        through = self._reads if type(op) is Range else self._commits
        if member is None and not serializable:
            self._requests.send(through.send, self._apply, op, then)
        else:
            self._requests.send(through.send, self._apply_at, op, then, member, serializable)

    def watch(
        self,
        sink: Sink,
        key: bytes,
        range_end: bytes | None = None,
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        member: int | None = None,
    ) -> WatchHandle:
        """Watch keys; batches arrive at ``sink`` in order, each ``network`` after its commit.

        When its member fails, the watch goes on at another from where it stands, unless ``member`` was named: then it
        waits for that one to be back.
        """
        handle = WatchHandle(self._connection, sink, key, range_end, start_revision, prev_kv, member)
        self._requests.send(self._register, handle)
        return handle

    def lease_grant(self, ttl: int, then: Then, lease_id: int = 0) -> None:
        """Grant a lease of at least ``min_lease_ttl`` seconds; id 0 lets the server choose."""
        if lease_id == 0:
            lease_id = self._next_lease_id
            while lease_id in self.store.leases:
                lease_id += 1
            self._next_lease_id = lease_id + 1
        self.submit(LeaseGrant(lease_id, max(ttl, self.config.min_lease_ttl)), then)

    def lease_keep_alive(self, lease_id: int, then: Then) -> None:
        """Start the lease's time anew; a lease unknown answers with a ttl of 0, no leader with an error."""
        self._requests.send(self._renew, lease_id, then)

    def lease_revoke(self, lease_id: int, then: Then) -> None:
        """End a lease now; the keys attached to it go in one revision."""
        self.submit(LeaseRevoke(lease_id), then)

    def lease_remaining(self, lease_id: int) -> int:
        """Whole seconds a lease has left; -1 when there is no such lease, or no leader who knows."""
        lessor = self._lessor_now()
        return -1 if lessor is None else lessor.remaining(lease_id)

    # -- carrying out -----------------------------------------------------------------------------------------

    def _apply(self, op: Request, then: Then) -> None:
        if self._group is not None:
            self._apply_at(op, then, None, False)
            return
        kind = type(op)
        response: Response | None = None
        error: EtcdError | None = None
        try:
            response = VERBS[kind](self._store, op)
        except EtcdError as refused:
            error = refused
        if kind is not Range:
            self._applied += 1
            if error is None and (kind is LeaseGrant or kind is LeaseRevoke):
                self._time_lease(op)
        if self._instant:
            then(response, error)
        else:
            self._requests.send(then, response, error)

    def _apply_at(self, op: Request, then: Then, member: int | None, serializable: bool) -> None:
        if self._group is None:
            self._apply(op, then)
            return
        server = self._reachable(member)
        if server is None:
            self._requests.send(then, None, errors.server_stopped())
            return

        def reply(response: Any, error: EtcdError | None) -> None:
            if error is not None and error.code == errors.UNAVAILABLE and member is None:
                self._turn_from(server)
            self._requests.send(then, response, error)

        if type(op) is not Range:
            server.write(op, reply)
        elif serializable:
            server.read_local(op, reply)
        else:
            server.read(op, reply)

    def _time_lease(self, op: Any) -> None:
        if type(op) is LeaseGrant:
            self._lessor.start(op.id, op.ttl)
        else:
            self._lessor.forget(op.id)

    def _revoke_expired(self, lease_id: int) -> None:
        self._apply(LeaseRevoke(lease_id), lambda response, error: None)

    def _renew(self, lease_id: int, then: Then) -> None:
        if self._group is None:
            lease = self._store.leases.get(lease_id)
            ttl = 0 if lease is None or self._lessor.expired(lease_id) else lease.ttl
            if ttl:
                self._lessor.start(lease_id, ttl)
        else:
            leader = self._leader_of_client()
            if leader is None:
                self._requests.send(then, None, errors.no_leader())
                return
            ttl = leader.renew(lease_id)
        self._requests.send(then, LeaseResponse(self.store.revision, lease_id, ttl), None)

    def _lessor_now(self) -> Lessor | None:
        if self._group is None:
            return self._lessor
        leader = self._group.leader()
        return None if leader is None else leader.lessor

    # -- members ----------------------------------------------------------------------------------------------

    def _become_group(self) -> Group:
        """Go on as members that run Raft, from the state they would have come to by now."""
        if self._group is None:
            self._group = Group(
                self._kernel,
                self._streams,
                self.config,
                self._store,
                applied=self._applied,
                since=self._born,
                state_changed=self._state_changed,
            )
            leader = self._group.leader()
            assert leader is not None
            leader.lessor.adopt(self._lessor)
            self._group.observers.append(_Watches(self))
            for handle in self._watches:
                self._connect(handle)
        return self._group

    def _reachable(self, member: int | None) -> Member | None:
        """The member to ask: the one named if it is up, else the client's own or the next that is up."""
        assert self._group is not None
        members = self._group.members
        if member is not None:
            named = members.get(member)
            return named if named is not None and named.up else None
        order = [*range(self._endpoint, max(members) + 1), *range(1, self._endpoint)]
        for candidate in order:
            if candidate in members and members[candidate].up:
                self._endpoint = candidate
                return members[candidate]
        return None

    def _turn_from(self, failed: Member) -> None:
        """After a failure the client's next request goes to the next member."""
        assert self._group is not None
        if failed.id == self._endpoint:
            self._endpoint = failed.id % max(self._group.members) + 1

    def _leader_of_client(self) -> Member | None:
        """The leader as far as the client's member knows, if it is there."""
        assert self._group is not None
        server = self._reachable(None)
        leader = self._group.members.get(server.leader) if server is not None else None
        return leader if leader is not None and leader.leads and not leader.paused else None

    # -- watches ----------------------------------------------------------------------------------------------

    def _connection(self) -> OrderedChannel:
        return OrderedChannel(self._kernel, self._network, priority=DELIVERY, inline=True)

    def _register(self, handle: WatchHandle) -> None:
        if handle.open:
            self._watches = [other for other in self._watches if other.open]
            self._watches.append(handle)
            self._connect(handle)

    def _connect(self, handle: WatchHandle) -> None:
        """Have a watch served; when no member can, it waits for one to start."""
        if self._group is None:
            handle.connect(self._store, None)
            return
        server = self._reachable(handle.pinned)
        if server is not None:
            handle.connect(server.store, server)
            self._mind_leader(server)

    def _reconnect(self, left: Member) -> None:
        """The watches of a member that has gone, or has no leader, go on elsewhere."""
        for handle in self._watches:
            if handle.open and handle.member is left:
                handle.leave()
                self._requests.send(self._connect_waiting)

    def _connect_waiting(self) -> None:
        for handle in self._watches:
            if handle.open and handle.member is None:
                self._connect(handle)

    def _state_changed(self, member: Member) -> None:
        if not member.up:
            self._reconnect(member)
        else:
            self._mind_leader(member)

    def _mind_leader(self, member: Member) -> None:
        """A watch must not stay on a member that has no leader, since nothing new comes there."""
        since = member.leaderless_since
        if since is not None and self._minded.get(member.id) != since:
            self._minded[member.id] = since
            at = self._kernel.now + _WITHOUT_LEADER * self.config.election
            self._kernel.call_background(at, self._check_leader, member, since)

    def _check_leader(self, member: Member, since: int) -> None:
        if self._minded.get(member.id) == since:
            del self._minded[member.id]
        if member.up and member.leaderless_since == since:
            self._turn_from(member)
            self._reconnect(member)

    def _restored(self, member: Member) -> None:
        for handle in self._watches:
            if handle.open and handle.member is member:
                handle.serve(member.store)

    # -- faults -----------------------------------------------------------------------------------------------

    def crash(self, member: int, *, power_loss: bool = True) -> None:
        """A member dies; with ``power_loss`` its disk loses what was not synced, in whole or in part."""
        group = self._become_group()
        group.crash(member, power_loss=power_loss)
        self._reconnect(group.members[member])

    def restart(self, member: int) -> None:
        """Start a member that is down again from its disk."""
        self._become_group().restart(member)
        self._requests.send(self._connect_waiting)

    def pause(self, member: int) -> None:
        """Let a member stand still: it answers nobody, and misses its clock, until it is resumed."""
        self._become_group().pause(member)

    def resume(self, member: int) -> None:
        """Let a member go on after a pause."""
        self._become_group().resume(member)

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut all links between members of different groups."""
        self._become_group().partition(*groups)

    def isolate(self, member: int) -> None:
        """Cut a member off from all others; its clients still reach it."""
        self._become_group().isolate(member)

    def cut(self, source: int, target: int) -> None:
        """Cut the link from one member to another, and leave the way back open."""
        self._become_group().cut(source, target)

    def disturb(self, quality: LinkQuality) -> None:
        """Let all links between members be of this quality."""
        self._become_group().disturb(quality)

    def heal(self) -> None:
        """Open all links and make them of the configured quality; members that are down stay down."""
        self._become_group().heal()

    # -- membership -------------------------------------------------------------------------------------------

    def add_member(self, then: Then) -> int:
        """Start a new member, with an empty disk, and have it join; its id, 0 if nobody could be asked.

        One change at a time: of several under way Raft drops all but one, which then time out.
        """
        group = self._become_group()
        server = self._reachable(None)
        if server is None:
            then(None, errors.server_stopped())
            return 0
        return group.add_member(server, then)

    def remove_member(self, member: int, then: Then) -> None:
        """Have a member removed; it stops when it learns of it."""
        group = self._become_group()
        server = self._reachable(None)
        if server is None:
            then(None, errors.server_stopped())
        else:
            group.remove_member(member, server, then)

    def status(self, member: int) -> MemberStatus:
        """What a member says of itself."""
        asked = self._become_group().member(member)
        term = asked.node.raft.term if asked.up else 0
        return MemberStatus(member, asked.up, asked.leader, term, asked.applied, asked.store.revision)

    def leader(self) -> int:
        """The id of the member that leads, 0 when none does."""
        leader = self._become_group().leader()
        return 0 if leader is None else leader.id

    @property
    def group(self) -> Group:
        """The members themselves, for those who check them."""
        return self._become_group()


class _Watches:
    """Hears of members that have taken over a snapshot, so that watches go on in the new state."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def applied(self, member: Member, entry: Entry) -> None: ...

    def restored(self, member: Member, snapshot: Snapshot) -> None:
        self._etcd._restored(member)

    def role_changed(self, member: Member, state: SoftState) -> None: ...
