"""The interface through which plugins replace certificates that are served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pingap.tls.facts import CertificateFacts


class CertificateStore(Protocol):
    """The certificates of all servers with TLS (``Worker.certificates``); they may change at any time.

    A change takes effect in all workers, for every handshake that begins after it. Connections and TLS
    sessions are not touched. Workers that start later know it, too, and so do reloads, unless they
    change the table of the same name or a file that it names: then that table counts again. During
    a reload, the changes of a plugin apply to its own configuration: a plugin that is being started
    for the new one does not change what the old one serves. After a restart, only the configuration
    counts.
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
        """Serve a certificate from now on, instead of the previous one with this name.

        :param name: the name of a table of ``[certificates]``, whose certificate it replaces; or another name
            of at most 256 characters, for a certificate in addition to those of the configuration. Reuse a
            small set of names: at most 5000 are remembered, including removed ones.
        :param chain: PEM of the certificate, then of the certificates that lead to a root.
        :param key: PEM of its private key, without a password.
        :param names: the names for which it is served: host names, ``*.host``, addresses. By default the
            ``domains`` of the table, or else the names in the certificate. If an earlier certificate has a
            name already, it keeps it; those of the configuration come first, in its order.
        :param alpn: ``acme-tls/1``: serve it only in handshakes that offer this protocol and no other, for a
            challenge of a certificate authority (RFC 8737, 3). The connection is closed after the handshake.
            ``name`` must then not be that of a table.
        :raises ValueError: the certificate cannot be served; the message gives the reason: the key does not
            belong to it, it has expired or is not valid yet, OpenSSL rejects it, or it is larger than 64 KiB
            in total. Nothing is changed then.
        """

    def remove(self, name: str) -> None:
        """Undo ``replace``: serve the certificate of the configuration, if there is one."""

    def list(self) -> Sequence[CertificateFacts]:
        """Return the facts of all certificates, without keys: first those of the configuration."""
