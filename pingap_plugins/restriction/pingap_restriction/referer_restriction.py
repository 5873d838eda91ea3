"""Refuses requests by the host of ``Referer``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap_restriction.field_lists import FieldListSettings, FieldRestriction

_HOST: Final = re.compile(
    r"""[a-z][a-z0-9+.-]*://           # the scheme
    (?:[^/?#@\\\s]*@)?                 # user information, which browsers do not send
    (\[[0-9a-f:.]+\]|[^/?#@\\:\[\]\s]+)
    (?::[0-9]*)?                       # the port
    (?:[/?#]\S*)?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_ENTRY: Final = re.compile(r"\*|\*?[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def host_of(url: str) -> str | None:
    """Return the host of an absolute URL in lower case, without port; None if it has none."""
    match = _HOST.fullmatch(url)
    return None if match is None else match[1].lower().removesuffix(".")


def _check_entry(text: str) -> str:
    entry = text.lower().removesuffix(".")
    if not _ENTRY.fullmatch(entry):
        raise ValueError(
            f'"{text}" is not a host, or "*" and the end of one: leave out scheme, port and path, and write '
            "names as they are sent (xn--...)"
        )
    return entry


Entry = Annotated[str, AfterValidator(_check_entry)]


class Hosts:
    """Hosts, and ends of hosts.

    :param entries: in lower case; ``*.example.com`` means all that end with ``.example.com``.
    """

    def __init__(self, entries: tuple[str, ...]) -> None:
        self._hosts = frozenset(entry for entry in entries if entry[0] != "*")
        self._ends = tuple(entry[1:] for entry in entries if entry[0] == "*")

    def match(self, url: str) -> bool:
        """Return whether the host of a URL is one of them."""
        host = host_of(url)
        return host is not None and (host in self._hosts or host.endswith(self._ends))


class RefererRestriction(FieldRestriction):
    """Refuses requests by the host of ``Referer``, such as those of sites that embed pictures of others."""

    category = "referer_restriction"
    field_key = b"referer"
    reads_headers = ("referer",)

    class Settings(FieldListSettings):
        """Settings of ``referer_restriction``."""

        referer_list: Annotated[tuple[Entry, ...], Field(strict=False)] = ()
        """Hosts. ``*`` at the beginning stands for anything: ``*.example.com`` means all subdomains, ``*`` every
        request with a valid ``Referer``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.referer_list, Hosts(settings.referer_list).match)
