"""The source of certificates in the configuration, or in files that it names."""

from __future__ import annotations

from collections.abc import Mapping

from pingap.config.kinds import Secret
from pingap.hookspecs import hookimpl
from pingap.plugins.base import PluginSettings
from pingap.plugins.certificate_source import CertificateSource, KeyPair
from pingap.tls.pem import CertificateError, read_pem


class StaticCertificates(CertificateSource):
    """Provides ``tls_cert`` and ``tls_key``; a distribution can claim these keys instead."""

    class Settings(PluginSettings):
        """Each is PEM text, a file, or base64 of PEM text."""

        tls_cert: str = ""
        tls_key: Secret = Secret("")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._cert, self._key = settings.tls_cert, settings.tls_key.get_secret_value()

    def load(self) -> KeyPair:
        """Read both.

        :raises CertificateError: one is missing, or cannot be read.
        """
        for key, value in (("tls_cert", self._cert), ("tls_key", self._key)):
            if not value:
                raise CertificateError(key, "is missing")
        return KeyPair(
            read_pem(self._cert, "tls_cert", self.directory),
            read_pem(self._key, "tls_key", self.directory, secret=True),
        )

    @classmethod
    @hookimpl(trylast=True)
    def pingap_certificate_sources(cls) -> Mapping[str, type[CertificateSource]]:
        """Claim both keys."""
        return {"tls_cert": cls, "tls_key": cls}
