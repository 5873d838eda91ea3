"""Tags of plugins for the access log: ``{:<plugin>.<tag>}``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from pingap.context import RequestContext
from pingap.messages import Request, Response
from pingap.observability.access_log import escape

if TYPE_CHECKING:
    from pingap.plugin import Plugin

log = logging.getLogger("pingap")

LogTag: TypeAlias = Callable[[Request, Response | None, RequestContext], str | None]
"""Makes the text of an access log tag for a request that ended; None or empty if there is none."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
FAILED: Final = "-"
"""What stands in the line if a tag fails."""


def tags_of(instance: str, plugin: Plugin) -> dict[str, LogTag]:
    """Return the tags of an instance under the names they have in a format.

    :raises ValueError: a name that cannot stand there.
    """
    found = {}
    for name, function in plugin.log_tags().items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"log tag {name!r}: a name has letters, digits, _ and - only")
        found[f"{instance}.{name}"] = _guarded(f"{instance}.{name}", function)
    return found


def _guarded(name: str, function: LogTag) -> LogTag:
    """Return a tag that never raises: a line is written whatever plugins do."""
    told = False

    def tag(request: Request, response: Response | None, ctx: RequestContext) -> str:
        nonlocal told
        try:
            return escape(function(request, response, ctx) or "")
        except Exception:
            if not told:  # once: it would be told for every request
                told = True
                log.exception("log tag {:%s} failed, location %s", name, ctx.location)
            return FAILED

    return tag
