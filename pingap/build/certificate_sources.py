"""Builds the sources of certificates from the keys of ``[certificates.<name>]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pingap.build.plugins import PluginBuilder
from pingap.config import CertificateConfig, Config
from pingap.config.reuse import source_digest
from pingap.observability.plugin_failures import place_of
from pingap.plugins import kinds
from pingap.plugins.certificate_source import CertificateSource, KeyPair
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry
from pingap.plugins.static_certificates import StaticCertificates
from pingap.tls.pem import CertificateError


class SourceError(Exception):
    """A source cannot be built; ``PluginBuilder`` has reported the reason."""


class SourceBuilder:
    """Builds the sources of each table, and loads its certificate from them.

    :param plugins: builds and keeps the instances, which have the life cycle of other plugins.
    """

    def __init__(self, config: Config, registry: Registry, plugins: PluginBuilder) -> None:
        self._config = config
        self._registry = registry
        self._plugins = plugins

    def load(
        self, name: str, settings: CertificateConfig, table: str, domains: tuple[str, ...]
    ) -> tuple[str, KeyPair] | None:
        """Return the certificate of the first source that has one, and the key to name in errors.

        :param table: the digest of the table's content.
        :returns: the key of the source that stands first in the table, and the pair; None if there is no
            certificate yet.
        :raises CertificateError: a source is missing, or fails.
        :raises SourceError: a source cannot be built; the reasons have been reported.
        """
        for key, source in list(self._sources(name, settings, table)):
            source.name, source.domains = name, domains
            source.directory = self._config.source.directory
            if (pair := _loaded(source, key)) is not None:
                return key, pair
        return None

    def _sources(
        self, name: str, settings: CertificateConfig, table: str
    ) -> Iterator[tuple[str, CertificateSource]]:
        """Yield the sources of a table, each with the first of its keys; the core's comes last."""
        for cls, keys in self._classes(settings).items():
            first = next(iter(keys))
            if cls is StaticCertificates:
                yield first, cls(cls.Settings(**keys))
                continue
            instance = f"certificates.{name}.{first}"
            path = ("certificates", name)
            plugin = self._plugins.source(path, instance, cls, keys, source_digest(table, cls))
            if plugin is None:
                raise SourceError
            assert isinstance(plugin, CertificateSource)
            yield first, plugin

    def _classes(self, settings: CertificateConfig) -> dict[type[CertificateSource], Any]:
        """Return the class of each source -> the keys and values that are its settings."""
        values = {
            **settings.claimed,
            "tls_cert": settings.tls_cert,
            "tls_key": settings.tls_key if settings.tls_key.get_secret_value() else "",
        }
        found: dict[type[CertificateSource], Any] = {}
        for key, value in values.items():
            if value == "" or key in self._registry.names(kinds.CERTIFICATE_KEY):
                continue  # the same as no key, or it belongs to a plugin that is not a source
            try:
                cls = self._registry.find(kinds.CERTIFICATE_SOURCE, key)
            except (MissingPluginError, PluginLoadError) as error:
                raise CertificateError(key, str(error)) from None
            found.setdefault(cls, {})[key] = value
        return found or {StaticCertificates: {"tls_cert": ""}}


def _loaded(source: CertificateSource, key: str) -> KeyPair | None:
    try:
        pair = source.load()
    except CertificateError:
        raise
    except ValueError as error:
        raise CertificateError(key, str(error)) from error
    except BaseException as error:  # a bug in the source
        text = f"{type(error).__name__}: {error} ({place_of(error)})"
        raise CertificateError(key, f"no certificate can be loaded: {text}") from error
    if pair is not None and not isinstance(pair, KeyPair):
        text = f"{type(source).__name__}.load returned {type(pair).__name__}, not a KeyPair"
        raise CertificateError(key, text)
    return pair
