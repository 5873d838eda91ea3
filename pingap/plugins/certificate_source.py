"""The base class of certificate sources, from which certificates of the configuration are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pingap.hookspecs import hookimpl
from pingap.plugins.base import Plugin


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key; the key is not in its ``repr``.

    :param chain: PEM of the certificate, then of the certificates that lead to a root.
    :param key: PEM of the private key, without a password.
    """

    chain: bytes
    key: bytes = field(repr=False)


class CertificateSource(Plugin):
    """Provides the certificate of each table of ``[certificates]`` that has one of its keys.

    There is one instance for each such table. The keys that the class claims are its settings. It is a
    plugin: it has ``startup``, ``lead`` and ``shutdown``, and lives as long as its table is unchanged.

    Example::

        class FromVault(CertificateSource):
            contract = "1.1"

            class Settings(PluginSettings):
                vault_path: str

            def __init__(self, settings: Settings) -> None:
                self.path = Path(settings.vault_path)

            def load(self) -> KeyPair | None:
                if not self.path.exists():
                    return None
                return KeyPair(self.path.read_bytes(), self.path.with_suffix(".key").read_bytes())

            @classmethod
            @hookimpl
            def pingap_certificate_sources(cls) -> Mapping[str, type[CertificateSource]]:
                return {"vault_path": cls}

    .. versionadded:: 1.1
    """

    name: str = ""
    """The name of the table, which ``Worker.certificates.replace`` takes. Set before ``load``."""

    domains: tuple[str, ...] = ()
    """The names in ``domains`` of the table, in lower case. Set before ``load``."""

    directory: Path = Path()
    """The directory to which relative paths in the configuration are relative. Set before ``load``."""

    def load(self) -> KeyPair | None:
        """Return the certificate that is available when the configuration is built.

        Called in the process that checks the configuration and in every worker, at each start and reload,
        before ``startup``. It may read files.

        :returns: the pair, or None if there is none yet. Names in ``domains`` are then treated like unknown
            names until ``Worker.certificates.replace`` is called for the table.
        :raises ValueError: a configuration error of the table.
        """
        return None

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Return this class if it can also be a plugin of ``[plugins]``."""
        return (cls,) if hasattr(cls, "category") else ()

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls) -> Mapping[str, type[CertificateSource]]:
        """Return no keys: a class that an entry point refers to overrides this."""
        return {}
