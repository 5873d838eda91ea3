"""Where certificates, accounts and orders are kept: a directory that several machines may share."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import TypeAdapter

from pingap import DurableStore, KeyPair
from pingap_acme.account import Account
from pingap_acme.files import locked, read_private, write_private
from pingap_acme.order import Begun

_KEY_BEGINS: Final = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the orders of one table; it survives restarts.

    :param names: that were ordered; what is known of others is of no use.
    :param failures: orders in a row that failed.
    :param next_try: Unix time before which no order is placed.
    :param error: of the last order; empty if it succeeded.
    :param suggested: Unix time at which the authority wants a renewal; None if it has no opinion.
    :param ask_again: Unix time at which it is asked again.
    :param authority: the directory that issued the certificate.
    """

    names: tuple[str, ...] = ()
    failures: int = 0
    next_try: float = 0.0
    error: str = ""
    suggested: float | None = None
    ask_again: float = 0.0
    authority: str = ""


_STATE: Final = TypeAdapter(State)
_BEGUN: Final = TypeAdapter(Begun)


class Shelf:
    """A directory with certificates, accounts and the state of orders. All methods read or write files.

    :param directory: it is created when something is written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def usual(cls) -> Shelf:
        """Return the one below pingap's state directory."""
        return cls(DurableStore().directory.parent / "acme")

    def pair(self, table: str) -> KeyPair | None:
        """Return the certificate of a table, and its key; None if there is none yet.

        :raises OSError: the file cannot be read.
        """
        found = read_private(self._path("certificates", table, ".pem"))
        if found is None or _KEY_BEGINS not in found:
            return None
        at = found.index(_KEY_BEGINS)
        return KeyPair(found[:at], found[at:])

    def keep_pair(self, table: str, pair: KeyPair) -> None:
        """Keep a certificate: one file, so that it never stands beside another key.

        :raises OSError: it cannot be written.
        """
        chain = pair.chain.rstrip() + b"\n"
        write_private(self._path("certificates", table, ".pem"), chain + pair.key)

    def account(self, name: str) -> Account | None:
        """Return an account; None if there is none.

        :raises OSError: the file cannot be read.
        :raises ValueError: it is damaged.
        """
        found = read_private(self._path("accounts", name, ".json"))
        return Account.from_text(found.decode()) if found is not None else None

    def keep_account(self, name: str, account: Account) -> None:
        """Keep an account.

        :raises OSError: it cannot be written.
        """
        write_private(self._path("accounts", name, ".json"), account.as_text().encode())

    def forget_account(self, name: str) -> None:
        """Remove an account.

        :raises OSError: it cannot be removed.
        """
        self._path("accounts", name, ".json").unlink(missing_ok=True)

    def state(self, table: str, names: tuple[str, ...]) -> State:
        """Return what is known of the orders of a table for some names.

        :raises OSError: the file cannot be read.
        """
        found = read_private(self._path("orders", table, ".state"))
        try:
            state = _STATE.validate_json(found or b"{}")
        except ValueError:  # of another version, or damaged; it is made again
            return State(names)
        return state if state.names == names else State(names)

    def keep_state(self, table: str, state: State) -> None:
        """Keep what is known of the orders of a table.

        :raises OSError: it cannot be written.
        """
        write_private(self._path("orders", table, ".state"), json.dumps(asdict(state)).encode())

    def begun(self, table: str) -> Begun | None:
        """Return the order of a table that was not finished; None if there is none."""
        found = read_private(self._path("orders", table, ".json"))
        if found is None:
            return None
        try:
            begun = _BEGUN.validate_json(found)
            load_pem_private_key(begun.key.encode(), None)
        except ValueError:  # of another version, or damaged
            return None
        return begun

    def keep_begun(self, table: str, begun: Begun | None) -> None:
        """Keep an order that has begun; None: it has ended.

        :raises OSError: it cannot be written.
        """
        path = self._path("orders", table, ".json")
        if begun is None:
            path.unlink(missing_ok=True)
        else:
            write_private(path, json.dumps(asdict(begun)).encode())

    def has_orders(self) -> bool:
        """Return whether anything was ordered for this directory."""
        return (self.directory / "orders").is_dir()

    def wish(self, table: str) -> None:
        """Ask the process that orders for a table to renew its certificate now.

        :raises OSError: the directory cannot be written.
        """
        write_private(self._path("orders", table, ".renew"), b"")

    def is_wished(self, table: str) -> bool:
        """Return whether somebody has asked for a new certificate."""
        return self._path("orders", table, ".renew").exists()

    def fulfil(self, table: str) -> None:
        """Note that a new certificate is ordered as somebody asked.

        :raises OSError: the directory cannot be written.
        """
        self._path("orders", table, ".renew").unlink(missing_ok=True)

    def token(self, token: str) -> bytes | None:
        """Return what a token stands for, if this or another machine has one with this name.

        :raises OSError: the file cannot be read.
        """
        return read_private(self._path("tokens", token, ""))

    def keep_token(self, token: str, content: bytes | None) -> None:
        """Keep what a token stands for; None: it is no longer needed.

        :raises OSError: it cannot be written.
        """
        path = self._path("tokens", token, "")
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_private(path, content)

    def only_one(self, table: str) -> AbstractContextManager[bool]:
        """Hold the right to order for a table; False if another process or machine has it.

        :raises OSError: the directory cannot be written.
        """
        return locked(self._path("orders", table, ".lock"))

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        return self.directory / kind / (quote(name, safe="").replace(".", "%2E") + suffix)
