"""Challenges over HTTP: the answers that all workers give, and the listener that they need (RFC 8555, 8.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anyio

from pingap import (
    BackgroundTasks,
    ConfigView,
    Plugin,
    Request,
    RequestContext,
    Response,
    Worker,
    hookimpl,
)
from pingap_acme.challenges import HTTP
from pingap_acme.settings import HTTP_PORT
from pingap_acme.shelf import Shelf

WELL_KNOWN: Final = "/.well-known/acme-challenge/"
TOKENS: Final = "pingap_acme:tokens"
"""The shared values with the tokens of all orders of this instance."""
TOKEN_BYTES: Final = 256
TOKEN_SECONDS: Final = 3600.0
MOST_LOOKUPS: Final = 4
"""Files that are read at a time, in each worker, for tokens of other machines; further requests get 404."""
INSTANCE: Final = "acme:challenges"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class ChallengeAnswers(Plugin):
    """Answers an authority that verifies names, on every host of a server, before a location is chosen."""

    category = "acme_challenges"
    contract = "1.1"

    worker: Worker

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Find the tokens of this instance."""
        self.worker = worker
        self._tokens = worker.shared.values(TOKENS, value_bytes=TOKEN_BYTES)
        self._limiter = anyio.CapacityLimiter(MOST_LOOKUPS)

    @hookimpl
    def server_request(self, request: Request, ctx: RequestContext) -> Any:
        """Answer with what a token stands for."""
        if not request.path.startswith(WELL_KNOWN):
            return None
        token = request.path.removeprefix(WELL_KNOWN)
        if not _TOKEN.fullmatch(token) or request.method not in ("GET", "HEAD"):
            return None
        if (content := self._tokens.get(token)) is not None:
            return _answer(content)
        tables = self.worker.instance.config.certificates.values()
        places = {str(table.claimed.get("acme_storage") or "") for table in tables} - {""}
        shelves = [Shelf(Path(place)) for place in sorted(places)]
        return self._of_other_machines(token, shelves) if shelves else None

    async def _of_other_machines(self, token: str, shelves: Sequence[Shelf]) -> Response | None:
        if self._limiter.available_tokens < 1:
            return None
        for shelf in shelves:
            try:
                content = await anyio.to_thread.run_sync(shelf.token, token, limiter=self._limiter)
            except OSError:  # the order that needs it reports what is wrong with the directory
                continue
            if content is not None:
                return _answer(content)
        return None  # perhaps of a client behind this server, so the request goes on


def _answer(content: bytes) -> Response:
    response = Response(200, content)
    response.headers.set("Content-Type", "application/octet-stream")
    response.headers.set("Cache-Control", "no-store")
    return response


@hookimpl
def pingap_plugin_categories() -> Sequence[type[Plugin]]:
    """Return the plugin that answers."""
    return [ChallengeAnswers]


@hookimpl
def pingap_instances() -> Mapping[str, Mapping[str, object]]:
    """Return the one instance of it, which ``pingap_server_plugins`` adds."""
    return {INSTANCE: {"category": ChallengeAnswers.category}}


def listeners(config: ConfigView) -> Mapping[str, Mapping[str, object]]:
    """Return servers for the ports to which authorities connect, where no other one listens."""
    return {
        f"acme:{port}": {"addr": f"0.0.0.0:{port},[::]:{port}"}
        for port in sorted(_ports(config))
        if not any(_listening(config, port))
    }


def server_plugins(config: ConfigView) -> Mapping[str, Sequence[str]]:
    """Add the answers to all servers at those ports."""
    found = (name for port in _ports(config) for name in _listening(config, port))
    return {name: [INSTANCE] for name in found}


def _ports(config: ConfigView) -> set[int]:
    """Return the ports at which this configuration answers challenges over HTTP."""
    return {
        int(table.claimed.get("acme_http_port", HTTP_PORT))
        for table in config.certificates.values()
        if _is_by_http(table.claimed)
    }


def _is_by_http(claimed: Mapping[str, Any]) -> bool:
    kinds = claimed.get("acme_challenges") or (HTTP,)
    return bool(claimed.get("acme")) and not claimed.get("dns_challenge") and HTTP in kinds


def _listening(config: ConfigView, port: int) -> Iterator[str]:
    """Yield the servers that listen at a port without TLS."""
    for name, server in config.servers.items():
        addresses = [one.strip() for one in server.addr.split(",")]
        if not server.global_certificates and any(one.endswith(f":{port}") for one in addresses):
            yield name
