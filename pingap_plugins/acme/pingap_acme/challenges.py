"""The ways to prove a name: what the authority has to find, and where."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final, Protocol

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from josepy.jwk import JWK

from pingap_acme.names import is_address

HTTP: Final = "http-01"
TLS_ALPN: Final = "tls-alpn-01"
DNS: Final = "dns-01"

_ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """What has to be in place for one name.

    :param kind: ``http-01``, ``tls-alpn-01`` or ``dns-01``.
    :param name: the host name or address, without ``*.``.
    :param token: of the challenge.
    :param content: the key authorization (RFC 8555, 8.1); for ``dns-01`` the value of the record.
    """

    kind: str
    name: str
    token: str
    content: str


class Prover(Protocol):
    """Puts proofs in place. Its methods are called in a thread, one after the other.

    :ivar stopped: set when nobody waits for the order any longer.
    """

    stopped: threading.Event

    def kinds(self, name: str, *, is_wildcard: bool) -> list[str]:
        """Return the kinds of challenges that are possible for a name, the preferred one first."""

    def present(self, proofs: list[Proof]) -> None:
        """Put proofs in place, and return when the authority can find them."""

    def remove(self, proofs: list[Proof]) -> None:
        """Remove them again; those that are not there are no error."""


@challenges.ChallengeResponse.register
class TLSALPN01Response(challenges.KeyAuthorizationChallengeResponse):
    """The answer to a challenge in the handshake (RFC 8737)."""

    typ = TLS_ALPN


@challenges.Challenge.register
class TLSALPN01(challenges.KeyAuthorizationChallenge):
    """A challenge in the handshake (RFC 8737), which the ACME library no longer has."""

    response_cls = TLSALPN01Response
    typ = TLS_ALPN

    def validation(self, account_key: JWK, **kwargs: Any) -> str:
        """Return the key authorization."""
        return self.key_authorization(account_key)


def handshake_certificate(proof: Proof) -> tuple[bytes, bytes]:
    """Return the certificate, and its key, that proves a name in a handshake (RFC 8737, 3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([])
    digest = sha256(proof.content.encode()).digest()
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([_general_name(proof.name)]), critical=True)
        .add_extension(
            x509.UnrecognizedExtension(_ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def handshake_name(proof: Proof) -> str:
    """Return the server name that the authority sends (RFC 8737, 3); for an address RFC 8738, 6."""
    return ip_address(proof.name).reverse_pointer if is_address(proof.name) else proof.name


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)
