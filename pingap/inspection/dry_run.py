"""Runs the predictable plugins of a location on a request that nobody sent."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Final

from pingap.build.runtime import Runtime
from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import HTTPError
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.counters import WorkerStats
from pingap.proxy.matching import Captures
from pingap.proxy.runtime import LocationRuntime

_PHASES: Final = ("early_request", "request", "proxy_upstream")


@dataclass(slots=True)
class Outcome:
    """What the plugins of a location make of a request, as far as it is known.

    :param target: the path and query that the upstream gets.
    :param answer: status, and the plugin that answers; empty if the request gets to the upstream.
    :param upstream: its name; empty if there is none, or it is not known.
    """

    target: str = ""
    answer: str = ""
    upstream: str = ""


def dry_run(
    runtime: Runtime, server: str, location: LocationRuntime, captures: Captures, request: Request
) -> Outcome:
    """Call the plugins that are predictable; all others are taken to let the request pass unchanged.

    :param request: its path is as locations are matched; it is changed.
    """
    plugins = {one.name: one.plugin for one in runtime.plugins}
    client = Connection(1, ("127.0.0.1", 0), ("127.0.0.1", 0), server=server, stats=WorkerStats({}))
    ctx = RequestContext(client, began_at=0.0)
    ctx.captures = dict(captures)
    outcome = Outcome()
    try:
        for phase in _PHASES:
            for call, owner in getattr(location.chains, phase):
                if owner.name in plugins and plugins[owner.name].predictable:
                    answer = call(request, ctx)
                    if answer is not None:
                        outcome.answer = f"{_status(answer)} of the plugin {owner.name}"
                        return outcome
        if location.upstream:
            outcome.upstream = location.choose_upstream(ctx).name
            outcome.target = request.target
    except HTTPError as error:
        outcome.answer = f"{error.status}: {error}"
    except Exception as error:  # of a plugin, which may need what only a server has
        outcome.answer = f"unknown: {type(error).__name__} in a plugin"
    return outcome


def _status(answer: object) -> str:
    if inspect.iscoroutine(answer):
        answer.close()
    if not isinstance(answer, Response):
        return "answer"
    target = answer.headers.get("Location")
    return f"{answer.status} to {target}" if target else str(answer.status)
