# mypy: disable-error-code="empty-body"
"""Every hook of pingap: what a plugin may implement.

Phases (first part) concern one request and are methods of a plugin class; they run per location,
in the order of the location's ``plugins``. Application hooks (second part, prefix ``pingap_``)
concern the process and belong to a distribution; they run in the order of installation names.

All phases have in common:

- An implementation takes only the arguments it names.
- It may be ``async``. A sync one is a plain call; an async one costs a task.
- It may raise :class:`pingap.HTTPError` to answer with that status.
- Any other exception answers 500, is counted and logged with the plugin instance and the location;
  the client learns nothing of it. ``logging`` runs whatever happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pingap.http.body_filters import AsyncBodyFilter, BodyFilter
    from pingap.http.context import RequestContext
    from pingap.http.messages import Request, Response
    from pingap.plugins.balancer import BalancerFactory
    from pingap.plugins.base import Plugin
    from pingap.plugins.discovery import Discovery

CONTRACT = (1, 0)
"""The version of this contract. A new hook or argument is a new minor version; the major version
changes when one goes, after it was deprecated (``pingap.plugins.api_version``)."""

hookspec = pluggy.HookspecMarker("pingap")
hookimpl = pluggy.HookimplMarker("pingap")


# Phases, in the order in which they run.


@hookspec
def early_request(request: Request, ctx: RequestContext) -> None:
    """Look at a request right after its location was found, before anything else is done.

    Runs once per request, every plugin of the location in listed order. It cannot answer; it
    prepares what later phases use.

    :param request: the head as received; headers may be changed in place.
    :param ctx: the state of this request, shared by all its phases.
    :raises Exception: ends the request with 500; the ``request`` phase does not run.

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def request(request: Request, ctx: RequestContext) -> Response | None:
    """Look at a request before caches and upstreams; answer it, or let it go on.

    Runs once per request, in listed order, until a plugin answers. Refusing, redirecting,
    rewriting and answering locally belong here.

    :param request: the head; headers may be changed in place, ``request.rewrite`` changes the target.
    :param ctx: the state of this request; ``ctx.upstream`` may be set to choose another upstream.
    :returns: a response to send at once, or None to go on. The first response wins.
    :raises Exception: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def proxy_upstream(request: Request, ctx: RequestContext) -> Response | None:
    """Look at a request that is about to be sent to an upstream.

    Runs as ``request`` does and after it, only if an upstream will be used: a request answered
    by a plugin or from a cache never gets here.

    :param request: the head; changes reach the upstream.
    :param ctx: the state of this request; ``ctx.upstream`` may be set to choose another upstream.
    :returns: a response to send at once, or None to go on. The first response wins.
    :raises Exception: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec
def request_body(request: Request, ctx: RequestContext) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to see or rewrite the body of a request on its way to the upstream.

    Runs after ``proxy_upstream``, once per request that has a body, in listed order. The filters
    are applied in that order: each gets what the one before returned. With no filter the body
    passes unseen.

    :param request: the head, as it will be sent.
    :param ctx: the state of this request.
    :returns: a filter for this one body, or None. Exactly one of its ``end`` and, if the body stays
        incomplete, ``abandoned`` is called.
    :raises Exception: here or in the filter: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec
def upstream_response(request: Request, response: Response, ctx: RequestContext) -> Response | None:
    """Look at the head of an upstream's response, before it could be stored in a cache.

    Runs once per response of an upstream, every plugin in listed order.

    :param request: the head that was sent.
    :param response: status and headers as received; may be changed in place.
    :param ctx: the state of this request, with the facts of the upstream.
    :returns: None, or a response that takes its place. The body of the upstream is then dropped
        and later plugins see the new response.
    :raises Exception: ends the request with 500; the upstream's response is dropped.

    .. versionadded:: 0.1
    """


@hookspec
def upstream_response_body(
    request: Request, response: Response, ctx: RequestContext
) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to see or rewrite the body of an upstream's response.

    Runs after ``upstream_response``, in listed order, and not for responses that have no body.
    These filters come before those of ``response_body``.

    :param request: the head that was sent.
    :param response: the head as it stands.
    :param ctx: the state of this request.
    :returns: a filter for this one body, or None. Exactly one of its ``end`` and, if the body stays
        incomplete, ``abandoned`` is called.
    :raises Exception: here: ends the request with 500. In the filter: the answer is cut, never
        completed falsely.

    .. versionadded:: 0.1
    """


@hookspec
def response(request: Request, response: Response, ctx: RequestContext) -> None:
    """Look at a response before it is sent, whoever made it.

    Runs once per request, every plugin in listed order, for responses of upstreams, of plugins
    and for error pages.

    :param request: the head.
    :param response: status and headers; may be changed in place. Framing is not here: the proxy
        writes ``Content-Length``, ``Transfer-Encoding`` and ``Connection`` itself.
    :param ctx: the state of this request.
    :raises Exception: ends the request with 500 instead of this response.

    .. versionadded:: 0.1
    """


@hookspec
def response_body(
    request: Request, response: Response, ctx: RequestContext
) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to see or rewrite the body of a response on its way to the client.

    Runs after ``response``, in listed order, and not for responses that have no body.

    :param request: the head.
    :param response: the head as it will be sent.
    :param ctx: the state of this request.
    :returns: a filter for this one body, or None. Exactly one of its ``end`` and, if the body stays
        incomplete, ``abandoned`` is called.
    :raises Exception: here: ends the request with 500. In the filter: the answer is cut, never
        completed falsely.

    .. versionadded:: 0.1
    """


@hookspec
def logging(request: Request, response: Response | None, ctx: RequestContext) -> None:
    """Take note of a request that ended, well or badly.

    Runs once per request that matched a location, after the last byte, also after errors and when
    the client left. Changes nothing. Must be quick: the next request of the connection waits.

    :param request: the head as it was after all phases.
    :param response: the head that was sent, or None if none was.
    :param ctx: the final state of this request: ``outcome`` says whether the client received the whole
        response, ``error`` what went wrong.
    :raises Exception: counted and logged; the other plugins still run.

    .. versionadded:: 0.1
    """


# Application hooks.


@hookspec
def pingap_plugin_categories() -> Sequence[type[Plugin]]:
    """Name the plugin classes of a distribution, one for each category.

    Called once, when the configuration first names a category of the distribution. A plugin class
    that is itself the target of an entry point has an implementation that names the class.

    :returns: the classes.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_location_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[locations.<name>]`` that belong to the distribution.

    A location that has such a key gets an unnamed instance of the class, in front of the plugins
    it lists; the key's value is the only setting, under the key's own name. The distribution
    declares each key as an entry point named ``location:<key>``.

    Called once, when the configuration first uses a key of the distribution.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_balancers() -> Mapping[str, BalancerFactory]:
    """Name ways of choosing a peer of an upstream: what ``algo`` may say.

    The word is what stands in front of the first colon of ``algo``, and the factory gets what
    stands behind it. The distribution declares each word as an entry point named
    ``balancer:<word>``; the plugin class of a file (``category = "python"``) has it as a class method.

    Called once, when an upstream first uses a word of the distribution. The factory is called when
    an upstream is built, in every process, and again when its peers change.

    :returns: word -> ``factory(peers, options)``, which returns a :class:`pingap.Balancer`. A
        ``ValueError`` that it raises is a configuration error of ``algo``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_discoveries() -> Sequence[type[Discovery]]:
    """Name the kinds of discovery of a distribution, one for each word of ``upstreams.*.discovery``.

    The distribution declares each as an entry point named ``discovery:<word>``. A class that is
    itself the target of an entry point has an implementation that names the class.

    Called once, when the configuration first uses a word of the distribution.

    :returns: the classes.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
async def pingap_startup() -> None:
    """Prepare the process, before a listener accepts.

    Called once per worker for each distribution that the configuration uses.

    :raises Exception: ends the start with an error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
async def pingap_shutdown() -> None:
    """Clean up, after the last request ended.

    Called once per worker for each distribution whose ``pingap_startup`` was due, also when the
    start failed later.

    :raises Exception: logged; the other distributions are still called.

    .. versionadded:: 0.1
    """


PHASES = (
    "early_request",
    "request",
    "proxy_upstream",
    "request_body",
    "upstream_response",
    "upstream_response_body",
    "response",
    "response_body",
    "logging",
)
"""Names of the phases, in the order in which they run."""

APPLICATION_HOOKS = (
    "pingap_plugin_categories",
    "pingap_location_keys",
    "pingap_balancers",
    "pingap_discoveries",
    "pingap_startup",
    "pingap_shutdown",
)
"""Names of the application hooks."""
