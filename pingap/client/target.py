"""The URL of a side call: where to connect, what to request, and the form that logs show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpcore

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL.

    :param scheme: ``http`` or ``https``.
    :param host: name or address; an IPv6 address without brackets.
    :param port: None for the default of the scheme.
    :param path: never empty.
    :param query: with its question mark, or empty.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Parse a URL; user name and password are dropped.

        :raises ValueError: not an absolute http or https URL in ASCII. The message does not contain it.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in _DEFAULT_PORTS or not url.isascii():
            raise ValueError("the URL of a side call is not an absolute http or https URL")
        return cls(
            parts.scheme, host, port, parts.path or "/", f"?{parts.query}" if parts.query else ""
        )

    @property
    def authority(self) -> str:
        """Host and port as in the header ``Host`` (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port is None or self.port == _DEFAULT_PORTS[self.scheme]
        return host if default else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL as messages show it: without the query, which may contain secrets."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def to_httpcore(self) -> httpcore.URL:
        """Return the URL for httpcore, whose own parser drops ``;`` and the part after it."""
        import httpcore

        return httpcore.URL(
            scheme=self.scheme, host=self.host, port=self.port, target=self.path + self.query
        )
