"""Discovery: how the backends of an upstream are found. What a distribution implements.

Nothing is looked up here. ``pingap.upstream.discovering.service`` asks at the right time and replaces the
peers of the upstream.
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
    """Where requests may be sent.

    :param address: IP address and port, or the path of a Unix socket.
    :param weight: its share of the requests.
    :param backup: it gets requests only while none of the others can.
    :param name: what ``Host`` says for a request that came without one; the address by default.
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
        """The host that is still to be looked up; None if the address is complete."""
        if isinstance(self.address, str):
            return None
        try:
            ip_address(self.address[0])
        except ValueError:
            return self.address[0]
        return None

    def at(self, ip: str) -> Endpoint:
        """Return the same endpoint with an IP address in place of the host."""
        assert not isinstance(self.address, str)
        return replace(self, address=(ip, self.address[1]))

    def __str__(self) -> str:
        address = self.address
        return f"unix:{address}" if isinstance(address, str) else str(TcpAddress(*address))


@dataclass(frozen=True, slots=True)
class Discovered:
    """What was found.

    :param endpoints: all of them; those that stay keep their connections.
    :param valid_for: seconds after which it may be different, if that is known.
    :param failures: what could not be found, each in a sentence for the operator. The endpoints are
        used nevertheless: put what was last found among them.
    """

    endpoints: Sequence[Endpoint]
    valid_for: float | None = None
    failures: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """What ``[upstreams.<name>]`` says that matters to a discovery.

    :param upstream: its name.
    :param default_port: of entries without one: 443 for an upstream with TLS, else 80.
    :param dns_server: name servers, IP address and port; none for those of the system.
    """

    upstream: str
    default_port: int = 80
    ipv4_only: bool = False
    dns_server: tuple[tuple[str, int], ...] = ()
    dns_domain: str = ""
    dns_search: tuple[str, ...] = ()


class Discovery(ABC):
    """Finds the backends of one upstream; base of all kinds of discovery.

    An instance is made for each upstream with ``discovery = "<word>"``, given every entry of
    ``addrs``, and then asked again and again. It lives as long as its upstream stays as it is, also
    when the configuration is read again. Each worker has its own.

    Example::

        class Inventory(Discovery):
            word = "inventory"

            def add(self, text: str) -> None:
                self.url = text

            async def find(self) -> Discovered:
                answer = await http_client.request("GET", self.url)
                return Discovered([Endpoint((ip, 80)) for ip in answer.body.decode().split()])

    :raises ValueError: the settings are of no use; a configuration error of the upstream.
    """

    word: ClassVar[str]
    """The value of ``discovery`` that selects this class."""

    fixed: ClassVar[bool] = False
    """What ``add`` puts into ``known`` is all there is, for good: ``find`` is not called."""

    def __init__(self, settings: DiscoverySettings) -> None:
        self.settings = settings
        self.known: list[Endpoint] = []
        """Endpoints that need not be looked up: the upstream has them before ``find`` is called."""

    @abstractmethod
    def add(self, text: str) -> None:
        """Take in an entry of ``addrs``; what it looks like is up to the discovery.

        :raises ValueError: it is malformed; a configuration error of this entry.
        """

    @abstractmethod
    async def find(self) -> Discovered:
        """Look for the endpoints.

        Called before the worker serves, then every ``update_frequency``, when ``valid_for`` is over,
        and when ``watch`` says so; never twice at the same time.

        :raises Exception: nothing could be found; what was last found stays in use.
        """

    async def watch(self, changed: Callable[[], None]) -> None:  # noqa: B027  # need not be there
        """Wait for news, and call ``changed`` for each; ``find`` follows half a second later.

        Called once ``find`` was; override it if there is something to listen to. Call ``changed`` as
        soon as you listen, too: nobody knows what was missed until then.

        :raises Exception: the news do not come any more; it is called again 5 seconds later.
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
        """Name this class: an entry point may point at a discovery."""
        return (cls,)
