"""The plugin ``maintenance_mode``: answers 503 while a file exists."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

import anyio
from pydantic import AfterValidator, Field

from pingap import (
    BackgroundTasks,
    Duration,
    FilePath,
    HTTPError,
    Networks,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Worker,
    hookimpl,
    is_grpc,
)
from pingap_pages.files import FilePage

log = logging.getLogger("pingap")

CHECK_SECONDS: Final = 1.0
"""How often the file is looked for."""
_STATUS: Final = 503


def _check_file(text: str) -> str:
    path = os.path.expanduser(text)  # noqa: PTH111  (text stays text in the JSON schema)
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise ValueError(f'found "{text}", expected the absolute path of a file')
    return path


class MaintenanceSettings(PluginSettings):
    """Settings of ``maintenance_mode``."""

    when_file: Annotated[str, AfterValidator(_check_file)]
    """The file that switches maintenance on, by existing; an absolute path, or one that begins with ``~``. It
    is looked for once a second."""
    retry_after: Duration = 300.0
    """When clients should try again (``Retry-After``); 0 for no such header."""
    page: FilePath | None = None
    """A file with the page, a template as in ``error_pages``. Without it, ``error_pages`` or pingap's own page
    is sent."""
    message: str = "The site is down for maintenance"
    """The text of the page: ``{{content}}``."""
    allow: Networks = Field(default=())
    """Addresses and networks whose requests still pass."""


class MaintenanceMode(Plugin):
    """Answers 503 while a file exists, in a location or for a whole server."""

    category = "maintenance_mode"
    contract = "1.1"
    answers = "public"
    Settings = MaintenanceSettings

    def __init__(self, settings: MaintenanceSettings) -> None:
        self._path = Path(settings.when_file)
        self._allow = settings.allow
        self._message = settings.message
        self._headers = {}
        if settings.retry_after:
            self._headers["Retry-After"] = str(max(1, round(settings.retry_after)))
        self._page = None if settings.page is None else FilePage(None, settings.page)
        self.is_on = False
        self._failure = ""
        """Whether the file existed when it was last looked for."""

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Look for the file, and go on doing so."""
        await self._look()
        tasks.start_service(self._watch)
        if self._page is not None:
            self._page.watch(tasks)

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Return settings that probably are mistakes, for ``pingap lint``."""
        if not self._path.parent.is_dir():
            what = (
                f"the directory {self._path.parent} does not exist, so the file cannot be created"
            )
            yield "when_file", what, "create the directory"

    @hookimpl
    def server_request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Answer for the whole server, before a location is chosen."""
        return self._answer(request, ctx) if self.is_on else None

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Answer in a location."""
        return self._answer(request, ctx) if self.is_on else None

    def _answer(self, request: Request, ctx: RequestContext) -> Response | None:
        """Return the page.

        :raises HTTPError: it is that of ``error_pages``, or of pingap.
        """
        if self._allow and self._is_allowed(ctx.client_ip(request)):
            return None
        error = HTTPError(_STATUS, self._message, error_type="Maintenance", headers=self._headers)
        if self._page is None or is_grpc(request):
            raise error
        return self._page.response(request, error, ctx, _STATUS)

    def _is_allowed(self, client: str) -> bool:
        try:
            address = ip_address(client)
        except ValueError:  # a Unix socket
            return False
        return any(address in network for network in self._allow)

    async def _watch(self) -> None:
        while True:
            await anyio.sleep(CHECK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        """Look for the file, in a thread: it may be on a network file system."""
        try:
            found = await anyio.Path(self._path).exists()
        except OSError as error:  # a directory that may not be searched
            if self._failure != (text := str(error)):
                self._failure = text
                log.warning("maintenance: %s", text)
            return
        if found is not self.is_on:
            self.is_on = found
            log.info("maintenance %s: %s", "begins" if found else "is over", self._path)
