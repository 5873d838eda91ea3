"""Certificates that plugins provide at run time, replacing configured ones or in addition to them.

Every worker knows the same ones: a value of the bus for each name and table. Messages of two workers may
arrive in any order, so each carries a version, and the newest one wins everywhere.

While one configuration replaces another, plugins of both are running, and tables of the same name
may differ. So a certificate for one of these tables never replaces one for the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pingap.shared_state.bus import Bus
from pingap.shared_state.messages import LARGEST_VALUE

CHALLENGE: Final = "acme-tls/1"
"""The protocol of handshakes in which a certificate authority looks for a challenge (RFC 8737, 3)."""
MOST_NAMES: Final = 5000
"""Maximum number of names of replaced or added certificates, including removed ones."""
LONGEST_NAME: Final = 256

_PREFIX: Final = "certificate:"
_REMEMBERED: Final = 60 * 10**9
"""Nanoseconds for which a removal is remembered at least; older messages cannot arrive after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One certificate that a plugin provided, or its removal.

    :param name: of the table of ``[certificates]`` that it replaces, or a name of its own.
    :param table: the digest of that table's content, for which alone it is meant; empty: no such table.
    :param names: what it is served for, in lower case.
    :param alpn: the protocol that a handshake must offer alone to get it; empty: any handshake gets it.
    :param pem: key, leaf and chain; empty: it was removed.
    :param version: clock time in nanoseconds, but always greater than the previous version.
    """

    name: str
    table: str = ""
    names: tuple[str, ...] = ()
    alpn: str = ""
    pem: bytes = field(default=b"", repr=False)  # contains the key
    version: int

    def is_newer_than(self, other: Replacement) -> bool:
        """Return whether this one wins; all workers decide in the same way."""
        if self.version != other.version:
            return self.version > other.version
        return self.to_text() > other.to_text()

    def is_needless(self, tables: Mapping[str, str]) -> bool:
        """Return whether it is irrelevant to a configuration, now and later.

        :param tables: name -> digest of each table of the configuration.
        """
        if not self.pem:
            return self.version < time.time_ns() - _REMEMBERED
        return self.table != tables.get(self.name, "")

    def to_text(self) -> str:
        """Return the value for the bus, which includes the key."""
        return json.dumps(
            [self.name, self.table, self.names, self.alpn, self.pem.decode("ascii"), self.version]
        )

    @classmethod
    def from_text(cls, text: str) -> Replacement:
        """Read the result of ``to_text``."""
        name, table, names, alpn, pem, version = json.loads(text)
        return cls(
            name=name,
            table=table,
            names=tuple(names),
            alpn=alpn,
            pem=pem.encode("ascii"),
            version=version,
        )


class Replacements:
    """The replacements of all workers, as known to this worker.

    :param bus: transports them.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[tuple[str, str], Replacement] = {}
        self.changed: Callable[[], None] = _nothing
        """Called in the event loop when one is added or removed."""
        bus.subscribe(_PREFIX, self._take)

    def publish(
        self, name: str, table: str, names: tuple[str, ...], pem: bytes, alpn: str = ""
    ) -> None:
        """Have all workers serve a certificate; the parameters are those of ``Replacement``.

        :raises ValueError: it is too large, or there are too many.
        """
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"a name has 1 to {LONGEST_NAME} characters, not {len(name)}")
        if len(self._known) >= MOST_NAMES:
            self._forget_removed()
        if (name, table) not in self._known and len(self._known) >= MOST_NAMES:
            raise ValueError(f"there are {MOST_NAMES} names of certificates already: reuse some")
        one = self._next(name, table, names, pem, alpn)
        if len(text := one.to_text()) > LARGEST_VALUE:
            raise ValueError(too_large(len(text)))
        self._bus.publish(_key(one), text)

    def remove(self, name: str, table: str) -> None:
        """Have all workers serve the certificate of the configuration, if there is one.

        :param table: as of ``Replacement``.
        """
        if (known := self._known.get((name, table))) is not None and known.pem:
            one = self._next(name, table)
            self._bus.publish(_key(one), one.to_text())

    def _next(
        self,
        name: str,
        table: str,
        names: tuple[str, ...] = (),
        pem: bytes = b"",
        alpn: str = "",
    ) -> Replacement:
        version = time.time_ns()
        if (known := self._known.get((name, table))) is not None:
            version = max(version, known.version + 1)  # the clock may have been set back
        return Replacement(name=name, table=table, names=names, alpn=alpn, pem=pem, version=version)

    def active(self, tables: Mapping[str, str]) -> list[Replacement]:
        """Return those that a configuration should serve, sorted by name.

        :param tables: name -> digest of each of its tables.
        """
        return [
            one
            for _, one in sorted(self._known.items())
            if one.pem and one.table == tables.get(one.name, "")
        ]

    def settle(self, tables: Mapping[str, str]) -> None:
        """Forget those that are irrelevant to the configuration that serves from now on."""
        for key, one in list(self._known.items()):
            if one.is_needless(tables):
                del self._known[key]

    def _forget_removed(self) -> None:
        long_ago = time.time_ns() - _REMEMBERED
        for key, one in list(self._known.items()):
            if not one.pem and one.version < long_ago:
                del self._known[key]

    def _take(self, key: str, text: str) -> None:
        new = Replacement.from_text(text)
        known = self._known.get((new.name, new.table))
        if known is not None and not new.is_newer_than(known):
            if known.is_newer_than(new):
                # Workers that start later get the last value sent, which must be the newest one.
                self._bus.publish(key, known.to_text())
            return
        self._known[new.name, new.table] = new
        self.changed()

    def __repr__(self) -> str:
        return f"<Replacements {', '.join(sorted(name for name, _ in self._known))}>"


def _key(one: Replacement) -> str:
    """Return the key of the bus."""
    return f"{_PREFIX}{one.table}:{one.name}"


def too_large(size: int) -> str:
    """Return the message for a certificate that is too large."""
    return (
        f"chain, key and names have {size} bytes; all workers can be sent {LARGEST_VALUE} at most"
    )


def is_needless(key: str, text: str, tables: Mapping[str, str]) -> bool:
    """Return whether a bus value is a replacement and irrelevant to a configuration."""
    return key.startswith(_PREFIX) and Replacement.from_text(text).is_needless(tables)


def _nothing() -> None:
    pass
