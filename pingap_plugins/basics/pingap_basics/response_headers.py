"""Adds, removes, sets and renames headers of responses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    Field,
    HeaderEntry,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_basics.keys import HeaderName


def _renaming(text: str) -> tuple[bytes, Field]:
    """Return the key of the old name, and a field with the new one."""
    old, colon, new = text.partition(":")
    if not colon:
        raise ValueError(f'found "{text}", expected "old: new"')
    return field(old.strip(), "")[0], field(new.strip(), "")


def _check_renaming(text: str) -> str:
    _renaming(text)
    return text


Renaming = Annotated[str, AfterValidator(_check_renaming)]


class ResponseHeaders(Plugin):
    """Changes headers of responses, in this order: add, remove, set, set if absent, rename."""

    category = "response_headers"
    may_fail_open = True

    class Settings(PluginSettings):
        """Settings of ``response_headers``.

        A value may be a ``$variable``. If that has no value for a request, no header is added, and
        a header that it would have replaced is removed.
        """

        add_headers: list[HeaderEntry] = SettingsField(default_factory=list)
        """Headers to add, as ``Name: value``; existing headers with the same name are kept."""
        remove_headers: list[HeaderName] = SettingsField(default_factory=list)
        """Names of headers to remove, with all their values."""
        set_headers: list[HeaderEntry] = SettingsField(default_factory=list)
        """Headers to set, as ``Name: value``; they replace all existing values."""
        set_headers_not_exists: list[HeaderEntry] = SettingsField(default_factory=list)
        """Headers to set, as ``Name: value``, unless one with the same name exists."""
        rename_headers: list[Renaming] = SettingsField(default_factory=list)
        """Headers to rename, as ``old: new``, with all their values."""
        mode: Literal["response", "upstream"] = "response"
        """When: ``response`` for every response, before it is sent; ``upstream`` for responses of
        upstreams only, before a cache could store them."""

    def __init__(self, settings: Settings) -> None:
        sets = {entry.name.lower(): entry for entry in settings.set_headers}
        dropped = {name.lower() for name in settings.remove_headers} | sets.keys()
        added = [one for one in settings.add_headers if one.name.lower() not in dropped]
        self._dropped = tuple(name.encode("ascii") for name in dropped)
        self._added = [*added, *sets.values()]
        constants = [entry.constant for entry in self._added if entry.constant is not None]
        if len(constants) < len(self._added):
            constants = []  # there is a variable: adding one by one keeps the order
        else:
            self._added = []
        self._constants = constants
        self._defaults = settings.set_headers_not_exists
        self._renamed = [_renaming(text) for text in settings.rename_headers]
        self._phase = "upstream_response" if settings.mode == "upstream" else "response"

    def active_phases(self) -> tuple[str, ...]:
        """Take part only in the phase of ``mode``."""
        return (self._phase,)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Change the headers."""
        headers = response.headers
        for key in self._dropped:
            headers.discard(key)
        for prepared in self._constants:
            headers.append(prepared)
        for entry in self._added:
            entry.add(headers, request, ctx)
        for entry in self._defaults:
            if entry.name not in headers:
                entry.add(headers, request, ctx)
        for old, (key, line) in self._renamed:
            headers.fields = [
                (key, line + one[len(old) + 2 :]) if known == old else (known, one)
                for known, one in headers.fields
            ]

    upstream_response = response
