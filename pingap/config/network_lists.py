"""Networks that the configuration lists: addresses, networks, names of networks, and files of networks.

A file is read again when it changes, without a reload. All lists of a process that name it share its content.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from pingap.config.fingerprint import stamp_of
from pingap.config.problem import did_you_mean, shortened
from pingap.config.references import file_reference
from pingap.config.regular_files import read_regular
from pingap.http.network_sets import NAMED, Range, RangeSet, parse_list
from pingap.http.network_sets import parse_network as parse_range
from pingap.http.networks import UNIX, IpAddress, UnixPeers, parse_network

log = logging.getLogger("pingap")

FILE_LIMIT: Final = 64 * 1024 * 1024
"""Maximum size of a file of networks in bytes."""


class NamedNetworks:
    """The members of a name such as ``private``, as an entry in a list of networks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.networks = RangeSet(map(parse_range, NAMED[name]))

    def __contains__(self, address: IpAddress) -> bool:
        return self.networks.has(address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedNetworks) and other._name == self._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


class NetworkFile:
    """The networks in a file, as an entry in a list of networks.

    :param path: absolute.
    :raises ValueError: it cannot be used; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._seen = stamp_of(str(path))
        self.networks = RangeSet(_read(path))
        """The current content. It is replaced, never changed."""
        self.may_be_empty = True
        """Whether a new version without any network is used."""

    def __contains__(self, address: IpAddress) -> bool:
        return self.networks.has(address)

    def __repr__(self) -> str:
        return f"file:{self.path}"

    def has_changed(self) -> bool:
        """Return whether the file has changed since it was read."""
        self._seen = stamp_of(str(self.path))
        return self._seen != self._known

    def is_due(self) -> bool:
        """Return whether the file has changed and is now stable."""
        seen = stamp_of(str(self.path))
        is_stable = seen == self._seen
        self._seen = seen
        return is_stable and seen != self._known

    def read_again(self) -> None:
        """Read the file; if it cannot be used, log that once and keep the previous content."""
        self._known = self._seen
        text = "%s changed, but the previous content stays in use: %s"
        try:
            networks = RangeSet(_read(self.path))
        except ValueError as error:
            log.error(text, self.path, error)  # noqa: TRY400 - the operator's mistake
            return
        if not networks and not self.may_be_empty:
            log.error(text, self.path, "it has no networks")
            return
        self.networks = networks
        log.info("%s changed and was read again", self.path)


NetworkEntry: TypeAlias = IPv4Network | IPv6Network | NamedNetworks | NetworkFile
"""An entry of a list: ``address in entry`` tests whether it contains an address of ``ipaddress``."""

_files: Final[WeakValueDictionary[str, NetworkFile]] = WeakValueDictionary()


def read_entry(text: str, directory: Path) -> NetworkEntry:
    """Read an entry of a list of networks.

    :param directory: the base of relative paths.
    :raises ValueError: with a message for the operator.
    """
    if text in NAMED:
        return NamedNetworks(text)
    if (path := file_reference(text)) is not None:
        return _file((directory / path).absolute())
    try:
        return parse_network(text)
    except ValueError:
        hint = did_you_mean(text, NAMED)
        raise ValueError(f"{shortened(text)} is not an IP address or network{hint}") from None


def read_trusted(text: str, directory: Path) -> NetworkEntry | UnixPeers:
    """Read an entry of ``basic.trusted_proxies``, which may also be ``unix:``.

    :raises ValueError: with a message for the operator.
    """
    return UNIX if text in ("unix:", "unix") else read_entry(text, directory)


def files_in_use() -> list[NetworkFile]:
    """Return the files that a list of this process names."""
    return list(_files.values())


def _file(path: Path) -> NetworkFile:
    """Return the file, with what it contains now.

    :raises ValueError: it cannot be used.
    """
    made = NetworkFile(path)
    known = _files.setdefault(str(path), made)
    if known is not made:
        known.networks, known._known, known._seen = made.networks, made._known, made._seen
    return known


def _read(path: Path) -> Iterator[Range]:
    try:
        data = read_regular(path, FILE_LIMIT)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in it
        raise ValueError(f"{shortened(str(path))} is not the path of a file") from None
    if len(data) > FILE_LIMIT:
        raise ValueError(f"{path} is larger than {FILE_LIMIT} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 text") from None
    return parse_list(text, str(path))


class NetworkSet:
    """A list of networks in which addresses are found fast, however long it is.

    :param entries: the value of a setting of the type ``Networks``.
    :param files: absolute paths of more files of networks; ``None`` among them is left out.
    :param may_be_empty: whether a new version of a file may leave nothing in it.
    :raises ValueError: a file cannot be used.

    .. versionadded:: 1.1
    """

    def __init__(
        self,
        entries: Iterable[NetworkEntry],
        files: Iterable[Path | None] = (),
        *,
        may_be_empty: bool = True,
    ) -> None:
        listed = [*entries, *(_file(path) for path in files if path is not None)]
        plain = [one for one in listed if isinstance(one, IPv4Network | IPv6Network)]
        self._plain = RangeSet(parse_range(str(one)) for one in plain)
        self._files = tuple(one for one in listed if isinstance(one, NetworkFile))
        named = (one for one in listed if isinstance(one, NamedNetworks))
        self._sets = (self._plain, *(one.networks for one in named))
        if not may_be_empty and not any(self._sets):
            for file in self._files:
                file.may_be_empty = False

    def __contains__(self, address: str) -> bool:
        """Return whether an address is in one of the networks.

        :param address: its zone, if it has one, is ignored.
        :raises ValueError: it is not an IP address.
        """
        found = any(address in one for one in self._sets)
        return found or any(address in file.networks for file in self._files)

    def __bool__(self) -> bool:
        """Return whether any network is in it."""
        return any(self._sets) or any(file.networks for file in self._files)

    @property
    def changes(self) -> bool:
        """Whether there are files in it, so that what it contains can change."""
        return bool(self._files)
