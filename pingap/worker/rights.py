"""The conditions under which a connection was accepted, and on which its requests rely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.http.forwarding import Family
    from pingap.http.networks import Network
    from pingap.http.paths import PathRules
    from pingap.tls.options import TlsOptions

_STRICTNESS: Final = {"off": 0, "optional": 1, "require": 2}


@dataclass(frozen=True, slots=True)
class Rights:
    """The conditions that a server sets for new connections.

    :param trusted: the trusted proxies (``basic.trusted_proxies``).
    :param forwarding: the trusted header fields (``basic.trusted_forwarding``).
    :param paths: how paths are read, which guards rely on.
    :param tls: None without TLS.
    """

    trusted: tuple[Network, ...]
    forwarding: Family
    proxy_protocol: bool
    paths: PathRules
    tls: TlsOptions | None

    def are_fewer_than(self, before: Rights) -> bool:
        """Return whether an older connection has rights that a new one would not get."""
        if (self.forwarding, self.proxy_protocol, self.paths) != (
            before.forwarding,
            before.proxy_protocol,
            before.paths,
        ):
            return True
        return bool(set(before.trusted) - set(self.trusted)) or self._checks_more(before)

    def _checks_more(self, before: Rights) -> bool:
        now, then = self.tls, before.tls
        if now is None or then is None:
            return now is not None
        if _STRICTNESS[now.verify_client] > _STRICTNESS[then.verify_client]:
            return True
        return now.verify_client != "off" and now.client_ca != then.client_ca
