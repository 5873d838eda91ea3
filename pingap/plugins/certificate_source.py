"""Where a certificate of the configuration comes from: base of all sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pingap.hookspecs import hookimpl
from pingap.plugins.base import Plugin


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key; the key is not in its ``repr``.

    :param chain: PEM of the certificate, then of those that lead to a root.
    :param key: PEM of the private key, without a password.
    """

    chain: bytes
    key: bytes = field(repr=False)


class CertificateSource(Plugin):
    """Provides the certificate of each table of ``[certificates]`` that has a key of its own.

    There is one instance for each such table. The keys that the class claims are its settings, and it is
    a plugin: it has ``startup``, ``lead`` and ``shutdown``, and stays as long as its table is unchanged.

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
    """The name of the table: the one that ``Worker.certificates.replace`` takes. Set before ``load``."""

    domains: tuple[str, ...] = ()
    """The names in ``domains`` of the table, in lower case. Set before ``load``."""

    directory: Path = Path()
    """Where relative paths of the configuration begin. Set before ``load``."""

    def load(self) -> KeyPair | None:
        """Return the certificate that is there when the configuration is built.

        Called in the process that checks the configuration and in every worker, at each start and
        reload, before ``startup``. It may read files.

        :returns: the pair; or None if there is none yet: then the names in ``domains`` are served as unknown
            names are, until ``Worker.certificates.replace`` is called for the table.
        :raises ValueError: a configuration error of the table.
        """
        return None

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Name this class if it can be a plugin of ``[plugins]``, too."""
        return (cls,) if hasattr(cls, "category") else ()

    @classmethod
    @hookimpl
    def pingap_certificate_sources(cls) -> Mapping[str, type[CertificateSource]]:
        """Claim no key: a class that is the target of an entry point overrides this."""
        return {}
