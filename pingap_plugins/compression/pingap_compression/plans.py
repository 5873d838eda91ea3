"""What becomes of a response: compressed, decompressed, or left as it is. Nothing here does IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pingap_content.decoders import DECODABLE
from pingap_content.heads import is_coded, weaken_etag_of_304
from pingap_content.media_types import MediaTypes

from pingap import AcceptedEncodings, Headers, Request, Response
from pingap_compression.heads import (
    become_coded,
    become_plain,
    forbids_change,
    vary_by_coding,
)

_NEVER: Final = frozenset((101, 204, 205, 206, 416))
"""Statuses of responses without content, and of parts (RFC 9110, 14): their bytes are counted as they
are without a coding."""
Action: TypeAlias = Literal["compress", "decompress"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with a body.

    :param action: what.
    :param coding: that is applied, or taken away.
    """

    action: Action
    coding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an instance does.

    :param codings: what it compresses with, in the order of preference.
    :param types: what it compresses.
    :param min_length: bytes that a body has at least, if their number is known.
    :param decompress: take codings away that clients do not take.
    """

    codings: Sequence[str]
    types: MediaTypes
    min_length: int
    decompress: bool

    def variant(self, accepted: AcceptedEncodings) -> str:
        """Return what tells apart the responses that clients get, as far as they depend on codings."""
        best = accepted.best(self.codings) or "identity"
        if not self.decompress:
            return best
        taken = [one for one in ("zstd", "br", "gzip", "deflate") if accepted.takes(one)]
        return "+".join([best, *taken])

    def apply(
        self, accepted: AcceptedEncodings, request: Request, response: Response
    ) -> Plan | None:
        """Change the head of a response, and return what is to be done with its body."""
        headers, status = response.headers, response.status
        if forbids_change(headers) or forbids_change(request.headers):
            return None
        if status == 304:
            self._apply_to_304(request, headers)
            return None
        if is_coded(headers):
            return self._decompression(accepted, status, headers)
        if not self.codings or headers.get("content-type") not in self.types:
            return None
        if status in _NEVER:
            if status == 206:
                vary_by_coding(headers)
            return None
        vary_by_coding(headers)
        coding = accepted.best(self.codings)
        if not coding or self._is_too_short(accepted, response):
            return None
        become_coded(headers, coding)
        return Plan("compress", coding)

    def _is_too_short(self, accepted: AcceptedEncodings, response: Response) -> bool:
        """Tell whether it is not worth it; a client that takes nothing plain gets it all the same."""
        length = response.content_length
        return length is not None and length < self.min_length and accepted.takes("identity")

    def _decompression(
        self, accepted: AcceptedEncodings, status: int, headers: Headers
    ) -> Plan | None:
        value = headers.get("content-encoding", "").strip().lower()
        coding = DECODABLE.get(value)
        if not self.decompress or coding is None or status in _NEVER:
            return None
        vary_by_coding(headers)
        if accepted.takes(coding) or not accepted.takes("identity"):
            return None
        become_plain(headers)
        return Plan("decompress", coding)

    def _apply_to_304(self, request: Request, headers: Headers) -> None:
        """Say of a response without content what the whole one would say (RFC 9110, 15.4.5)."""
        kind = headers.get("content-type")  # which it seldom has
        if kind is not None and kind not in self.types:
            return
        vary_by_coding(headers)
        weaken_etag_of_304(headers, request.header("if-none-match"))
