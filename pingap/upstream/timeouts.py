"""The time limits of connections to upstreams, and the changes that a location makes to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class ConnectDeadlines(NamedTuple):
    """When a connection that is being made has taken too long; infinity for never."""

    tcp: float
    """For TCP."""
    whole: float
    """For TCP, TLS and the beginning of HTTP/2 together."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of an upstream connection, in seconds; None for no limit (config.md 6).

    :param connect: until the connection is established.
    :param connect_in_all: until the connection is established, including TLS.
    :param read: between two reads of a response, and until its first byte.
    :param write: for the upstream to accept sent data.
    :param idle: how long an unused connection is kept.
    """

    connect: float | None = None
    connect_in_all: float | None = None
    read: float | None = None
    write: float | None = None
    idle: float | None = 60.0

    def connecting_from(self, now: float) -> ConnectDeadlines:
        """Return the deadlines of a connection that is made from now on."""
        whole = math.inf if self.connect_in_all is None else now + self.connect_in_all
        tcp = math.inf if self.connect is None else now + self.connect
        return ConnectDeadlines(min(tcp, whole), whole)


@dataclass(frozen=True, slots=True)
class TimeoutChanges:
    """The limits that a location sets itself, in seconds: None keeps that of the upstream, 0 is no limit.

    A kept connection serves requests of several locations, so there is none for ``idle``.
    """

    connect: float | None = None
    connect_in_all: float | None = None
    read: float | None = None
    write: float | None = None

    def over(self, limits: Timeouts) -> Timeouts:
        """Return the limits of an upstream with these changes."""
        return Timeouts(
            connect=_chosen(self.connect, limits.connect),
            connect_in_all=_chosen(self.connect_in_all, limits.connect_in_all),
            read=_chosen(self.read, limits.read),
            write=_chosen(self.write, limits.write),
            idle=limits.idle,
        )

    def __bool__(self) -> bool:
        """Return whether anything is changed."""
        return self != _NOTHING


_NOTHING = TimeoutChanges()


def _chosen(change: float | None, limit: float | None) -> float | None:
    return limit if change is None else change or None
