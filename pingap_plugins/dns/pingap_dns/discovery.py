"""Backends from A, AAAA and SRV records.

All questions are sent first; the endpoints are derived from the answers afterwards, without IO (``records``).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

import anyio
import anyio.to_thread
import dns.exception
import dns.name

from pingap import Discovered, Discovery, DiscoverySettings, Endpoint
from pingap_dns.records import Answer, Kind, Question, Records
from pingap_dns.resolver import LookupFailed, Resolver

SHORTEST_TTL: Final = 5.0
LONGEST_TTL: Final = 300.0
"""Minimum and maximum number of seconds for which an answer counts as valid."""
MOST_QUESTIONS: Final = 8
"""Concurrent questions for an upstream."""


class DnsDiscovery(Discovery):
    """Finds backends by DNS."""

    word = "dns"

    def __init__(self, settings: DiscoverySettings) -> None:
        super().__init__(settings)
        self._entries: list[Endpoint | str] = []
        self._kinds: tuple[Kind, ...] = ("A",) if settings.ipv4_only else ("A", "AAAA")
        self._last: dict[Question, Answer] = {}
        """The last good answers."""

    def add(self, text: str) -> None:
        """Add ``host[:port][ weight]``, or ``_service._protocol.name`` for SRV records.

        :raises ValueError: it is malformed.
        """
        if text.startswith("_"):
            self._entries.append(_service_name(text.strip()))
            return
        entry = self.parse(text)
        if (name := entry.host_name) is not None:
            _check_name(name)
        self._entries.append(entry)

    async def find(self) -> Discovered:
        """Look up all names, and return the endpoints."""
        # Creating a resolver reads files.
        resolver = await anyio.to_thread.run_sync(Resolver, self.settings)
        records = Records(self._last, self._kinds)
        services = [entry for entry in self._entries if isinstance(entry, str)]
        await _ask(resolver, {Question(name, "SRV") for name in services}, records)
        targets = {one.target for name in services for one in records.services(name)}
        names = {one.host_name for one in self._entries if isinstance(one, Endpoint)} | targets
        questions = {Question(name, kind) for name in names if name for kind in self._kinds}
        await _ask(resolver, questions, records)
        endpoints: list[Endpoint] = []
        for entry in self._entries:
            endpoints += (
                records.of_service(entry) if isinstance(entry, str) else records.of_name(entry)
            )
        self._last = records.good
        ttl = min(max(records.ttl, SHORTEST_TTL), LONGEST_TTL)
        return Discovered(
            endpoints,
            valid_for=None if records.ttl == math.inf else ttl,
            failures=list(records.failures),
        )


async def _ask(resolver: Resolver, questions: Collection[Question], records: Records) -> None:
    limit = anyio.CapacityLimiter(MOST_QUESTIONS)

    async def ask(question: Question) -> None:
        async with limit:
            try:
                records.answered[question] = await resolver.ask(question)
            except LookupFailed as error:
                records.failed[question] = str(error)

    async with anyio.create_task_group() as tasks:
        for question in questions:
            tasks.start_soon(ask, question)


def _service_name(text: str) -> str:
    labels = text.split(".")
    if len(text.split()) > 1 or ":" in text:
        raise ValueError(
            f'found "{text}", expected a name alone: SRV records bring ports and weights of their own'
        )
    if len(labels) < 3 or not labels[1].startswith("_"):
        raise ValueError(f'found "{text}", expected a name such as "_http._tcp.example.com"')
    _check_name(text)
    return text


def _check_name(name: str) -> None:
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise ValueError(f'"{name}" is not a name that can be looked up: {error}') from None
