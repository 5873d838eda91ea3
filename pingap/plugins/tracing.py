"""Logs each call of a phase with its duration, for debugging plugins.

Enabled by ``PINGAP_TRACE_HOOKS=1``. Chains are wrapped when they are built, so it costs nothing while
it is off. Calls of body filters are not logged, only the call that returns the filter.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from typing import Any

from pingap.http.response import Response
from pingap.plugins.chains import Call, Chains

log = logging.getLogger("pingap.hooks")

VARIABLE = "PINGAP_TRACE_HOOKS"


def is_on() -> bool:
    """Return whether the environment enables it."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def traced(chains: Chains, location: str) -> Chains:
    """Return chains whose calls are written to the application log, regardless of its level."""
    log.setLevel(logging.INFO)
    return chains.wrapped(
        lambda call, owner, phase: _wrap(call, f"location {location}, plugin {owner.name}, {phase}")
    )


def _wrap(call: Call, what: str) -> Call:
    @functools.wraps(call)
    def wrapper(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = call(*arguments)
        except BaseException as error:
            _tell(what, began, f"raised {type(error).__name__}")
            raise
        if inspect.isawaitable(answer):
            return _awaited(answer, what, began)
        _tell(what, began, _words(answer))
        return answer

    return wrapper


async def _awaited(answer: Any, what: str, began: float) -> Any:
    try:
        result = await answer
    except BaseException as error:  # a cancelled call is logged as well
        _tell(what, began, f"raised {type(error).__name__}")
        raise
    _tell(what, began, _words(result))
    return result


def _words(answer: object) -> str:
    if answer is None:
        return ""
    return f"answered {answer.status}" if isinstance(answer, Response) else type(answer).__name__


def _tell(what: str, began: float, outcome: str) -> None:
    microseconds = (time.perf_counter() - began) * 1e6
    log.info("%s: %.0f us%s", what, microseconds, f", {outcome}" if outcome else "")
