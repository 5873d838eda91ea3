"""The plugin behind the location key ``asgi``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from pingap import (
    BackgroundTasks,
    ByteSize,
    ConfigTable,
    DirectoryPath,
    Duration,
    Plugin,
    PluginSettings,
    RequestContext,
    Worker,
    hookimpl,
)
from pingap_asgi.application import Application, AsgiOrigin, Target
from pingap_asgi.importing import check_app, load
from pingap_asgi.lifespan import Mode
from pingap_asgi.time_limit import TimeLimit

_ROOT = re.compile(r"(?:/[^/?#\s]+)*")


def _check_root(value: str) -> str:
    if _ROOT.fullmatch(value) is None:
        raise ValueError(f'"{value}" is not a path such as "/api", without a slash at its end')
    return value


def _check_timeout(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("found 0, expected a longer time")
    return seconds


class Asgi(Plugin):
    """Serves an ASGI application in the process of the proxy, in place of an upstream."""

    category = "asgi"
    contract = "1.1"
    sets_origin = True

    class Settings(PluginSettings):
        """The application, and how it is mounted."""

        asgi: str
        """The application: ``package.module:attribute``. It is imported when the configuration is loaded."""
        asgi_dir: DirectoryPath = Field(default=Path(), validate_default=True)
        """The directory that is searched for the module after the installed packages; by default that of the
        configuration."""
        asgi_factory: bool = False
        """The attribute is a function without arguments that returns the application, called once in each
        worker."""
        asgi_lifespan: Mode = "auto"
        """Whether the application is told of its start and end: ``on`` requires that it handles them,
        ``auto`` lets it refuse."""
        asgi_root_path: Annotated[str, AfterValidator(_check_root)] = ""
        """The path at which the application is mounted (``root_path``), such as ``/api``. It is put in front
        of paths that do not begin with it."""
        asgi_read_timeout: Annotated[Duration, AfterValidator(_check_timeout)] | None = None
        """How long the application may take for the next part of a response: 504, and it is cancelled. Does not
        apply to WebSockets, nor while a client is slow. Default: no limit, as ``read_timeout`` of upstreams."""
        asgi_websocket_max_size: ByteSize = 16 * 1024 * 1024
        """Maximum size of a WebSocket message of a client, decompressed. A larger one closes the WebSocket
        with 1009."""

    def __init__(self, settings: Settings, table: ConfigTable) -> None:
        self._table = table
        self._target = Target(
            settings.asgi, settings.asgi_dir, settings.asgi_factory, settings.asgi_lifespan
        )
        self._found = load(settings.asgi, settings.asgi_dir)
        if settings.asgi_factory:
            if not callable(self._found):
                raise ValueError(f'"{settings.asgi}" is not a function: asgi_factory does not fit')
        else:
            check_app(self._found, settings.asgi)
        seconds = settings.asgi_read_timeout
        self._time_limit = None if seconds is None else TimeLimit(seconds)
        self._origin = AsgiOrigin(
            settings.asgi,
            settings.asgi_root_path,
            settings.asgi_websocket_max_size,
            self._time_limit,
        )
        self._application: Application | None = None

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Start the application, unless another location has done so."""
        self._application = self._origin.application = await Application.acquire(self._target)
        if self._time_limit is not None:
            tasks.start_service(self._time_limit.watch)

    async def shutdown(self) -> None:
        """Stop the application, unless another location uses it."""
        if self._application is not None:
            await self._application.release()

    @hookimpl
    def early_request(self, ctx: RequestContext) -> None:
        """Let the application answer what no plugin answers."""
        ctx.origin = self._origin

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Return combinations that are probably mistakes."""
        if self._table.values.get("upstream"):
            what = "the location has an upstream, too, which gets only requests for which a plugin chooses it"
            yield "asgi", what, "remove upstream, or put the application into a location of its own"
        if getattr(self._found, "debug", False) is True:
            what = (
                "the application is in debug mode: its error pages show source code to every client"
            )
            yield "asgi", what, "turn debug off"

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Return the keys."""
        return dict.fromkeys(cls.Settings.model_fields, cls)
