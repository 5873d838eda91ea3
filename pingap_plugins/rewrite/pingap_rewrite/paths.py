"""The location key ``rewrite``: the path that upstreams, and later plugins, get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import field_validator

from pingap import (
    ConfigTable,
    HTTPError,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    hookimpl,
)
from pingap_rewrite.rule import DotSegmentError, Rule, bare_names

_GROUP: Final = re.compile(r"\(\?P?<(\w+)>")


class Rewrite(Plugin):
    """Rewrites the path of requests, and the query if the replacement has one.

    The first match of the regular expression in the normalised path is replaced. It runs before the plugins of the
    location's list.
    """

    category = "rewrite"
    predictable = True

    class Settings(PluginSettings):
        """The key."""

        rewrite: str
        """`REGEX REPLACEMENT`: the first match in the path is replaced. `$1`, `$name` and `${name}` stand for groups
        of the expression, and for named groups of the location's `path` and `host`. One word without `$` is an
        expression whose match is removed; one with `$` replaces the whole path."""

        @field_validator("rewrite")
        @classmethod
        def _check(cls, text: str) -> str:
            Rule(text)
            return text

    def __init__(self, settings: Settings, table: ConfigTable) -> None:
        values = table.values
        self._captured = _GROUP.findall(f"{values.get('path', '')} {values.get('host', '')}")
        self._rule = Rule(settings.rewrite)
        try:
            self._rule.check(self._captured)
        except ValueError as error:
            raise ValueError(f"rewrite: {error}") from None

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Return no classes: the class only serves the key."""
        return ()

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Claim ``rewrite``."""
        return {"rewrite": cls}

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Yield names without ``$``, and slashes that double."""
        for name in bare_names(self._rule, self._captured):
            yield (
                "rewrite",
                f'"{name}" is literal text here, although it is the name of a group',
                f"write ${name} for the text of the group",
            )

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Rewrite the target, and add the named groups to those of the location.

        :raises HTTPError: 400, the new path would have a dot segment.
        """
        # Of several readings of a path, the last one has kept its escapes ("allow_in_paths").
        path = request.other_paths[-1] if request.other_paths else request.path
        if not path.startswith("/"):  # "OPTIONS *"
            return
        try:
            rewritten = self._rule.apply(path, ctx.captures)
        except DotSegmentError:
            raise HTTPError(400, "The path is invalid where it would be forwarded to") from None
        if rewritten is None:
            return
        if rewritten.groups:
            ctx.captures = {**ctx.captures, **rewritten.groups}
        query = rewritten.query_with(request.query)
        if rewritten.path != path:
            request.rewrite(rewritten.path, query)
        elif query != request.query:
            request.replace_query(query)
