"""All documents below a prefix, as they were at one revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pingap import ConfigProblem, ConfigSnapshot
from pingap_etcd.gateway import Gateway
from pingap_etcd.keys import Entry, below, revision_of


@dataclass(frozen=True, slots=True)
class State:
    """All documents at one revision.

    :param revisions: key -> revision of its last change.
    """

    snapshot: ConfigSnapshot
    revisions: Mapping[str, int]
    revision: int


async def read_state(gateway: Gateway, prefix: str) -> State:
    """Read all documents.

    :raises StorageError: etcd does not answer.
    """
    answer = await gateway.call("kv/range", below(prefix))
    entries = [Entry.of(one) for one in answer.get("kvs", ())]
    files, problems, revisions = [], [], {}
    for entry in sorted(entries, key=lambda one: one.key):
        name = entry.key.decode("utf-8", "backslashreplace")
        revisions[name] = entry.revision
        try:
            files.append((name, entry.value.decode()))
        except UnicodeDecodeError as error:
            line = entry.value.count(b"\n", 0, error.start) + 1
            problems.append(ConfigProblem((), "is not UTF-8 text", name, line))
    snapshot = ConfigSnapshot(files=tuple(files), problems=tuple(problems))
    return State(snapshot, revisions, revision_of(answer))
