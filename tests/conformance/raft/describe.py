"""Messages, entries and Ready structs as the files print them (go.etcd.io/raft/v3, util.go)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ksched.cluster.etcd.raft import Configuration, Entry, EntryType, HardState, Message, Ready, Snapshot
from ksched.cluster.etcd.raft.messages import LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD

from .conf_changes import format_changes

_TARGETS = {0: "None", LOCAL_APPEND_THREAD: "AppendThread", LOCAL_APPLY_THREAD: "ApplyThread"}


def describe_entry(entry: Entry) -> str:
    if entry.type is EntryType.NORMAL:
        payload = json.dumps((entry.data or b"").decode())
    else:
        payload = format_changes(entry.data.changes)
    return f"{entry.term}/{entry.index} {entry.type} {payload}".rstrip()


def describe_entries(entries: Sequence[Entry]) -> str:
    return "".join(describe_entry(entry) + "\n" for entry in entries)


def describe_message(m: Message, indent: str = "") -> str:
    text = f"{indent}{_target(m.sender)}->{_target(m.to)} {m.type} Term:{m.term} Log:{m.log_term}/{m.index}"
    if m.reject:
        text += f" Rejected (Hint: {m.reject_hint})"
    if m.commit:
        text += f" Commit:{m.commit}"
    if m.vote:
        text += f" Vote:{m.vote}"
    if len(m.entries) == 1:
        text += f" Entries:[{describe_entry(m.entries[0])}]"
    elif m.entries:
        lines = [f"\n{indent}  {describe_entry(entry)}" for entry in m.entries]
        text += f" Entries:[{''.join(lines)}\n{indent}]"
    if m.snapshot is not None and m.snapshot.index:
        text += f"\n{indent}  Snapshot: {describe_snapshot(m.snapshot)}"
    if m.responses:
        lines = ["\n" + describe_message(response, indent + "  ") for response in m.responses]
        text += f" Responses:[{''.join(lines)}\n{indent}]"
    return text


def describe_snapshot(snapshot: Snapshot) -> str:
    return f"Index:{snapshot.index} Term:{snapshot.term} ConfState:{_conf_state(snapshot.configuration)}"


def describe_ready(ready: Ready) -> str:
    text = ""
    if ready.soft_state is not None:
        text += f"Lead:{ready.soft_state.lead} State:{ready.soft_state.role}\n"
    if ready.hard_state is not None:
        text += f"HardState {_hard_state(ready.hard_state)}\n"
    if ready.entries:
        text += "Entries:\n" + describe_entries(ready.entries)
    if ready.snapshot is not None:
        text += f"Snapshot {describe_snapshot(ready.snapshot)}\n"
    if ready.committed_entries:
        text += "CommittedEntries:\n" + describe_entries(ready.committed_entries)
    messages = [*ready.messages, *ready.messages_after_sync]
    if messages:
        text += "Messages:\n" + "".join(describe_message(m) + "\n" for m in messages)
    return f"Ready MustSync={str(ready.must_sync).lower()}:\n{text}" if text else "<empty Ready>"


def _target(member: int) -> str:
    return _TARGETS.get(member, f"{member:x}")


def _hard_state(state: HardState) -> str:
    vote = f" Vote:{state.vote}" if state.vote else ""
    return f"Term:{state.term}{vote} Commit:{state.commit}"


def _conf_state(configuration: Configuration) -> str:
    sets = {
        "Voters": configuration.voters,
        "VotersOutgoing": configuration.outgoing,
        "Learners": configuration.learners,
        "LearnersNext": configuration.learners_next,
    }
    fields = [f"{name}:[{' '.join(map(str, sorted(ids)))}]" for name, ids in sets.items()]
    return " ".join([*fields, f"AutoLeave:{str(configuration.auto_leave).lower()}"])
