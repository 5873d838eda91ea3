"""What a connection was asked for when it began, and what the requests on it are believed for since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.networks import Network
    from pingap.tls.options import TlsOptions

_STRICTNESS: Final = {"off": 0, "optional": 1, "require": 2}


@dataclass(frozen=True, slots=True)
class Rights:
    """What a server asks new connections for.

    :param trusted: the proxies that are believed (``basic.trusted_proxies``).
    :param tls: None without TLS.
    """

    trusted: tuple[Network, ...]
    proxy_protocol: bool
    tls: TlsOptions | None

    def are_fewer_than(self, before: Rights) -> bool:
        """Tell whether a connection from before has rights that a new one would not get."""
        if self.proxy_protocol is not before.proxy_protocol:
            return True
        return bool(set(before.trusted) - set(self.trusted)) or self._checks_more(before)

    def _checks_more(self, before: Rights) -> bool:
        now, then = self.tls, before.tls
        if now is None or then is None:
            return now is not None
        if _STRICTNESS[now.verify_client] > _STRICTNESS[then.verify_client]:
            return True
        return now.verify_client != "off" and now.client_ca != then.client_ca
