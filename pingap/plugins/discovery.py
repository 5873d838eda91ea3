"""Discovery: the interface by which distributions find the backends of an upstream.

Nothing is looked up here. ``pingap.upstream.discovering.service`` calls it at the right time and replaces
the peers of the upstream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import ClassVar

from pingap.config.addresses import TcpAddress, UnixAddress, parse_backend
from pingap.hookspecs import hookimpl


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to which requests may be sent.

    :param address: IP address and port, or the path of a Unix socket.
    :param weight: its share of the requests.
    :param backup: it gets requests only while no other endpoint is available.
    :param name: the ``Host`` for a request that has none; the address by default.
    :raises ValueError: the weight is negative.
    """

    address: tuple[str, int] | str
    weight: int = 1
    backup: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"{self.weight} is not a weight")

    @property
    def host_name(self) -> str | None:
        """The host that still has to be looked up; None if the address is complete."""
        if isinstance(self.address, str):
            return None
        try:
            ip_address(self.address[0])
        except ValueError:
            return self.address[0]
        return None

    def at(self, ip: str) -> Endpoint:
        """Return the same endpoint with an IP address instead of the host."""
        assert not isinstance(self.address, str)
        return replace(self, address=(ip, self.address[1]))

    def __str__(self) -> str:
        address = self.address
        return f"unix:{address}" if isinstance(address, str) else str(TcpAddress(*address))


@dataclass(frozen=True, slots=True)
class Discovered:
    """The result of a lookup.

    :param endpoints: all of them; those that remain keep their connections.
    :param valid_for: seconds until the result may change, if known.
    :param failures: the lookups that failed, each described in a sentence for the operator. The endpoints
        are used nevertheless, so include the last known ones.
    """

    endpoints: Sequence[Endpoint]
    valid_for: float | None = None
    failures: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """The settings of ``[upstreams.<name>]`` that concern a discovery.

    :param upstream: its name.
    :param default_port: for entries without a port: 443 for an upstream with TLS, else 80.
    :param dns_server: name servers, IP address and port; empty for those of the system.
    """

    upstream: str
    default_port: int = 80
    ipv4_only: bool = False
    dns_server: tuple[tuple[str, int], ...] = ()
    dns_domain: str = ""
    dns_search: tuple[str, ...] = ()


class Discovery(ABC):
    """Finds the backends of one upstream; base of all kinds of discovery.

    An instance is made for each upstream with ``discovery = "<word>"``, gets every entry of ``addrs``, and
    is then asked repeatedly. It lives as long as its upstream is unchanged, even across reloads. Each worker
    has its own.

    Example::

        class Inventory(Discovery):
            word = "inventory"

            def add(self, text: str) -> None:
                self.url = text

            async def find(self) -> Discovered:
                answer = await http_client.request("GET", self.url)
                return Discovered([Endpoint((ip, 80)) for ip in answer.body.decode().split()])

    :raises ValueError: the settings are unusable; a configuration error of the upstream.
    """

    word: ClassVar[str]
    """The value of ``discovery`` that selects this class."""

    fixed: ClassVar[bool] = False
    """Whether the endpoints that ``add`` puts into ``known`` are final: ``find`` is not called."""

    def __init__(self, settings: DiscoverySettings) -> None:
        self.settings = settings
        self.known: list[Endpoint] = []
        """Endpoints that need no lookup: the upstream has them before ``find`` is called."""

    @abstractmethod
    def add(self, text: str) -> None:
        """Add an entry of ``addrs``; the discovery decides on its form.

        :raises ValueError: it is malformed; a configuration error of this entry.
        """

    @abstractmethod
    async def find(self) -> Discovered:
        """Look up the endpoints.

        Called before the worker serves, then every ``update_frequency``, when ``valid_for`` has passed, and
        when ``watch`` asks for it; never twice at the same time.

        :raises Exception: the lookup failed; the previous result stays in use.
        """

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: B027  # need not be there
        """Wait for changes, and call ``changed`` for each; ``find`` follows half a second later.

        Called after the first ``find``; override it if changes can be listened to. Also call ``changed`` as
        soon as you listen, because changes before that may have been missed.

        :raises Exception: no more changes are received; it is called again 5 seconds later.
        """

    def parse(self, text: str) -> Endpoint:
        """Read an entry of the common form: ``host[:port][ weight][ backup]``, or a Unix socket.

        :raises ValueError: it is malformed.
        """
        backend = parse_backend(text, self.settings.default_port)
        if isinstance(backend.address, UnixAddress):
            return Endpoint(
                backend.address.path, backend.weight, backup=backend.backup, name="localhost"
            )
        host, port, ip = backend.address.host, backend.address.port, backend.address.ip
        place = (host if ip is None else str(ip), port)  # one spelling for each address
        return Endpoint(place, backend.weight, backend.backup, str(backend.address))

    @classmethod
    @hookimpl
    def pingap_discoveries(cls) -> Sequence[type[Discovery]]:
        """Return this class, so that an entry point can refer to a discovery."""
        return (cls,)
