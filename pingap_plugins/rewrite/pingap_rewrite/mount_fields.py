"""Paths and header fields of an application that is mounted below a prefix. Nothing here does IO.

A URL in a response is corrected if it leads to the mounted application: a path that begins with a slash, or a
URL with the host that the client asked for. Relative paths are resolved by the client, below the prefix. URLs
that have the prefix already are kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final
from urllib.parse import quote

from pingap_rewrite.rule import DOTS

_PREFIX: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@\x80-\U0010ffff-]+")
_EXPECTED: Final = 'expected a path such as "/app", without query and escapes'
_ABSOLUTE: Final = re.compile(r"(?:(https?):)?//([^/?#\\]+)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH: Final = re.compile(
    r"""(\s*[0-9.]+(?:\s*[;,]\s*|\s+)(?:url\s*=\s*)?["']?)(.*)""", re.IGNORECASE | re.DOTALL
)
_LINK: Final = re.compile(r'"(?:\\.?|[^"\\])*"?|<([^<>]*)>', re.DOTALL)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def check_prefix(text: str) -> str:
    """Return a prefix without its final slash.

    :raises ValueError: it is invalid; the message is for the operator.
    """
    prefix = text.removesuffix("/")
    segments = prefix.split("/")[1:]
    if not prefix or "." in segments or ".." in segments:
        raise ValueError(f'found "{text}", {_EXPECTED}')
    if not all(_PREFIX.fullmatch(f"/{segment}") for segment in segments) or prefix[0] != "/":
        raise ValueError(f'found "{text}", {_EXPECTED}')
    return prefix


class Prefix:
    """Where an application is mounted.

    :param text: as returned by ``check_prefix``.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.sent = quote(text, safe="/!$&'()*+,;=:@")
        """As it is written in URLs."""
        self._known = (self.sent, text.encode().decode("latin-1"))  # header values are Latin-1
        self._spellings = re.compile("".join(_spellings(text)) + "(?=/|$)")

    def covers(self, path: str) -> bool:
        """Return whether a normalised path is the prefix, or below it."""
        return path.startswith(self.text) and path[len(self.text) :][:1] in ("", "/")

    def strip(self, path: str) -> str:
        """Return the rest of a normalised path that the prefix covers."""
        return "/" + path[len(self.text) :].lstrip("/")

    def strip_raw(self, path: str) -> str | None:
        """Return the rest of a path as sent, unchanged.

        :returns: None if the rest could be another path: it depends on dot segments, or it would be read as
            a host.
        """
        match = self._spellings.match(path)
        if match is None or DOTS.search(path):
            return None
        rest = path[match.end() :] or "/"
        return None if rest.startswith(("//", "/\\")) else rest

    def of_url(self, url: str, hosts: Collection[str]) -> str:
        """Return the URL under which clients find what the application calls ``url``.

        :param hosts: the host that the client asked for, in the form of ``authority``.
        """
        if match := _ABSOLUTE.fullmatch(url):
            scheme, host, path = match.groups()
            if authority(host, scheme or "") not in hosts or path.startswith("\\"):
                return url
            path = path if path.startswith("/") else f"/{path}"
            return url[: match.start(3)] + self.of_path(path)
        if url.startswith("/") and not url.startswith("//"):
            return self.of_path(url)
        return url

    def of_path(self, path: str) -> str:
        """Return a path with the prefix, unless it has it already."""
        for known in self._known:
            if path.startswith(known) and path[len(known) :][:1] in ("", "/", "?", "#"):
                return path
        return self.sent + path

    def of_refresh(self, value: str, hosts: Collection[str]) -> str:
        """Return the value of ``Refresh``: seconds and a URL."""
        match = _REFRESH.fullmatch(value)
        if match is None:
            return value
        return match[1] + self.of_url(match[2], hosts)

    def of_link(self, value: str, hosts: Collection[str]) -> str:
        """Return the value of ``Link``: URLs in angle brackets, with parameters (RFC 8288, 3)."""

        def change(match: re.Match[str]) -> str:
            return match[0] if match[1] is None else f"<{self.of_url(match[1], hosts)}>"

        return _LINK.sub(change, value)

    def of_cookie(self, value: str) -> str:
        """Return the value of ``Set-Cookie`` with another ``Path``.

        Browsers accept ``__Host-`` cookies for ``Path=/`` only (RFC 6265bis, 4.1.3.2), so these are kept.
        A cookie without an absolute path belongs to that of the request, which has the prefix already.
        """
        cookie, *attributes = value.split(";")
        if cookie.lstrip().lower().startswith("__host-"):
            return value
        return ";".join([cookie, *map(self._of_attribute, attributes)])

    def _of_attribute(self, attribute: str) -> str:
        name, equals, value = attribute.partition("=")
        path = value.strip()
        if name.strip().lower() != "path" or not path.startswith("/"):
            return attribute
        # "/app" is sent with "/app" as well as with "/app/x", "/app/" only with the latter (RFC 6265, 5.1.4).
        return f"{name}{equals}{self.sent if path == '/' else self.of_path(path)}"


def authority(host: str, scheme: str) -> str:
    """Return a host in the form in which hosts are compared: in lower case, without a default port.

    :param scheme: ``http``, ``https``, or empty for an unknown one.
    """
    host = host.strip().lower()
    if scheme:
        return host.removesuffix(_DEFAULT_PORTS[scheme.lower()])
    return host.removesuffix(":80") if host.endswith(":80") else host.removesuffix(":443")


def _spellings(prefix: str) -> Iterator[str]:
    """Yield an expression for each byte of a prefix: as it is, or escaped."""
    for byte in prefix.encode():
        plain = re.escape(chr(byte)) if byte != ord("/") else "/+"
        yield plain if byte == ord("/") else f"(?:{plain}|(?i:%{byte:02x}))"
