"""Bus keys that belong to one peer.

``health:<upstream>:<peer>``, and similarly ``ejected:``, ``drained:`` and ``breaker:``.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final
from urllib.parse import quote, unquote

HEALTH: Final = "health:"
"""Results of health checks; the value is ``up`` or ``down``."""
EJECTED: Final = "ejected:"
"""Passive ejection; the value is an ``Ejection``."""

DRAINED: Final = "drained:"
"""Drained by a plugin; the value is ``yes`` or ``no``."""
YES: Final = "yes"
NO: Final = "no"

BREAKER: Final = "breaker:"
"""State of the circuit breaker; the value is ``open:<unix time>`` or ``closed``."""

UP: Final = "up"
DOWN: Final = "down"


def peer_key(prefix: str, upstream: str, text: str) -> str:
    """Return the key of a peer.

    :param text: of the peer; it contains colons, as the name of an upstream may.
    """
    return f"{prefix}{quote(upstream, safe='')}:{text}"


def split_key(key: str) -> tuple[str, str]:
    """Return the name of the upstream, and the text of the peer."""
    _, name, text = key.split(":", 2)
    return unquote(name), text


def is_of_others(key: str, upstreams: Container[str]) -> bool:
    """Return whether a key belongs to a peer of an upstream that is not among these."""
    return (
        key.startswith((HEALTH, EJECTED, DRAINED, BREAKER)) and split_key(key)[0] not in upstreams
    )
