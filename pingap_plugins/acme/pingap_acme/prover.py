"""Puts proofs in place in a running instance."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import anyio.from_thread

from pingap import Worker
from pingap_acme.challenges import HTTP, TLS_ALPN, Proof, handshake_certificate, handshake_name
from pingap_acme.errors import OrderError
from pingap_acme.shelf import Shelf
from pingap_acme.tokens import TOKEN_BYTES, TOKEN_SECONDS, TOKENS

_PREFIX: Final = "acme:tls-alpn-01:"


class LocalProver:
    """Answers challenges over HTTP and in the handshake, in all workers.

    :param kinds: in the order of preference.
    :param shelf: where tokens are kept for other machines; None if there are none.
    """

    def __init__(self, worker: Worker, kinds: Sequence[str], shelf: Shelf | None) -> None:
        self._worker = worker
        self._kinds = list(kinds)
        self._shelf = shelf
        self._tokens = worker.shared.values(TOKENS, value_bytes=TOKEN_BYTES)
        self.stopped = threading.Event()
        """Set when nobody waits for the order any longer."""

    def kinds(self, name: str, *, is_wildcard: bool) -> list[str]:
        """Return the kinds of challenges that are possible for a name."""
        return [] if is_wildcard else self._kinds

    def present(self, proofs: list[Proof]) -> None:
        """Put proofs in place.

        :raises OrderError: the order was given up meanwhile, or a file cannot be written.
        """
        if self.stopped.is_set():
            raise OrderError("pingap stops, or its configuration has changed")
        try:
            for proof in proofs:
                if self._shelf is not None and proof.kind == HTTP:
                    self._shelf.keep_token(proof.token, proof.content.encode())
        except OSError as error:
            raise OrderError(f"the token cannot be kept: {error}") from error
        anyio.from_thread.run_sync(self._show, proofs)

    def remove(self, proofs: list[Proof]) -> None:
        """Remove them again."""
        if self._shelf is not None:
            for proof in proofs:
                self._shelf.keep_token(proof.token, None)
        if not self.stopped.is_set():
            anyio.from_thread.run_sync(self._hide, proofs)

    def _show(self, proofs: list[Proof]) -> None:
        for proof in proofs:
            if proof.kind == HTTP:
                self._tokens.set(proof.token, proof.content.encode(), TOKEN_SECONDS)
            elif proof.kind == TLS_ALPN:
                chain, key = handshake_certificate(proof)
                name = _PREFIX + proof.name
                names = [handshake_name(proof)]
                self._worker.certificates.replace(name, chain, key, names, alpn="acme-tls/1")

    def _hide(self, proofs: list[Proof]) -> None:
        for proof in proofs:
            if proof.kind == HTTP:
                self._tokens.delete(proof.token)
            elif proof.kind == TLS_ALPN:
                self._worker.certificates.remove(_PREFIX + proof.name)
