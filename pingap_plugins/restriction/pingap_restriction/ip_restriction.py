"""Refuses requests by the address of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from pingap import (
    BackgroundTasks,
    FilePath,
    Request,
    RequestContext,
    Response,
    WatchedFiles,
    Worker,
    hookimpl,
)
from pingap_restriction.networks import NetworkSet, parse_list, parse_network
from pingap_restriction.refusals import ListType, RefusalSettings, Restriction

FILE_LIMIT: Final = 64 * 1024 * 1024
"""Maximum size of ``ip_file`` in bytes."""


def _check_network(text: str) -> str:
    parse_network(text)
    return text


Network = Annotated[
    str,
    AfterValidator(_check_network),
    WithJsonSchema({"type": "string", "format": "pingap-network"}),
]


class IpRestriction(Restriction):
    """Refuses requests by the address of the client, also behind trusted proxies."""

    category = "ip_restriction"

    class Settings(RefusalSettings):
        """Settings of ``ip_restriction``."""

        type: ListType = "allow"
        """``allow``: only clients in the list may pass. ``deny``: they are refused."""
        ip_list: Annotated[tuple[Network, ...], Field(strict=False)] = ()
        """Addresses and networks in CIDR notation."""
        ip_file: FilePath | None = None
        """A file with more of them, one on each line; ``#`` and ``;`` begin comments. It is read again when it
        changes. (A key that pingap does not have.)"""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._allows = settings.type == "allow"
        self._settings = settings
        self._networks = WatchedFiles(self._read, [settings.ip_file])

    def _read(self) -> NetworkSet:
        path = self._settings.ip_file
        ranges = [parse_network(text) for text in self._settings.ip_list]
        if path is not None:
            ranges += parse_list(_read_text(path), path.name)
        if self._allows and not ranges:
            raise ValueError('type = "allow" with an empty list refuses every request')
        return NetworkSet(ranges)

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Follow changes of the file."""
        tasks.start_service(self._networks.watch)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Refuse the request, or let it pass."""
        try:
            is_listed = ctx.client_ip(request) in self._networks.value
        except ValueError as error:  # a client on a Unix socket has no address
            self.refused.inc()
            return Response.text(400, str(error))
        return None if is_listed is self._allows else self.refuse()


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise ValueError(f"{path.name} is larger than {FILE_LIMIT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path.name}:{line}: not UTF-8 text") from None
