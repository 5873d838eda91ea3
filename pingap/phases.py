"""Running the chain of a phase: sync plugins are called, async ones get a task.

A plugin fails closed: whatever it raises, other than an answer on purpose, becomes a
``PluginError`` that names the instance and the phase.
"""

from __future__ import annotations

from typing import Any

from pingap.chains import Chain
from pingap.errors import ClientGone, HTTPError, PluginError
from pingap.exchange import Exchange
from pingap.messages import BodyFilter, Response


async def run_all(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> None:
    """Call every plugin of a phase.

    :raises PluginError: a plugin raised; the ones after it were not called.
    """
    for call, plugin in chain:
        try:
            answer = call(*arguments)
            if answer is not None:
                await x.in_task(answer)
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error


async def run_first(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> Response | None:
    """Call the plugins of a phase until one answers.

    :raises PluginError: a plugin raised, or answered something that is not a response.
    """
    for call, plugin in chain:
        try:
            answer = call(*arguments)
            if answer is None:
                continue
            if not isinstance(answer, Response):
                answer = await x.in_task(answer)
                if answer is None:
                    continue
                _require(answer, Response)
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error
        else:
            return answer  # type: ignore[no-any-return]  # checked above
    return None


async def run_filters(
    x: Exchange, chain: Chain, phase: str, *arguments: Any
) -> tuple[tuple[BodyFilter, str], ...]:
    """Ask every plugin of a phase for a body filter.

    :raises PluginError: a plugin raised, or answered something that is not a filter.
    """
    filters: list[tuple[BodyFilter, str]] = []
    for call, plugin in chain:
        try:
            answer = call(*arguments)
            if answer is not None and not isinstance(answer, BodyFilter):
                answer = await x.in_task(answer)
            if answer is not None:
                _require(answer, BodyFilter)
                filters.append((answer, plugin))
        except (HTTPError, ClientGone):
            raise
        except Exception as error:
            raise PluginError(plugin, phase) from error
    return tuple(filters)


def _require(answer: object, expected: type) -> None:
    if not isinstance(answer, expected):
        raise TypeError(f"expected a {expected.__name__} or None, got {type(answer).__name__}")
