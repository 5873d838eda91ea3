"""Running the chain of a phase: sync plugins are called, async ones get a task.

Each function returns at once if all plugins are sync, and otherwise something to await for the
rest. (A coroutine for every phase of every request would cost more than most plugins.)

A plugin fails closed: whatever it raises, other than an answer on purpose, becomes a
``PluginError`` that names the instance and the phase.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from pingap.chains import Chain
from pingap.errors import ClientGone, HTTPError, PluginError
from pingap.exchange import Exchange
from pingap.messages import BodyFilter, Response
from pingap.relay import Filters


def call_all(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> Awaitable[None] | None:
    """Call every plugin of a phase.

    :returns: None, or what must be awaited because a plugin is async.
    :raises PluginError: a plugin raised; the ones after it were not called.
    """
    for step in chain:
        call, plugin = step
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error
        if answer is not None:
            return _await_all(x, chain[chain.index(step) :], phase, answer, arguments)
    return None


async def _await_all(
    x: Exchange, chain: Chain, phase: str, answer: Any, arguments: tuple[Any, ...]
) -> None:
    await _result(x, answer, chain[0][1], phase)
    if (rest := call_all(x, chain[1:], phase, *arguments)) is not None:
        await rest


def call_first(
    x: Exchange, chain: Chain, phase: str, *arguments: Any
) -> Response | Awaitable[Response | None] | None:
    """Call the plugins of a phase until one answers.

    :returns: the response, None if no plugin answered, or what must be awaited to know.
    :raises PluginError: a plugin raised, or answered something that is not a response.
    """
    for step in chain:
        call, plugin = step
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error
        if answer is not None:
            if isinstance(answer, Response):
                x.answered_by = plugin
                return answer
            return _await_first(x, chain[chain.index(step) :], phase, answer, arguments)
    return None


async def _await_first(
    x: Exchange, chain: Chain, phase: str, answer: Any, arguments: tuple[Any, ...]
) -> Response | None:
    result = await _result(x, answer, chain[0][1], phase, Response)
    x.answered_by = chain[0][1]
    if result is None:
        result = call_first(x, chain[1:], phase, *arguments)
        if result is not None and not isinstance(result, Response):
            result = await result
    return result  # type: ignore[no-any-return]  # _result checked it


async def ask_filters(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> Filters:
    """Ask every plugin of a phase for a body filter.

    :raises PluginError: a plugin raised, or answered something that is not a filter.
    """
    filters: list[tuple[BodyFilter, str]] = []
    for call, plugin in chain:
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error
        if answer is not None and not isinstance(answer, BodyFilter):
            answer = await _result(x, answer, plugin, phase, BodyFilter)
        if answer is not None:
            filters.append((answer, plugin))
    return tuple(filters)


async def _result(
    x: Exchange, answer: Any, plugin: str, phase: str, expected: type | None = None
) -> Any:
    """Await what an async plugin returned, and check what comes of it."""
    try:
        result = await x.in_task(answer)
        if result is not None and expected is not None:
            _require(result, expected)
    except (HTTPError, ClientGone):
        raise
    except Exception as error:
        raise PluginError(plugin, phase) from error
    return result


def _require(result: object, expected: type) -> None:
    if not isinstance(result, expected):
        raise TypeError(f"expected {expected.__name__} or None, got {type(result).__name__}")
