"""Tags of plugins for the access log: ``{:<plugin>.<tag>}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pingap.http.context import RequestContext
from pingap.http.errors import PluginError
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.access_log import LogTag
from pingap.plugins.checks import place_of_function

if TYPE_CHECKING:
    from pingap.observability.plugin_failures import PluginFailures
    from pingap.plugins.base import Plugin

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
FAILED: Final = "-"
"""The text in the line if a tag fails."""


def tags_of(instance: str, plugin: Plugin, failures: PluginFailures) -> dict[str, LogTag]:
    """Return the tags of an instance under the names they have in a format.

    :param failures: where a tag that raises is reported.
    :raises ValueError: an invalid name.
    """
    found = {}
    for name, function in plugin.log_tags().items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"log tag {name!r}: a name has letters, digits, _ and - only")
        found[f"{instance}.{name}"] = _guarded(instance, function, failures)
    return found


def _guarded(instance: str, function: LogTag, failures: PluginFailures) -> LogTag:
    """Return a tag that never raises: a line is written even if plugins fail."""

    def tag(request: Request, response: Response | None, ctx: RequestContext) -> str:
        try:
            return _checked(function(request, response, ctx))
        except BaseException as error:
            failure = PluginError(instance, "log_tags", place_of_function(function))
            failure.__cause__ = error
            failures.report(failure, ctx.location, request, ctx)
            return FAILED

    return tag


def _checked(text: object) -> str:
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a log tag is text or None, not {text!r:.40}")
    return text or ""
