"""URLs and paths in settings."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

_URL: Final = re.compile(r"https?://[!-\"$-\[\]-~]+").fullmatch  # visible ASCII without # and \
_OWN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)+").fullmatch
_DOTS: Final = re.compile(r"/\.\.?(?:/|$)").search


def checked_url(url: str) -> str:
    """Return the URL.

    :raises ValueError: not an absolute http or https URL with a host, or one with a password, which would not be
        sent. The URL is not in the message.
    """
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not _URL(url):
        raise ValueError("expected an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("expected an http or https URL without user name and password")
    return url


def _checked_base(url: str) -> str:
    if not url:
        return url
    if "?" in url or "#" in url:
        raise ValueError("expected an http or https URL, without a query")
    return checked_url(url)


def _checked_path(path: str) -> str:
    if not _OWN_PATH(path) or _DOTS(path):
        raise ValueError('expected a path such as "/oidc/callback", without escapes')
    return path


Url = Annotated[str, AfterValidator(checked_url)]
BaseUrl = Annotated[str, AfterValidator(_checked_base)]
"""A URL without a query, or empty."""
OwnPath = Annotated[str, AfterValidator(_checked_path)]
"""A path that a plugin answers itself, as ``Request.path`` shows it."""
