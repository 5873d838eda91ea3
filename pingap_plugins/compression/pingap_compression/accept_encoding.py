"""Ask upstreams for few codings, whatever clients accept."""

from __future__ import annotations

import re
from typing import Final

from pingap import Plugin, PluginSettings, Request, accepted_encodings, field, hookimpl

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")


class AcceptEncoding(Plugin):
    """Replaces ``Accept-Encoding`` by those of some codings that the client accepts."""

    category = "accept_encoding"
    before = ("cache", "compression")
    reads_headers = ("accept-encoding",)

    class Settings(PluginSettings):
        """Settings of ``accept_encoding``."""

        encodings: str
        """Codings that are kept, separated by commas, in the order in which they are sent on."""
        only_one_encoding: bool = False
        """Whether only the first of them that the client accepts is kept."""

    def __init__(self, settings: Settings) -> None:
        names = [one.strip().lower() for one in settings.encodings.split(",")]
        self._encodings = list(dict.fromkeys(one for one in names if one))
        if not self._encodings:
            raise ValueError('encodings names no coding; "identity" asks for none')
        for one in self._encodings:
            if not _TOKEN.fullmatch(one) or one == "*":
                raise ValueError(f'encodings: "{one}" is not the name of a coding')
        self._most = 1 if settings.only_one_encoding else len(self._encodings)

    @hookimpl
    def early_request(self, request: Request) -> None:
        """Replace the header; remove it if the client accepts none of the codings."""
        text = request.header("accept-encoding")
        if text is None:
            return
        taken = accepted_encodings(text)
        kept = [one for one in self._encodings if taken.takes(one)][: self._most]
        if kept:
            request.headers.replace(field("Accept-Encoding", ", ".join(kept)))
        else:
            request.headers.remove("accept-encoding")
