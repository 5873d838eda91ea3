"""Refuses requests by the country of the client."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from pingap import (
    BackgroundTasks,
    ContextKey,
    Counter,
    FilePath,
    Plugin,
    Request,
    RequestContext,
    Response,
    WatchedFiles,
    Worker,
    hookimpl,
)
from pingap_restriction.geo_database import GeoDatabase, Place, default_database
from pingap_restriction.refusals import RefusalSettings, Restriction

log = logging.getLogger("pingap")

COUNTRY: Final = ContextKey[str]("geo_country")
"""The country of the client: two letters."""
CONTINENT: Final = ContextKey[str]("geo_continent")
"""The continent of the client: two letters."""
ASN: Final = ContextKey[int]("geo_asn")
"""The number of the client's autonomous system."""

_CODE: Final = re.compile("[A-Za-z]{2}")
_REPORT_SECONDS: Final = 60.0


def _check_codes(text: str) -> str:
    codes = text.replace(",", " ").split()
    for code in codes or (text,):
        if not _CODE.fullmatch(code):
            raise ValueError(f'"{code}" is not a code of two letters')
    return " ".join(codes).upper()


Codes = Annotated[tuple[Annotated[str, AfterValidator(_check_codes)], ...], Field(strict=False)]


class GeoRestriction(Restriction):
    """Refuses requests by the country of the client, also behind trusted proxies.

    The database is a file; pingap 0.13.9 has one built in.
    """

    category = "geo_restriction"

    class Settings(RefusalSettings):
        """Settings of ``geo_restriction``."""

        message: str = "Access from your country is not allowed"
        """The body of the response."""
        type: Literal["allow", "deny", "reporting"]
        """``allow``: only clients in the lists may pass. ``deny``: they are refused. ``reporting``: they are
        only logged, at most once a minute for each country."""
        country_codes: Codes = ()
        """Countries, as two letters (ISO 3166-1). An entry may have several, separated by spaces or commas."""
        continent_codes: Codes = ()
        """Continents: ``AF``, ``AN``, ``AS``, ``EU``, ``NA``, ``OC``, ``SA``. (A key that pingap does not
        have.)"""
        asns: Annotated[tuple[Annotated[int, Field(gt=0, lt=2**32)], ...], Field(strict=False)] = ()
        """Numbers of autonomous systems. (A key that pingap does not have.)"""
        database: FilePath | None = None
        """A file in MaxMind's format. It is read again when it changes. By default the one of ``geoipupdate``.
        (A key that pingap does not have.)"""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._type = settings.type
        self._countries = _codes(settings.country_codes)
        self._continents = _codes(settings.continent_codes)
        self._asns = frozenset(settings.asns)
        if settings.type == "allow" and not (self._countries or self._continents or self._asns):
            raise ValueError('type = "allow" with empty lists refuses every request')
        self._path = settings.database or default_database()
        self._database = WatchedFiles(self._open, [self._path])
        self.requests = Counter("pingap_geo_requests", "Requests by country", ("country",))
        self._reported: dict[str, float] = {}

    def _open(self) -> GeoDatabase:
        database = GeoDatabase(self._path)
        for key, part, wanted in (
            ("country_codes", "country", self._countries),
            ("continent_codes", "continent", self._continents),
            ("asns", "asn", self._asns),
        ):
            if wanted:
                database.require(key, part)
        return database

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Follow changes of the database."""
        tasks.start_service(self._database.watch)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Refuse the request, or let it pass."""
        client = ctx.client_ip(request)
        place = self._database.value.find(client)
        self._record(place, ctx)
        is_listed = (
            place.country in self._countries
            or place.continent in self._continents
            or place.asn in self._asns
        )
        if self._type == "reporting":
            if is_listed:
                self._report(client, place, ctx)
            return None
        return None if is_listed is (self._type == "allow") else self.refuse()

    def _record(self, place: Place, ctx: RequestContext) -> None:
        self.requests.labels(place.country or "unknown").inc()
        if place.country:
            ctx[COUNTRY] = place.country
        if place.continent:
            ctx[CONTINENT] = place.continent
        if place.asn:
            ctx[ASN] = place.asn

    def _report(self, client: str, place: Place, ctx: RequestContext) -> None:
        """Log that a request is from the lists; rarely, because clients decide how many there are."""
        now = time.monotonic()
        if now - self._reported.get(place.country, -_REPORT_SECONDS) < _REPORT_SECONDS:
            return
        self._reported[place.country] = now
        log.info(
            "location %s: geo_restriction: %s is in %s, continent %s, AS%d",
            ctx.location,
            client,
            place.country or "an unknown country",
            place.continent or "unknown",
            place.asn,
        )


def _codes(entries: tuple[str, ...]) -> frozenset[str]:
    return frozenset(code for entry in entries for code in entry.split())


@hookimpl
def pingap_plugin_categories() -> Sequence[type[Plugin]]:
    """Name the category ``geo_restriction``."""
    return (GeoRestriction,)


@hookimpl
def pingap_context_keys() -> Sequence[ContextKey[Any]]:
    """Name the values of a request for access logs and headers."""
    return (COUNTRY, CONTINENT, ASN)
