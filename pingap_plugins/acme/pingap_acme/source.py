"""The certificate of a table with ``acme``: ordered, kept, served, and renewed in time."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from pingap import (
    BackgroundTasks,
    CertificateSource,
    ConfigTable,
    ConfigView,
    Counter,
    Gauge,
    KeyPair,
    Notification,
    Worker,
    hookimpl,
)
from pingap_acme import tokens
from pingap_acme.authorities import directory_urls
from pingap_acme.authority import Access
from pingap_acme.challenges import Prover
from pingap_acme.dns import provider
from pingap_acme.dns.propagation import resolver_of
from pingap_acme.dns.prover import PROVIDERS, DnsProver
from pingap_acme.dns.provider import DnsProvider, DnsProviderFactory
from pingap_acme.errors import OrderError
from pingap_acme.names import normalised
from pingap_acme.ordering import Ordering
from pingap_acme.prover import LocalProver
from pingap_acme.renewal import Current, pause_after, reason_to_order
from pingap_acme.settings import AcmeSettings
from pingap_acme.shelf import Shelf, State

log = logging.getLogger("pingap.acme")

LOOK_SECONDS: Final = 60.0
"""How often a table looks whether there is something to do, and whether another machine has a new certificate."""
WISH_SECONDS: Final = 5.0
"""How often it looks whether ``pingap certs renew`` asks for a new certificate."""
MOST_ORDERS: Final = 4
"""Orders of one instance at a time; more would meet the limits of authorities."""
KIND: Final = "lets_encrypt"
"""Of notifications, as pingap calls it for every authority."""

_limiter: anyio.CapacityLimiter | None = None


class Acme(CertificateSource):
    """Orders and renews the certificate of one table (pingap key ``acme``)."""

    contract = "1.1"

    Settings = AcmeSettings

    def __init__(self, settings: AcmeSettings, table: ConfigTable) -> None:
        settings.check()
        resolver_of(settings.dns_resolvers)
        self._settings = settings
        self._urls = directory_urls(settings.acme)
        self._buffer_days = float(_number(table.values.get("buffer_days")))
        self._shelf = Shelf(Path(settings.acme_storage)) if settings.acme_storage else Shelf.usual()
        self._is_shared = bool(settings.acme_storage)
        self.orders = Counter("pingap_acme_orders", "Orders of certificates", ("result",))
        self.expires = Gauge(
            "pingap_acme_expiry_seconds", "Unix time at which the certificate expires"
        )
        self._served: KeyPair | None = None
        self._not_before = 0.0  # of the next order, also if the state cannot be kept
        self._dns: DnsProvider | None = None
        if settings.dns_challenge and self._dns_name in PROVIDERS:
            self._dns = self._made(PROVIDERS)

    @property
    def _dns_name(self) -> str:
        return self._settings.dns_provider.strip().lower() or "manual"

    def _made(self, providers: Mapping[str, DnsProviderFactory]) -> DnsProvider:
        return providers[self._dns_name](self._settings.dns_service_url.get_secret_value())

    def load(self) -> KeyPair | None:
        """Return the certificate that was ordered before.

        :raises ValueError: the names cannot be ordered, or the file cannot be read.
        """
        self._names = normalised(self.domains)
        if not self._names:
            raise ValueError("domains is missing: for which names is the certificate?")
        if not self._settings.dns_challenge and any(one.startswith("*.") for one in self._names):
            raise ValueError("domains: a wildcard needs dns_challenge = true")
        try:
            pair = self._shelf.pair(self.name)
        except OSError as error:
            raise ValueError(f"the certificate that is kept cannot be read: {error}") from None
        if pair is not None and Current.of(pair.chain) is None:
            return None
        self._served = pair
        return pair

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Find the DNS provider among those of other distributions.

        :raises ValueError: there is none of this name.
        """
        if not self._settings.dns_challenge or self._dns is not None:
            return
        more: dict[str, DnsProviderFactory] = {}
        for found in worker.hooks.acme_dns_providers():
            more |= found
        if self._dns_name not in more:
            known = [*PROVIDERS, *more]
            nearest = difflib.get_close_matches(self._dns_name, known, 1)
            hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
            raise ValueError(
                f'certificates.{self.name}.dns_provider: "{self._dns_name}" is not known: expected one of '
                f"{', '.join(known)}{hint}"
            )
        self._dns = self._made(more)

    async def lead(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Order when it is time, for as long as this worker leads."""
        self._worker = worker
        while True:
            try:
                await self._look()
            except OSError as error:
                log.error("certificates.%s: %s", self.name, error)  # noqa: TRY400
            await self._pause()

    async def _pause(self) -> None:
        """Return after a while, or when somebody asks for a new certificate."""
        with anyio.move_on_after(LOOK_SECONDS):
            while not await anyio.to_thread.run_sync(  # noqa: ASYNC110 - another process wishes
                self._shelf.is_wished, self.name
            ):
                await anyio.sleep(WISH_SECONDS)

    async def _look(self) -> None:
        """Serve what is new on the shelf, and order if that is needed."""
        pair = await anyio.to_thread.run_sync(self._shelf.pair, self.name)
        if pair is not None and pair != self._served:
            self._serve(pair)
        current = Current.of(self._served.chain) if self._served is not None else None
        if current is not None:
            self.expires.set(current.not_after)
        state = await anyio.to_thread.run_sync(self._shelf.state, self.name, self._names)
        now = time.time()
        reason = reason_to_order(
            current,
            self._names,
            now,
            buffer_days=self._buffer_days,
            suggested=state.suggested,
        )
        if await anyio.to_thread.run_sync(self._shelf.is_wished, self.name):
            await anyio.to_thread.run_sync(self._shelf.fulfil, self.name)
            await self._order("somebody asks for it", state)
        elif reason and now >= max(state.next_try, self._not_before):
            await self._order(reason, state)
        elif not reason and now >= state.ask_again:
            await self._ask_when_to_renew(state)

    def _serve(self, pair: KeyPair) -> None:
        try:
            self._worker.certificates.replace(self.name, pair.chain, pair.key)
        except ValueError as error:
            log.warning(
                "certificates.%s: the certificate that is kept cannot be served: %s",
                self.name,
                error,
            )
            return
        self._served = pair
        log.info("certificates.%s: serving a certificate for %s", self.name, Current.of(pair.chain))

    async def _order(self, reason: str, state: State) -> None:
        log.info("certificates.%s: ordering, because %s", self.name, reason)
        try:
            outcome = await self._in_thread(self._ordering(), self._prover(state))
        except OrderError as error:
            await self._failed(error, state)
            return
        except Exception as error:
            # Without the pause after a failure, a fault here would meet the limits of the authority.
            log.exception("certificates.%s: the order has failed", self.name)
            await self._failed(OrderError(f"{type(error).__name__}: {error}"), state)
            return
        if outcome is None:
            return  # another machine orders; its certificate comes to the shelf
        pair, url = outcome
        done = State(self._names, authority=url)
        await anyio.to_thread.run_sync(self._shelf.keep_state, self.name, done)
        self._serve(pair)
        self.orders.labels("issued").inc()
        text = f"a new certificate for {', '.join(self._names)}"
        self._worker.notify(Notification(KIND, text, "info", fields={"certificate": self.name}))
        await self._ask_when_to_renew(done)

    def _prover(self, state: State) -> Prover:
        if self._dns is not None:
            return DnsProver(self._dns, resolver_of(self._settings.dns_resolvers))
        kinds = list(self._settings.acme_challenges)
        if len(kinds) > 1 and state.failures % 2:
            kinds.reverse()
        return LocalProver(self._worker, kinds, self._shelf if self._is_shared else None)

    def _ordering(self) -> Ordering:
        return Ordering(self.name, self._names, self._settings, self._accesses(), self._shelf)

    def _accesses(self) -> list[Access]:
        settings = self._settings
        hmac = settings.acme_eab_hmac.get_secret_value()
        ca_file = settings.acme_ca_file
        return [
            Access(url, ca_file, settings.acme_contact, settings.acme_eab_kid, hmac)
            for url in self._urls
        ]

    async def _in_thread(self, ordering: Ordering, prover: Prover) -> tuple[KeyPair, str] | None:
        try:
            return await anyio.to_thread.run_sync(
                ordering.place, prover, abandon_on_cancel=True, limiter=_orders_limiter()
            )
        finally:
            prover.stopped.set()

    async def _failed(self, error: OrderError, state: State) -> None:
        failures = state.failures + 1
        pause = pause_after(failures, error.retry_after)
        self._not_before = time.time() + pause
        later = replace(state, failures=failures, next_try=self._not_before, error=str(error))
        await anyio.to_thread.run_sync(self._shelf.keep_state, self.name, later)
        self.orders.labels("failed").inc()
        text = f"no certificate for {', '.join(self._names)}; the next try is in {_shown(pause)}"
        event = Notification(KIND, text, "error", str(error), fields={"certificate": self.name})
        self._worker.notify(event)

    async def _ask_when_to_renew(self, state: State) -> None:
        if self._served is None:
            return
        found = await anyio.to_thread.run_sync(
            self._ordering().suggested_renewal, self._served, state, limiter=_orders_limiter()
        )
        await anyio.to_thread.run_sync(self._shelf.keep_state, self.name, found)

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls) -> Mapping[str, type[CertificateSource]]:
        """Return the keys of this class."""
        return dict.fromkeys(AcmeSettings.model_fields, cls)

    @classmethod
    @hookimpl
    def pingap_hookspecs(cls) -> Sequence[object]:
        """Return the hook for DNS providers of other distributions."""
        return [provider]

    @classmethod
    @hookimpl
    def pingap_listeners(cls, config: ConfigView) -> Mapping[str, Mapping[str, object]]:
        """Return servers for the ports to which authorities connect, where no other one listens."""
        return tokens.listeners(config)

    @classmethod
    @hookimpl
    def pingap_server_plugins(cls, config: ConfigView) -> Mapping[str, Sequence[str]]:
        """Have the servers at those ports answer authorities."""
        return tokens.server_plugins(config)


def _orders_limiter() -> anyio.CapacityLimiter:
    global _limiter
    if _limiter is None:
        _limiter = anyio.CapacityLimiter(MOST_ORDERS)
    return _limiter


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _shown(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
