"""What plugins may do with the certificates that are served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pingap.tls.facts import CertificateFacts


class CertificateStore(Protocol):
    """The certificates of all servers with TLS (``Worker.certificates``); they may change at any time.

    A change takes effect in all workers, for every handshake that begins after it. Connections and TLS
    sessions are not touched. Workers that start later know it, too, and so do reloads, unless they
    change the table of the same name or a file that it names: then that table counts again. While a reload
    is under way, what a plugin changes is for the table of its own configuration: a plugin that is just
    being started for the new one does not change what the old one serves. A restart begins with the
    configuration alone.
    """

    def replace(
        self,
        name: str,
        chain: bytes,
        key: bytes,
        names: Sequence[str] = (),
        *,
        alpn: str = "",
    ) -> None:
        """Serve a certificate from now on, in place of the one that had this name.

        :param name: of a table of ``[certificates]``, whose certificate it replaces; or another name, of
            at most 256 characters, for a certificate beside those of the configuration. Use few names
            again and again: 5000 of them are remembered, removed ones included.
        :param chain: PEM of the certificate, then of those that lead to a root.
        :param key: PEM of its private key, without a password.
        :param names: what it is served for: host names, ``*.host``, addresses. By default the
            ``domains`` of the table, or else the names in the certificate. A name that an earlier
            certificate has stays there; those of the configuration come first, in its order.
        :param alpn: ``acme-tls/1``: serve it only in handshakes that offer this protocol and no other,
            for a challenge of a certificate authority (RFC 8737, 3). The connection is closed after the
            handshake. ``name`` must not be that of a table then.
        :raises ValueError: the certificate cannot be served, and why: the key does not belong to it, it has
            expired or is not valid yet, OpenSSL refuses it, all together is larger than 64 KiB. Nothing
            is changed then.
        """

    def remove(self, name: str) -> None:
        """Take back what ``replace`` did: serve what the configuration says, if anything."""

    def list(self) -> Sequence[CertificateFacts]:
        """Return the facts of all certificates, but no key: first those of the configuration."""
