"""An order with everything around it: the right to order, the account, the authorities in turn, what is kept.

It blocks and runs in a thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from pingap import KeyPair
from pingap_acme.account import Account, account_name
from pingap_acme.authority import Access, Authority
from pingap_acme.challenges import Prover
from pingap_acme.errors import OrderError, UnknownAccountError
from pingap_acme.order import Begun, Wanted, place_order
from pingap_acme.settings import AcmeSettings
from pingap_acme.shelf import Shelf, State

log = logging.getLogger("pingap.acme")

ASK_SECONDS: Final = 6 * 3600.0
"""Until an authority that does not say when to renew is asked again."""


class Ordering:
    """The orders of one table.

    :param table: its name.
    :param names: normalised.
    :param accesses: the authorities, the preferred one first.
    """

    def __init__(
        self,
        table: str,
        names: tuple[str, ...],
        settings: AcmeSettings,
        accesses: Sequence[Access],
        shelf: Shelf,
    ) -> None:
        self._table, self._shelf, self._accesses = table, shelf, accesses
        self._wanted = Wanted(
            names, settings.acme_key_type, settings.acme_must_staple, settings.acme_profile
        )

    def place(self, prover: Prover) -> tuple[KeyPair, str] | None:
        """Order a certificate, and keep it.

        :returns: the certificate and the directory of its authority; None if another process orders already.
        :raises OrderError: no authority has issued one.
        """
        try:
            with self._shelf.only_one(self._table) as ours:
                return self._of_one(prover) if ours else None
        except OSError as error:
            raise OrderError(f"{self._shelf.directory} cannot be used: {error}") from error

    def _of_one(self, prover: Prover) -> tuple[KeyPair, str]:
        """Return the certificate of the first authority that issues one."""
        failures: list[OrderError] = []
        for access in self._accesses:
            try:
                pair = self._of(access, prover)
            except OrderError as error:
                failures.append(error)
                self._shelf.keep_begun(self._table, None)
                continue
            self._shelf.keep_pair(self._table, pair)
            self._shelf.keep_begun(self._table, None)
            return pair, access.url
        if len(failures) == 1:
            raise failures[0]
        texts = zip(self._accesses, failures, strict=True)
        longest = max(error.retry_after for error in failures)
        raise OrderError("; ".join(f"{one.url}: {error}" for one, error in texts), longest)

    def _of(self, access: Access, prover: Prover) -> KeyPair:
        try:
            return self._with_account(access, prover)
        except UnknownAccountError as error:
            log.warning("acme: %s: %s; another one is registered", access.url, error)
            self._shelf.forget_account(_account_of(access))
            return self._with_account(access, prover)

    def _with_account(self, access: Access, prover: Prover) -> KeyPair:
        authority = self._open(access)
        try:
            begun = self._shelf.begun(self._table)
            if begun is not None and (begun.names, begun.authority) != (
                self._wanted.names,
                access.url,
            ):
                begun = None

            def remember(order: Begun) -> None:
                self._shelf.keep_begun(self._table, replace(order, authority=access.url))

            return KeyPair(*place_order(authority, self._wanted, prover, begun, remember))
        finally:
            authority.close()

    def _open(self, access: Access) -> Authority:
        name = _account_of(access)
        try:
            account = self._shelf.account(name)
        except ValueError as error:
            log.warning("acme: the account %s is damaged, so another one is made: %s", name, error)
            account = None
        keep = partial(self._shelf.keep_account, name)
        return Authority(access, account or Account.create(), keep)

    def suggested_renewal(self, pair: KeyPair, state: State) -> State:
        """Return the state with what the authority thinks of a certificate.

        :raises OSError: the directory cannot be used.
        """
        access = next(
            (one for one in self._accesses if one.url == state.authority), self._accesses[0]
        )
        try:
            authority = self._open(access)
            try:
                at, again = authority.suggested_renewal(pair.chain)
            finally:
                authority.close()
        except OrderError as error:
            log.info("certificates.%s: no renewal information: %s", self._table, error)
            return replace(state, ask_again=time.time() + ASK_SECONDS)
        return replace(state, suggested=at, ask_again=again)


def _account_of(access: Access) -> str:
    return account_name(access.url, access.eab_kid, access.contact)
