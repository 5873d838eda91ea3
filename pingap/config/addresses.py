"""Socket addresses as they are written in ``servers.*.addr`` and ``upstreams.*.addrs``.

Nothing is resolved here. Grammar: config.md, sections 4 and 6.1; ``unix:/path`` is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from pingap.config.problem import did_you_mean, shortened

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_WEIGHT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65535
MAX_WEIGHT = 65535
_LISTEN_EXAMPLES = '"0.0.0.0:80", "[::]:80" or "unix:/run/pingap.sock"'
_BACKEND_EXAMPLES = '"10.0.0.1:8080", "[fd00::1]:8080 2" (a weight), "10.0.0.9:8080 1 backup" or "unix:/run/app.sock"'
_BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port.

    :param host: a name or an IP address, without brackets.
    :param port: 0 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        """The host as an IP address, or ``None`` if it is a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system.

    :param path: its path.
    """

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class Backend:
    """One entry of ``upstreams.*.addrs``.

    :param address: where it listens; its host may be a name.
    :param weight: its share of the requests; 0: only requests of clients that are bound to it.
    :param backup: it gets requests only while no other backend is available.
    """

    address: Address
    weight: int = 1
    backup: bool = False


def parse_listen(text: str) -> tuple[Address, ...]:
    """Read ``servers.*.addr``: addresses separated by commas, each with a port (0: any free one).

    :raises ValueError: with a message for the operator, for an empty list or a malformed address.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    return tuple(_parse_address(piece, None, _LISTEN_EXAMPLES) for piece in pieces)


def parse_backend(text: str, default_port: int = 80) -> Backend:
    """Read one entry of ``upstreams.*.addrs``: ``host[:port]`` or ``unix:/path``, ``[ weight][ backup]``.

    :raises ValueError: with a message for the operator.
    """
    words = text.split()
    backup = len(words) > 1 and words[-1] == _BACKUP
    if backup:
        words.pop()
    if len(words) not in (1, 2):
        raise _malformed(text, _BACKEND_EXAMPLES)
    address = _parse_address(words[0], default_port, _BACKEND_EXAMPLES)
    if isinstance(address, TcpAddress) and address.port == 0:
        raise ValueError(f"found {shortened(text)}, expected a port from 1 to {_MAX_PORT}")
    weight = words[1] if len(words) == 2 else "1"
    if not (_WEIGHT.fullmatch(weight) and int(weight) <= MAX_WEIGHT):
        found = shortened(weight)
        raise ValueError(
            f"found the weight {found}, expected a whole number from 0 to {MAX_WEIGHT}"
            f"{did_you_mean(weight, (_BACKUP,))}"
        )
    return Backend(address, int(weight), backup)


def parse_name_servers(text: str) -> tuple[TcpAddress, ...]:
    """Read ``upstreams.*.dns_server``: IP addresses separated by commas; the default port is 53.

    :raises ValueError: with a message for the operator.
    """
    servers = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        bare = f"[{piece}]" if _is_ipv6(piece) else piece
        try:
            server = _parse_address(bare, 53, "")
        except ValueError:
            server = None
        if not isinstance(server, TcpAddress) or server.ip is None or not server.port:
            expected = 'IP addresses such as "10.0.0.53" or "10.0.0.53:5353, [fd00::53]:53"'
            raise ValueError(f"found {shortened(piece)}, expected {expected}")
        servers.append(TcpAddress(str(server.ip), server.port))
    return tuple(servers)


def _parse_address(text: str, default_port: int | None, examples: str) -> Address:
    if text.startswith("unix:"):
        return _unix(text, examples)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_ipv6(host) or (rest and not rest.startswith(":")):
            raise _malformed(text, examples)
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
        if _is_ipv6(text):
            raise ValueError(f'found {shortened(text)}, expected brackets: write "[{text}]"')
        if not _NAME.fullmatch(host):
            raise _malformed(text, examples)
    if not colon and default_port is not None:
        return TcpAddress(host, default_port)
    if not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise _malformed(text, examples)
    return TcpAddress(host, int(port))


def _unix(text: str, examples: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path:
        raise _malformed(text, examples)
    return UnixAddress(path)


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def _malformed(text: str, examples: str) -> ValueError:
    return ValueError(f"found {shortened(text)}, expected an address such as {examples}")
