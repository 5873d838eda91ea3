"""Refuses requests by the address of the client."""

from __future__ import annotations

from pingap import FilePath, Networks, NetworkSet, Request, RequestContext, Response, hookimpl
from pingap_restriction.refusals import ListType, RefusalSettings, Restriction


class IpRestriction(Restriction):
    """Refuses requests by the address of the client, also behind trusted proxies."""

    category = "ip_restriction"

    class Settings(RefusalSettings):
        """Settings of ``ip_restriction``."""

        type: ListType = "allow"
        """``allow``: only clients in the list may pass. ``deny``: they are refused."""
        ip_list: Networks = ()
        """Addresses, networks in CIDR notation, names such as `private`, and files as `file:PATH`."""
        ip_file: FilePath | None = None
        """A file with more of them, one on each line; ``#`` and ``;`` begin comments. It is read again when it
        changes. (A key that pingap does not have.)"""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._allows = settings.type == "allow"
        networks, files = settings.ip_list, [settings.ip_file]
        self._networks = NetworkSet(networks, files, may_be_empty=not self._allows)
        if self._allows and not self._networks:
            raise ValueError('type = "allow" with an empty list refuses every request')

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Refuse the request, or let it pass."""
        try:
            is_listed = ctx.client_ip(request) in self._networks
        except ValueError as error:  # a client on a Unix socket has no address
            self.refused.inc()
            return Response.text(400, str(error))
        return None if is_listed is self._allows else self.refuse()
