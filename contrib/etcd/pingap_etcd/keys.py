"""Keys and values of etcd, and their form in JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value.

    :param revision: of the cluster when it was last changed.
    """

    key: bytes
    value: bytes
    revision: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Entry:
        """Read an entry of an answer."""
        return cls(
            base64.b64decode(data["key"]),
            base64.b64decode(data.get("value", "")),
            int(data.get("mod_revision", 0)),
        )


def encoded(text: str | bytes) -> str:
    """Return a key or a value as in JSON."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def below(prefix: str) -> dict[str, str]:
    """Return the range of all keys below a prefix without a slash at its end."""
    return {"key": encoded(f"{prefix}/"), "range_end": encoded(f"{prefix}0")}  # "0" follows "/"


def starting_with(text: str) -> dict[str, str]:
    """Return the range of all keys that begin with a text, whose last character is in ASCII."""
    return {"key": encoded(text), "range_end": encoded(f"{text[:-1]}{chr(ord(text[-1]) + 1)}")}


def ranged(key: str) -> dict[str, str]:
    """Return the range of one key."""
    return {"key": encoded(key)}


def revision_of(answer: Mapping[str, Any]) -> int:
    """Return the revision of the cluster in the header of an answer; 0 if it has none."""
    return int(answer.get("header", {}).get("revision", 0))


def put(key: str, text: str, lease: str = "0") -> dict[str, Any]:
    """Return the operation of a transaction that sets a key.

    :param lease: with whose end the key is removed.
    """
    return {"request_put": {"key": encoded(key), "value": encoded(text), "lease": lease}}


def delete(key: str | bytes) -> dict[str, Any]:
    """Return the operation of a transaction that removes a key."""
    return {"request_delete_range": {"key": encoded(key)}}


def unchanged(key: str, revision: int) -> dict[str, Any]:
    """Return the condition that a key was last changed in a revision; 0: that it does not exist."""
    return {
        "key": encoded(key),
        "target": "MOD",
        "result": "EQUAL",
        "mod_revision": str(revision),
    }


def none_newer(prefix: str, revision: int) -> dict[str, Any]:
    """Return the condition that no key below a prefix was set after a revision."""
    return {
        **below(prefix),
        "target": "MOD",
        "result": "LESS",
        "mod_revision": str(revision + 1),
    }
