"""Cookies: reads ``Cookie`` fields of requests and creates ``Set-Cookie`` fields (RFC 6265)."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from math import inf
from typing import Final, Literal

from pingap.http.headers import TOKEN, Field, field
from pingap.http.multi_dict import MultiDict

LONGEST_COOKIE: Final = 4096
"""Maximum size of name and value in bytes; browsers ignore a longer cookie (RFC 6265bis)."""

_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*|\"[!#-+\--:<-\[\]-~]*\"").fullmatch
_PATH: Final = re.compile(r"/[!-:<-~]{0,1023}").fullmatch  # browsers ignore a longer one
_DOMAIN: Final = re.compile(r"[0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+)*").fullmatch


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that a plugin sets, with its attributes; checked once, when the plugin is built.

    The defaults suit a cookie that only servers read, over HTTPS. Browsers reject a ``Secure`` cookie from
    plain HTTP. The name prefixes (RFC 6265bis, 4.1.3) are enforced: ``__Secure-`` requires ``secure``, and
    ``__Host-`` also the path ``/`` and no domain.

    :param name: a token (RFC 9110, 5.6.2).
    :param path: clients send it for URLs below this path.
    :param domain: clients send it to this host and all subdomains; empty: only to the host that set it.
    :param max_age: seconds until it expires, at least 1; None: it expires when the browser is closed.
    :param secure: only sent over HTTPS.
    :param http_only: hidden from scripts.
    :param same_site: which cross-site requests include it; ``None`` (all of them) requires ``secure``.
    :param partitioned: a separate cookie for each site that embeds this one (CHIPS); needs ``secure``.
    :raises ValueError: a value that browsers would reject, or that is invalid in the field.
    """

    name: str
    _: KW_ONLY
    path: str = "/"
    domain: str = ""
    max_age: float | None = None
    secure: bool = True
    http_only: bool = True
    same_site: Literal["Strict", "Lax", "None"] = "Lax"
    partitioned: bool = False

    def __post_init__(self) -> None:
        if not TOKEN.fullmatch(self.name.encode("ascii", "replace")):
            raise ValueError(f"{self.name!r} is not the name of a cookie")
        if not _PATH(self.path):
            raise ValueError(f"path = {self.path!r:.80}: expected an escaped path")
        if self.domain and not _DOMAIN(self.domain):
            raise ValueError(f"domain = {self.domain!r:.80}: expected a host, without leading dot")
        if self.max_age is not None and not 1 <= self.max_age < inf:
            raise ValueError(f"max_age = {self.max_age!r}: expected seconds, 1 at least")
        if self.same_site not in ("Strict", "Lax", "None"):
            raise ValueError(f"same_site = {self.same_site!r}: expected Strict, Lax or None")
        self._check_combination()

    def _check_combination(self) -> None:
        name = self.name.lower()  # as browsers compare prefixes
        reason = (
            (name.startswith("__secure-") and "the prefix __Secure-")
            or (name.startswith("__host-") and "the prefix __Host-")
            or (self.same_site == "None" and "same_site = None")
            or (self.partitioned and "partitioned")
        )
        if reason and not self.secure:
            raise ValueError(f"cookie {self.name}: {reason} needs secure")
        if name.startswith("__host-") and (self.path != "/" or self.domain):
            raise ValueError(f"cookie {self.name}: __Host- needs the path / and no domain")

    def set(self, value: str, *, expires: datetime | None = None) -> Field:
        """Return the field that sets the cookie: ``response.headers.append(cookie.set("x"))``.

        :param value: visible ASCII without comma, semicolon, backslash and inner double quotes.
            Other text must be encoded first, for example by ``urllib.parse.quote``.
        :param expires: a time with a zone, which replaces ``max_age``.
        :raises ValueError: another value, a time without zone, or more than 4096 bytes.
        """
        if not _VALUE(value):
            raise ValueError(
                f"the value of cookie {self.name} has a character that must be encoded"
            )
        if len(self.name) + len(value) > LONGEST_COOKIE:
            raise ValueError(f"cookie {self.name} is longer than {LONGEST_COOKIE} bytes")
        lifetime = f"; Max-Age={int(self.max_age)}" if self.max_age is not None else ""
        if expires is not None:
            lifetime = f"; Expires={_http_date(expires)}"
        return field("Set-Cookie", f"{self.name}={value}{lifetime}{self._attributes()}")

    def delete(self) -> Field:
        """Return the field that deletes the cookie with the same path and domain."""
        lifetime = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        return field("Set-Cookie", f"{self.name}={lifetime}{self._attributes()}")

    def _attributes(self) -> str:
        return (
            f"; Path={self.path}"
            + (f"; Domain={self.domain}" if self.domain else "")
            + ("; Secure" if self.secure else "")
            + ("; HttpOnly" if self.http_only else "")
            + f"; SameSite={self.same_site}"
            + ("; Partitioned" if self.partitioned else "")
        )


def _http_date(moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ValueError("the time at which a cookie expires needs a zone, such as datetime.UTC")
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def parse_cookies(text: str) -> MultiDict:
    """Return the cookies of a field ``Cookie``, as sent; pieces without a name are left out."""
    pairs = (piece.strip().partition("=") for piece in text.split(";"))
    return MultiDict((name, value) for name, _, value in pairs if name)
