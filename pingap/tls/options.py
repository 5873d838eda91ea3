"""TLS versions, ciphers and client certificates of a server, and the contexts made from them.

Our own certificates (``certificates``) and their choice (``selection``) are handled elsewhere.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSIONS: Final = {
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
VERIFY: Final = {
    "off": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "require": ssl.CERT_REQUIRED,
}

INTERMEDIATE: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Mozilla's intermediate list, without DHE, for which the ssl module has no parameters."""
_OLD: Final = (
    ":ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
    "AES128-SHA:AES256-SHA"
)
"""Additional ciphers of TLS 1.1."""
_WEAKEST: Final = ":@SECLEVEL=0"
"""Allows the signatures of TLS 1.1, which use SHA-1."""


class OptionError(ValueError):
    """An unsupported TLS setting.

    :param key: of the server's table.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """The TLS settings of a server.

    :param min_version: a key of ``VERSIONS``; so is ``max_version``, or empty.
    :param cipher_list: for TLS up to 1.2; empty: the default.
    :param ciphersuites: for TLS 1.3; empty: OpenSSL's default.
    :param alpn: protocols to offer, the preferred one first.
    :param client_ca: PEM of the authorities that certify clients.
    :param verify_client: a key of ``VERIFY``.
    """

    min_version: str = "tlsv1.2"
    max_version: str = ""
    cipher_list: str = ""
    ciphersuites: str = ""
    alpn: tuple[str, ...] = ("http/1.1",)
    client_ca: str = ""
    verify_client: str = "off"

    def context(self) -> ssl.SSLContext:
        """Make a context without a certificate.

        :raises OptionError: OpenSSL does not accept a setting.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        # Otherwise phones would get the slower AES instead of ChaCha, because the server's order applies.
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA
        context.set_alpn_protocols(list(self.alpn))
        self._set_versions(context)
        self._set_ciphers(context)
        self._set_clients(context)
        return context

    def _set_versions(self, context: ssl.SSLContext) -> None:
        least = VERSIONS[self.min_version]
        most = VERSIONS[self.max_version] if self.max_version else ssl.TLSVersion.MAXIMUM_SUPPORTED
        if self.max_version and most < least:
            raise OptionError(
                "tls_max_version",
                f"{self.max_version} is older than {self.min_version}, the oldest",
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the operator configured it
            context.minimum_version = least
            context.maximum_version = most

    def _set_ciphers(self, context: ssl.SSLContext) -> None:
        is_old = self.min_version == "tlsv1.1"
        text = self.cipher_list or INTERMEDIATE + (_OLD if is_old else "")
        try:
            context.set_ciphers(text + _WEAKEST if is_old and "@SECLEVEL" not in text else text)
        except ssl.SSLError:
            raise OptionError("tls_cipher_list", "OpenSSL knows none of these ciphers") from None
        if hasattr(context, "set_groups"):
            context.set_groups(_GROUPS)
        if not self.ciphersuites:
            return
        if not hasattr(context, "set_ciphersuites"):
            this = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise OptionError(
                "tls_ciphersuites",
                f"not supported by Python {this}, whose ssl module cannot choose the suites of TLS 1.3"
                " (3.15 can); without this key those of OpenSSL are used",
            )
        try:
            context.set_ciphersuites(self.ciphersuites)
        except ssl.SSLError:
            raise OptionError("tls_ciphersuites", "OpenSSL does not know these suites") from None

    def _set_clients(self, context: ssl.SSLContext) -> None:
        context.verify_mode = VERIFY[self.verify_client]
        if self.client_ca:
            try:
                context.load_verify_locations(cadata=self.client_ca)
            except ssl.SSLError as error:
                raise OptionError("tls_client_ca", f"cannot be used: {reason(error)}") from None


_GROUPS: Final = "x25519:prime256v1:secp384r1"
"""Without ffdhe8192, which a client could choose and which costs us a tenth of a second (Python 3.15)."""
_PRIORITIZE_CHACHA: Final = 0x00200000
"""SSL_OP_PRIORITIZE_CHACHA, for which the ssl module has no name."""


def use_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context its certificate and key.

    :param pem: key, leaf and chain.
    :raises ssl.SSLError: OpenSSL does not accept it.
    """
    with _as_file(pem) as name:
        context.load_cert_chain(name, password=_no_password)


def _no_password() -> str:
    raise ValueError("the key needs a password")  # instead of a prompt on the terminal


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield a file name under which OpenSSL can read data: it reads keys from files only.

    If possible, the file is in memory, so that no key is written to a disk.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        number = os.memfd_create("pingap-tls", os.MFD_CLOEXEC)
        try:
            os.write(number, data)
            yield f"/proc/self/fd/{number}"
        finally:
            os.close(number)
    else:
        with tempfile.NamedTemporaryFile(prefix="pingap-tls") as file:  # readable only by this user
            file.write(data)
            file.flush()
            yield file.name


def reason(error: ssl.SSLError) -> str:
    """Return the message of OpenSSL in readable form."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).replace("_", " ").lower()
