"""TLS of side calls: trusted authorities, the expected name, and a client certificate."""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from pingap.tls.client_context import ClientTls
from pingap.tls.pem import CertificateError, blocks, read_pem

PemOrPath: TypeAlias = str | os.PathLike[str]
"""PEM as text, or the path of a file that contains it."""

_NAMES: Final = {"upstream_ca": "ca", "client_cert": "cert", "sni": "server_name"}
"""Configuration key in an error -> parameter."""


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """TLS options of side calls to ``https`` URLs.

    Files are read once, when the object is created. Create it in the ``__init__`` of a plugin: there, a
    mistake is a configuration error, and files that only root can read are still readable. When a
    certificate has been renewed, create a new object.

    Equal objects share connections.

    :param ca: the authorities to trust, PEM or path; by default those of the system.
    :param cert: our certificate with its chain, PEM or path, for servers that ask for one.
    :param key: the key of ``cert``, PEM or path; not needed if ``cert`` holds it, too.
    :param server_name: sent as SNI, and the name that the server's certificate must have; by default
        the host of the URL.
    :param verify: check the server's certificate. Without that, any server could impersonate it.
    :raises ValueError: one of them cannot be used; the message shows no key.
    """

    ca: PemOrPath | None = field(default=None, repr=False)
    cert: PemOrPath | None = field(default=None, repr=False)
    key: PemOrPath | None = field(default=None, repr=False)
    server_name: str | None = None
    verify: bool = True
    _contents: bytes = field(init=False, repr=False)
    _context: ssl.SSLContext = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        authorities, certificate = self._authorities(), self._certificate()
        try:
            # Without a name, each connection uses the host of its URL.
            made = ClientTls(
                self.server_name or "localhost",
                verify=self.verify,
                authorities=authorities,
                certificate=certificate,
            )
        except CertificateError as error:
            raise ValueError(f"{_NAMES[error.key]}: {error}") from None
        contents = hashlib.sha256(authorities.encode() + b"\0" + certificate).digest()
        object.__setattr__(self, "_contents", contents)
        object.__setattr__(self, "_context", made.context)

    def _authorities(self) -> str:
        if self.ca is None:
            return ""
        found = list(blocks(_read(self.ca, "ca"), b"CERTIFICATE"))
        if not found:
            raise ValueError("ca: holds no certificate")
        return b"\n".join(found).decode("ascii", "replace")

    def _certificate(self) -> bytes:
        """Return PEM of key, certificate and chain; empty without them."""
        if self.cert is None:
            if self.key is not None:
                raise ValueError("key: has no certificate; set cert, too")
            return b""
        cert = _read(self.cert, "cert")
        if self.key is not None:
            return _read(self.key, "key", secret=True) + b"\n" + cert
        if not any(blocks(cert, b"PRIVATE KEY")):
            raise ValueError("cert: holds no key; set key, too")
        return cert


def _read(value: PemOrPath, name: str, *, secret: bool = False) -> bytes:
    try:
        return read_pem(os.fspath(value), name, Path(), secret=secret)
    except CertificateError as error:
        raise ValueError(f"{name}: {error}") from None
