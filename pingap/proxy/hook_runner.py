"""Running the chain of a phase: sync plugins are called, async ones get a task.

Each function returns at once if all plugins are sync, and otherwise an awaitable for the rest. A coroutine
for every phase of every request would cost more than most plugins.

A plugin fails closed: any exception (including ``SystemExit`` and ``CancelledError``), except a deliberate
answer, and a timeout become a ``PluginError`` that names the instance and the phase. With ``fail_open``, it
is only reported, and the request continues without the plugin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from pingap.http.attempts import Retry
from pingap.http.body_filters import AnyBodyFilter, AsyncBodyFilter, BodyFilter
from pingap.http.errors import ClientGone, HTTPError, PluginError
from pingap.http.outcome import RequestOutcome
from pingap.http.response import Response
from pingap.plugins.chains import Chain, Owner
from pingap.plugins.file_body import FileBody
from pingap.proxy.async_hooks import Outcome
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, stage_of
from pingap.proxy.filter_stages import Stage

Answers: TypeAlias = tuple[type, ...]
_RESCUES: Final = (Response, Retry)
_RETRYING: Final = ("upstream_error", "upstream_response")
_FILTERS: Final = (BodyFilter, AsyncBodyFilter)


def call_all(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> Awaitable[None] | None:
    """Call every plugin of a phase.

    :returns: None, or an awaitable if a plugin is async.
    :raises PluginError: a plugin failed; the remaining ones were not called.
    """
    for step in chain:
        call, owner = step
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except BaseException as error:
            _failed(x, owner, phase, error)
            continue
        if answer is not None:
            outcome = x.begin(answer, owner.timeout)
            return _await_all(x, chain[chain.index(step) :], phase, outcome, arguments)
    return None


async def _await_all(
    x: Exchange, chain: Chain, phase: str, outcome: Outcome, arguments: tuple[Any, ...]
) -> None:
    await _result(x, outcome, chain[0][1], phase)
    if (rest := call_all(x, chain[1:], phase, *arguments)) is not None:
        await rest


def call_first(
    x: Exchange, chain: Chain, phase: str, *arguments: Any
) -> Response | Awaitable[Response | None] | None:
    """Call the plugins of a phase until one answers.

    :returns: the response, None if no plugin answered, or an awaitable for it.
    :raises PluginError: a plugin failed, or returned something other than a response.
    """
    for step in chain:
        call, owner = step
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except BaseException as error:
            _failed(x, owner, phase, error)
            continue
        if answer is not None:
            if not isinstance(answer, Response) and type(answer) is not Retry:
                outcome = x.begin(answer, owner.timeout)
                return _await_first(x, chain[chain.index(step) :], phase, outcome, arguments)
            if type(answer) is Retry and (misfit := _misfit(answer, _answers(phase))):
                _failed(x, owner, phase, misfit)
                continue
            x.answered_by = owner.name
            if isinstance(answer, Response) and (answer.sent or type(answer.body) is not bytes):
                answer = _prepared(x, answer)
            return answer  # type: ignore[no-any-return]
    return None


def _prepared(x: Exchange, response: Response) -> Response:
    """Return the response of a plugin in a form that can be sent; its open files are closed at the end."""
    if response.sent:
        response = response.copy()  # the original has already been sent
    if isinstance(response.body, FileBody):
        x.files = (*x.files, response.body)
    return response


def _close_file(answer: object) -> None:
    """Close the resources of an answer that came after the client had disconnected."""
    if isinstance(answer, Response) and isinstance(answer.body, FileBody):
        answer.body.close()


def _answers(phase: str) -> Answers:
    """Return the classes that a plugin may return in a phase."""
    return _RESCUES if phase in _RETRYING else (Response,)


async def _await_first(
    x: Exchange, chain: Chain, phase: str, outcome: Outcome, arguments: tuple[Any, ...]
) -> Response | None:
    outcome.discard = _close_file
    result = await _result(x, outcome, chain[0][1], phase, _answers(phase))
    if result is not None:
        x.answered_by = chain[0][1].name
        return _prepared(x, result) if isinstance(result, Response) else result
    result = call_first(x, chain[1:], phase, *arguments)
    if result is not None and not isinstance(result, _RESCUES):
        result = await result
    return result


async def ask_filters(x: Exchange, chain: Chain, phase: str, *arguments: Any) -> Filters:
    """Ask every plugin of a phase for a body filter; record that each must get its end.

    :raises PluginError: a plugin failed, or returned something other than a filter.
    """
    filters: list[Stage] = []

    def keep(answer: AnyBodyFilter, owner: Owner) -> None:
        stage = stage_of(x, answer, owner)
        filters.append(stage)
        if x.filters:
            x.filters.append(stage)
        else:
            x.filters = [stage]
            x.ctx._exchange = x

    await ask_plugins(x, chain, phase, _FILTERS, keep, *arguments)
    return filters


async def ask_plugins(
    x: Exchange,
    chain: Chain,
    phase: str,
    expected: Answers,
    keep: Callable[[Any, Owner], None],
    *arguments: Any,
) -> None:
    """Ask every plugin of a phase for an object.

    :param expected: the valid classes.
    :param keep: called with each object immediately, and its owner.
    :raises PluginError: a plugin failed, or returned something else; the remaining ones were not called.
    """
    for call, owner in chain:
        try:
            answer = call(*arguments)
        except (HTTPError, ClientGone):
            raise
        except BaseException as error:
            _failed(x, owner, phase, error)
            continue
        if answer is not None and not isinstance(answer, expected):
            outcome = x.begin(answer, owner.timeout)
            outcome.discard = partial(_keep_late, expected, keep, owner)
            answer = await _result(x, outcome, owner, phase, expected)
        if answer is not None:
            keep(answer, owner)


def _keep_late(
    expected: Answers, keep: Callable[[Any, Owner], None], owner: Owner, answer: object
) -> None:
    """Keep an object that came after the client had disconnected, so that it is notified of the end."""
    if isinstance(answer, expected):
        keep(answer, owner)


async def abandon_filters(x: Exchange) -> None:
    """Notify filters whose body is incomplete, after their calls in progress have ended."""
    for relay in (x.request_body, x.response_body):
        if relay is not None:
            relay.stop()
    filters, x.filters = x.filters, []
    pending = [stage.stop() for stage in filters]
    outcome = x.ctx.outcome or RequestOutcome.BROKEN_OFF
    for stage, call in zip(filters, pending, strict=True):
        if call is not None:
            await x.outlast(call)
        try:
            stage.abandon(outcome)
        except BaseException as error:  # including CancelledError, see the module
            failure = PluginError(stage.owner.name, "body filter")
            failure.__cause__ = error
            x.server.report(x, failure)


async def _result(
    x: Exchange, outcome: Outcome, owner: Owner, phase: str, expected: Answers = ()
) -> Any:
    """Return the result of an async plugin, or handle its failure."""
    try:
        value = await x.finish(outcome)
    except (HTTPError, ClientGone):
        raise
    except Exception as error:
        _failed(x, owner, phase, error)
        return None
    if value is not None and expected and (misfit := _misfit(value, expected)):
        _failed(x, owner, phase, misfit)
        return None
    return value


def _misfit(result: object, expected: Answers) -> TypeError | None:
    if isinstance(result, expected):
        return None
    wanted = ", ".join(one.__name__ for one in expected)
    return TypeError(f"expected {wanted} or None, got {type(result).__name__}")


def _failed(x: Exchange, owner: Owner, phase: str, error: BaseException) -> None:
    """Handle the failure of a plugin.

    :raises PluginError: it fails closed.
    """
    failure = PluginError(owner.name, phase, owner.places.get(phase, ""))
    failure.__cause__ = error  # mypyc ignores ``from``
    if not owner.fail_open:
        raise failure
    x.server.report(x, failure)
