"""TLS to an upstream: the expected name, the trusted authorities, and sessions to resume."""

from __future__ import annotations

import ssl
from copy import copy
from typing import Final

from pingap.config.problem import shortened
from pingap.tls.options import reason, use_certificate
from pingap.tls.pem import CertificateError

_INTERMEDIATE_AND_OLDER: Final = ssl.TLSVersion.TLSv1_2


class ClientTls:
    """The TLS settings for connections of one upstream.

    :param server_name: sent as SNI, and the name that a certificate must have.
    :param verify: check the certificate; otherwise, any server could impersonate the upstream.
    :param authorities: PEM of the authorities to trust; empty: those of the system.
    :param certificate: PEM of our own key, certificate and chain; empty: none.
    :param alpn: protocols to offer, the preferred one first.
    :raises CertificateError: OpenSSL does not accept one of them.
    """

    def __init__(
        self,
        server_name: str,
        *,
        verify: bool = True,
        authorities: str = "",
        certificate: bytes = b"",
        alpn: tuple[str, ...] = ("http/1.1",),
    ) -> None:
        self.server_name = server_name
        self._trust_and_proof = (verify, authorities, certificate)
        self.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _INTERMEDIATE_AND_OLDER
        context.set_alpn_protocols(list(alpn))
        if "h2" in alpn:
            context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113, 9.2.1
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._check_name()
        self._trust(authorities, verify)
        if certificate:
            try:
                use_certificate(context, certificate)
            except ssl.SSLError as error:
                raise CertificateError("client_cert", f"cannot be used: {reason(error)}") from None
        self._sessions: dict[object, ssl.SSLSession] = {}
        self.http1 = self
        """The same, but offering only HTTP/1.1, because the offer belongs to a context."""
        if len(alpn) > 1:
            self.http1 = ClientTls(
                server_name, verify=verify, authorities=authorities, certificate=certificate
            )

    def context_of_its_own(self) -> ssl.SSLContext:
        """Return a new context with the same trust and certificate, whose ALPN can be changed."""
        verify, authorities, certificate = self._trust_and_proof
        return ClientTls(
            self.server_name, verify=verify, authorities=authorities, certificate=certificate
        ).context

    def for_name(self, server_name: str) -> ClientTls:
        """Return the same for another server name; its sessions are not kept."""
        other = copy(self)
        other.server_name = server_name
        other._sessions = {}
        other.http1 = other if self.http1 is self else self.http1.for_name(server_name)
        return other

    def _check_name(self) -> None:
        try:
            self.context.wrap_bio(
                ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=self.server_name
            )
        except (ValueError, TypeError):  # TypeError for NUL
            raise CertificateError(
                "sni", f"{shortened(self.server_name)} is not the name of a host"
            ) from None

    def _trust(self, authorities: str, verify: bool) -> None:
        if not authorities:
            if verify:
                self.context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            return
        try:
            self.context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as error:
            raise CertificateError("upstream_ca", f"cannot be used: {reason(error)}") from None

    def session_for(self, peer: object) -> ssl.SSLSession | None:
        """Return the session that a new connection to a peer resumes."""
        return self._sessions.get(peer)

    def remember(self, peer: object, session: ssl.SSLSession | None) -> None:
        """Keep the session of a closed connection; resuming it saves half of a handshake."""
        if session is not None and session.has_ticket:
            self._sessions[peer] = session
