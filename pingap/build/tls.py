"""Builds the TLS of servers and upstreams from the configuration: part of building the runtime graph.

Imports ``cryptography``, which is optional, only if there are certificates.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from pingap.build.certificate_sources import SourceBuilder, SourceError
from pingap.config import (
    CertificateConfig,
    Config,
    Problem,
    ServerConfig,
    UpstreamConfig,
    dotted,
    quoted,
)
from pingap.config.pem_values import PEM_KEYS
from pingap.config.reuse import certificate_digest
from pingap.tls.client_context import ClientTls
from pingap.tls.options import OptionError, TlsOptions, reason
from pingap.tls.pem import CertificateError, read_pem
from pingap.tls.replacements import Replacements
from pingap.tls.selection import Served, ServerTls
from pingap.upstream.connections.alpn import Speaks

if TYPE_CHECKING:
    from pingap.tls.certificates import Certificate

Key = tuple[str | int, ...]

_HTTP1 = ("http/1.1", "http/1.0")

_ABSENT: Final = "is missing"
MISSING = "needs the package cryptography: pip install 'pingap[tls]'"


class TlsBuilder:
    """Builds the TLS of servers and upstreams, and collects the problems.

    :param sources: of certificates.
    :param certificates: those that plugins have replaced.
    :param problems: collects errors; ``warnings`` collects the rest.
    """

    def __init__(
        self,
        config: Config,
        sources: SourceBuilder,
        certificates: Replacements,
        problems: list[Problem],
        warnings: list[Problem],
    ) -> None:
        self._config = config
        self._sources = sources
        self._certificates = certificates
        self._source = config.source
        self._problems = problems
        self._warnings = warnings
        self._broken = False  # a certificate is broken: it may contain the missing name
        self._owners: dict[str, str] = {}
        self.served: tuple[Served, ...] = ()
        self.keys: dict[str, str] = {}
        """Name of a certificate -> the key it was built from."""

    def load_certificates(self) -> None:
        """Load all of ``[certificates]``."""
        if self._config.certificates and not self._has_cryptography(
            ("certificates", next(iter(self._config.certificates)))
        ):
            self._broken = True
            return
        found = []
        for name, settings in self._config.certificates.items():
            if (served := self._served(name, settings)) is None:
                self._broken = True
            else:
                found.append(served)
        self.served = tuple(found)

    def server(
        self, name: str, settings: ServerConfig, previous: ServerTls | None
    ) -> ServerTls | None:
        """Build the TLS of a server; None if it has none, or it cannot be built.

        :param previous: the current TLS of the server.
        """
        if not settings.global_certificates or self._broken:
            return None
        path: Key = ("servers", name)
        try:
            replacements = self._certificates.active(self.keys)
            return ServerTls(self._options(settings), self.served, previous, replacements)
        except (OptionError, CertificateError) as error:
            self._problem((*path, error.key), str(error))
        except ssl.SSLError as error:
            self._problem((*path, "global_certificates"), f"OpenSSL: {reason(error)}")
        return None

    def upstream(self, name: str, settings: UpstreamConfig) -> ClientTls | None:
        """Build the TLS of an upstream; None if it has none, or it cannot be built."""
        if not settings.sni:
            return None
        path: Key = ("upstreams", name)
        try:
            return self._client_tls(path, settings)
        except CertificateError as error:
            self._problem((*path, error.key), str(error))
        return None

    # Certificates.

    def _served(self, name: str, settings: CertificateConfig) -> Served | None:
        path: Key = ("certificates", name)
        try:
            return self._load(path, name, settings)
        except CertificateError as error:
            self._problem((*path, error.key), str(error))
            if error.key == "tls_cert":
                self._check_key(path, settings)
            return None
        except SourceError:
            return None

    def _load(self, path: Key, name: str, settings: CertificateConfig) -> Served:
        from pingap.tls import certificates, issuer

        # Before files are read: one that changes later belongs to the next reload.
        table = self.keys[name] = certificate_digest(self._config, name)
        domains = certificates.split_domains(settings.domains)
        default = ("*",) if settings.is_default else ()
        found = self._sources.load(name, settings, table, domains)
        if found is None:
            text = "has no certificate yet: its names are unknown until there is one"
            self._warnings.append(self._source.problem(path, text))
            self._claim(path, name, domains + default)
            return Served(name=name, names=domains + default)
        key, pair = found
        own = key in PEM_KEYS["certificates"]
        parts = ("tls_cert", "tls_key") if own else (key, key)
        loaded = certificates.parse_pair(pair.chain, pair.key, domains, *parts)
        self._check_openssl(loaded, parts[0])
        self._warn((*path, parts[0]), loaded, settings)
        names = loaded.names + default
        self._claim(path, name, names)
        authority = issuer.Authority(loaded) if settings.is_ca else None
        return Served(name=name, names=names, certificate=loaded, issuer=authority)

    def _check_key(self, path: Key, settings: CertificateConfig) -> None:
        """Also report a key that cannot be read, so that one run finds all problems."""
        from pingap.tls.certificates import load_key

        if not (key := settings.tls_key.get_secret_value()):
            self._problem((*path, "tls_key"), _ABSENT)
            return
        try:
            load_key(key, "tls_key", self._source.directory)
        except CertificateError as error:
            self._problem((*path, error.key), str(error))

    def _check_openssl(self, loaded: Certificate, key: str) -> None:
        """Check that OpenSSL accepts a certificate, for example the strength of its key."""
        from pingap.tls.options import use_certificate

        try:
            use_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), loaded.pem)
        except ssl.SSLError as error:
            raise CertificateError(key, f"OpenSSL rejects it: {reason(error)}") from None

    def _warn(self, path: Key, loaded: Certificate, settings: CertificateConfig) -> None:
        from pingap.tls.certificates import doubts, utc_now

        for text in doubts(loaded, settings.buffer_days, utc_now()):
            self._warnings.append(self._source.problem(path, text))

    def _claim(self, path: Key, name: str, names: tuple[str, ...]) -> None:
        """Warn about names that another certificate already serves; the first one is used."""
        taken = [one for one in names if self._owners.setdefault(one, name) != name]
        for one in taken:
            owner = dotted(("certificates", self._owners[one]))
            if one == "*":
                self._problem((*path, "is_default"), f"{owner} is the default already")
            else:
                text = f"{quoted(one)} is served by {owner} already"
                self._warnings.append(self._source.problem(path, text))

    # Settings.

    def _options(self, settings: ServerConfig) -> TlsOptions:
        directory = self._source.directory
        authorities = ""
        if settings.tls_client_ca:
            authorities = read_pem(settings.tls_client_ca, "tls_client_ca", directory).decode(
                "latin-1"
            )
        return TlsOptions(
            min_version=settings.tls_min_version or "tlsv1.2",
            max_version=settings.tls_max_version,
            cipher_list=settings.tls_cipher_list,
            ciphersuites=settings.tls_ciphersuites,
            alpn=("h2", *_HTTP1) if settings.enabled_h2 else _HTTP1,
            client_ca=authorities,
            verify_client=settings.tls_verify_client,
        )

    def _client_tls(self, path: Key, settings: UpstreamConfig) -> ClientTls | None:
        directory = self._source.directory
        authorities = ""
        if settings.upstream_ca:
            authorities = read_pem(settings.upstream_ca, "upstream_ca", directory).decode("latin-1")
        certificate = b""
        if settings.client_cert:
            if not self._has_cryptography((*path, "client_cert")):
                return None
            from pingap.tls.certificates import load_pair

            key = settings.client_key.get_secret_value()
            certificate = load_pair(settings.client_cert, key, directory)
        return ClientTls(
            settings.sni,
            verify=settings.verify_cert,
            authorities=authorities,
            certificate=certificate,
            alpn=Speaks(settings.alpn).alpn,
        )

    def _has_cryptography(self, path: Key) -> bool:
        try:
            import cryptography  # noqa: F401
        except ImportError:
            self._problem(path, MISSING)
            return False
        return True

    def _problem(self, path: Key, message: str) -> None:
        self._problems.append(self._source.problem(path, message))
