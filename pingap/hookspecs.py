# mypy: disable-error-code="empty-body"
"""All hooks that a plugin can implement.

Phases (first part) handle one request and are methods of a plugin class. They run per location, in
the order of the location's ``plugins``. A server can list plugins as well (``servers.*.plugins``):
their methods for ``SERVER_PHASES`` run for all requests of the server, even if no location matches,
and their other methods run in each of its locations, before the location's own plugins. Application
hooks (second part, prefix ``pingap_``) concern the process and belong to a distribution. They run
in the order of distribution names. Those in ``INSTANCE_HOOKS`` can also be methods of a plugin
class and then run for each of its instances.

The following applies to all phases:

- An implementation takes only the arguments that it names.
- It can be ``async``. A sync one is a plain call; an async one costs a task.
- A sync one can return an awaitable instead of its result, for the rare request that has to wait; it
  is then handled like an async one, while all other requests remain plain calls.
- It can raise :class:`pingap.HTTPError` to answer with that status.
- Any other exception results in a 500. It is counted, and logged with the plugin instance and the
  location; the client gets no details. ``logging`` runs in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from pingap.config.formats.interface import ConfigFormat
    from pingap.config.storage.interface import StorageFactory
    from pingap.config.view import ConfigView
    from pingap.http.attempts import Retry, UpstreamAttempt
    from pingap.http.body_filters import AsyncBodyFilter, BodyFilter
    from pingap.http.client_connection import ClientConnection
    from pingap.http.context import RequestContext
    from pingap.http.context_keys import ContextKey
    from pingap.http.errors import HTTPError
    from pingap.http.headers import Headers
    from pingap.http.request import Request
    from pingap.http.response import Response
    from pingap.observability.failures import Failure
    from pingap.observability.log_outputs import LogTargetFactory
    from pingap.observability.notifications import Notification
    from pingap.plugins.balancer import BalancerFactory
    from pingap.plugins.base import Plugin
    from pingap.plugins.certificate_source import CertificateSource
    from pingap.plugins.discovery import Discovery
    from pingap.plugins.peer import Peer
    from pingap.plugins.websocket_filter import WebSocketFilter

CONTRACT = (1, 1)
"""The version of this contract. A new hook or argument is a new minor version; the major version
changes when one goes, after it was deprecated (``pingap.plugins.api_version``)."""

hookspec = pluggy.HookspecMarker("pingap")
hookimpl = pluggy.HookimplMarker("pingap")
MARK = f"{hookimpl.project_name}_impl"
"""The attribute that ``hookimpl`` gives a function."""


# Phases, in the order in which they run.


@hookspec(firstresult=True)
def server_request(request: Request, ctx: RequestContext) -> Response | None:
    """Inspect a request of the server before a location is chosen; answer it or let it continue.

    Runs once per request, for the plugins of the server, until a plugin answers. Use it for
    responses that must work on every host and path, such as tokens for a certificate authority, a
    metrics page or a ban.

    :param request: the head as received. Headers can be changed in place; ``request.rewrite``
        changes the target, which then also decides the location.
    :param ctx: the state of this request; ``ctx.location`` is empty.
    :returns: a response to send at once, or None to continue. The first response wins, and no phase
        of a location runs for that request.
    :raises Exception: ends the request with 500.

    .. versionadded:: 1.1
    """


@hookspec
def early_request(request: Request, ctx: RequestContext) -> None:
    """Inspect a request right after its location was found, before anything else is done.

    Runs once per request for every plugin of the location, in listed order. It cannot answer; it
    prepares values that later phases use.

    :param request: the head as received; headers can be changed in place.
    :param ctx: the state of this request, shared by all its phases.
    :raises Exception: ends the request with 500; the ``request`` phase does not run.

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def request(request: Request, ctx: RequestContext) -> Response | None:
    """Inspect a request before caches and upstreams; answer it or let it continue.

    Runs once per request, in listed order, until a plugin answers. Use it to refuse, redirect or
    rewrite a request, or to answer it locally.

    :param request: the head; headers can be changed in place, ``request.rewrite`` changes the
        target.
    :param ctx: the state of this request; set ``ctx.upstream`` to choose another upstream.
    :returns: a response to send at once, or None to continue. The first response wins.
    :raises Exception: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def proxy_upstream(request: Request, ctx: RequestContext) -> Response | None:
    """Inspect a request that is about to be sent to an upstream.

    Runs like ``request`` and after it, but only if an upstream will be used: not for requests that
    a plugin or a cache has answered.

    :param request: the head; changes reach the upstream.
    :param ctx: the state of this request; set ``ctx.upstream`` to choose another upstream.
    :returns: a response to send at once, or None to continue. The first response wins.
    :raises Exception: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec
def upstream_request(request: Request, headers: Headers, peer: Peer, ctx: RequestContext) -> None:
    """Change the header fields of one attempt to send the request to an upstream.

    Runs before each attempt for every plugin, in listed order, after the configured header changes.
    Use it for trace context and signatures, which differ from attempt to attempt.

    :param request: the head of the request; it can no longer be changed.
    :param headers: the fields of this attempt; can be changed in place.
    :param peer: the destination of the attempt.
    :param ctx: the state of this request; ``ctx.upstream_retries`` counts the previous attempts.
    :raises Exception: ends the request with 500; nothing is sent.

    .. versionadded:: 1.1
    """


@hookspec
def upstream_attempt(request: Request, attempt: UpstreamAttempt, ctx: RequestContext) -> None:
    """Record an attempt that has ended: a response head arrived, or the attempt failed.

    Runs once for each attempt and every plugin, in listed order, before pingap decides whether to
    make another one.

    :param request: the head of the request.
    :param attempt: the peer, times, status and error of the attempt.
    :param ctx: the state of this request.
    :raises Exception: ends the request with 500.

    .. versionadded:: 1.1
    """


@hookspec(firstresult=True)
def upstream_error(
    request: Request, error: HTTPError, ctx: RequestContext
) -> Response | Retry | None:
    """Answer in place of an upstream that gave no response, or ask for another attempt.

    Runs when no attempt is left, in listed order, until a plugin returns a result.

    :param request: the head of the request.
    :param error: the reason why there is no response, with the status that the client would get.
    :param ctx: the state of this request.
    :returns: a response to send, a :class:`pingap.Retry` to try again after a delay, or None to
        keep the error.
    :raises Exception: ends the request with 500.

    .. versionadded:: 1.1
    """


@hookspec
def request_body(request: Request, ctx: RequestContext) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to read or rewrite the body of a request on its way to the upstream.

    Runs after ``proxy_upstream``, once per request that has a body, in listed order. The filters
    are applied in that order: each gets the output of the previous one. Without a filter, the body
    passes unread.

    :param request: the head that will be sent.
    :param ctx: the state of this request.
    :returns: a filter for this body, or None. Exactly one of its methods ``end`` and ``abandoned``
        is called; ``abandoned`` if the body stays incomplete.
    :raises Exception: here or in the filter: ends the request with 500.

    .. versionadded:: 0.1
    """


@hookspec
def upstream_response(
    request: Request, response: Response, ctx: RequestContext
) -> Response | Retry | None:
    """Inspect the head of an upstream's response, before it could be stored in a cache.

    Runs once per response of an upstream for every plugin, in listed order.

    :param request: the head that was sent.
    :param response: status and headers as received; can be changed in place.
    :param ctx: the state of this request, with the properties of the upstream.
    :returns: None, or a response that replaces this one. The body of the upstream is then dropped,
        and later plugins see the new response, unless it is a ``Response.internal_redirect``. A :class:`pingap.Retry` drops it and sends the request
        again, unless it has a body; all plugins then see what comes (since 1.1).
    :raises Exception: ends the request with 500; the upstream's response is dropped.

    .. versionadded:: 0.1
    """


@hookspec
def upstream_response_body(
    request: Request, response: Response, ctx: RequestContext
) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to read or rewrite the body of an upstream's response.

    Runs after ``upstream_response``, in listed order, but not for responses without a body. These
    filters come before those of ``response_body``.

    :param request: the head that was sent.
    :param response: the current head.
    :param ctx: the state of this request.
    :returns: a filter for this body, or None. Exactly one of its methods ``end`` and ``abandoned``
        is called; ``abandoned`` if the body stays incomplete.
    :raises Exception: here: ends the request with 500. In the filter: the response is cut off and
        never looks complete; the client gets 500 if the head was not sent, because the body came
        at once, or is held (``hold_head``).

    .. versionadded:: 0.1
    """


@hookspec
def response(request: Request, response: Response, ctx: RequestContext) -> None:
    """Inspect a response before it is sent, from any source.

    Runs once per request for every plugin, in listed order: for responses of upstreams and of
    plugins, and for error pages. Body filters do not run for error pages, so a plugin that sets
    ``Content-Encoding`` must check ``ctx.error``.

    :param request: the head.
    :param response: status and headers; can be changed in place. Framing is not included: the proxy
        writes ``Content-Length``, ``Transfer-Encoding`` and ``Connection`` itself.
    :param ctx: the state of this request.
    :raises Exception: ends the request with 500 instead of this response.

    .. versionadded:: 0.1
    """


@hookspec
def response_body(
    request: Request, response: Response, ctx: RequestContext
) -> BodyFilter | AsyncBodyFilter | None:
    """Ask to read or rewrite the body of a response on its way to the client.

    Runs after ``response``, in listed order, but not for error pages and responses without a body.

    :param request: the head.
    :param response: the head that will be sent.
    :param ctx: the state of this request.
    :returns: a filter for this body, or None. Exactly one of its methods ``end`` and ``abandoned``
        is called; ``abandoned`` if the body stays incomplete.
    :raises Exception: here: ends the request with 500. In the filter: the response is cut off and
        never looks complete; the client gets 500 if the head was not sent, because the body came
        at once, or is held (``hold_head``).

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def error_page(request: Request, error: HTTPError, ctx: RequestContext) -> Response | None:
    """Make the response for an error, instead of the page of pingap.

    Runs for every error that is answered with a response, in listed order, until a plugin answers:
    first the plugins of the location, then those of the server. ``response`` runs for the result.

    :param request: the head. If the request could not be read, it has only the parts that are
        known.
    :param error: its status, message and headers.
    :param ctx: the state of this request.
    :returns: the response, or None to leave it to the next plugin and finally to the page of
        pingap.
    :raises Exception: counted and logged; the client gets the page of pingap.

    .. versionadded:: 1.1
    """


@hookspec
def websocket(request: Request, response: Response, ctx: RequestContext) -> WebSocketFilter | None:
    """Ask to read or change the messages of a WebSocket.

    Runs after ``response`` when an upstream has accepted a WebSocket, for clients of HTTP/1.1 and
    HTTP/2, in listed order. The filter of the plugin that is listed first is next to the client.
    Without a filter, the bytes of the WebSocket pass unread.

    A location with such a plugin offers upstreams no extension except permessage-deflate, which is
    decoded.

    :param request: the head that was sent.
    :param response: the head of the response, with ``Sec-WebSocket-Protocol`` if one was chosen.
    :param ctx: the state of this request.
    :returns: a filter for this WebSocket, or None. Its ``closed`` is called exactly once.
    :raises Exception: here: ends the request with 500. In the filter: both sides are closed with 1011.

    .. versionadded:: 1.1
    """


@hookspec
def logging(request: Request, response: Response | None, ctx: RequestContext) -> None:
    """Record a request that has ended, successfully or not.

    Runs once per request, after the last byte, and also after errors or if the client disconnects:
    for the plugins of the location, then for those of the server, even if no location matched.
    Changes have no effect. It must be quick: the next request of the connection waits.

    :param request: the head after all phases.
    :param response: the head that was sent, or None if none was.
    :param ctx: the final state of this request: ``outcome`` is whether the client received the
        whole response, ``error`` the cause if it did not.
    :raises Exception: counted and logged; the other plugins still run.

    .. versionadded:: 0.1
    """


# Application hooks.


@hookspec
def pingap_plugin_categories() -> Sequence[type[Plugin]]:
    """Return the plugin classes of a distribution, one for each category.

    Called once, when the configuration first names a category of the distribution. If an entry
    point refers to a plugin class directly, pingap provides an implementation that returns the
    class.

    :returns: the classes.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_location_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[locations.<name>]`` for the distribution.

    A location with such keys gets one unnamed instance of their class, before the plugins it lists.
    The keys are its settings, under their own names. The distribution declares each key as an entry
    point named ``location:<key>``. Keys that pingap itself supports cannot be claimed.

    Called once, when the configuration first uses a key of the distribution.

    :returns: key -> plugin class. An ``__init__`` with a parameter ``table`` gets the table as a
        :class:`pingap.ConfigTable`.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_server_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[servers.<name>]`` for the distribution.

    A server with such keys gets one unnamed instance of their class, before the plugins it lists.
    Everything else is as for ``pingap_location_keys``, with entry points named ``server:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_basic_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[basic]`` for the distribution.

    The process has one instance of the class. Its phases run for the requests of all servers,
    before the plugins of each server. Everything else is as for ``pingap_location_keys``, with
    entry points named ``basic:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_upstream_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[upstreams.<name>]`` for the distribution.

    An upstream with such keys gets one unnamed instance of their class. Its phases run for attempts
    at this upstream, after those of the location, even if a plugin has chosen the upstream with
    ``ctx.upstream``. They can be ``upstream_request``, ``upstream_attempt``, ``upstream_error`` and
    ``upstream_response``. Everything else is as for ``pingap_location_keys``, with entry points
    named ``upstream:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_certificate_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[certificates.<name>]`` for the distribution.

    A certificate with such keys gets one unnamed instance of their class. Its phases can be
    ``server_request``, ``error_page`` and ``logging``. They run for the requests of all servers,
    because a certificate authority may request its token anywhere. Everything else is as for
    ``pingap_location_keys``, with entry points named ``certificate:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_instances() -> Mapping[str, Mapping[str, object]]:
    """Return plugin instances that ``plugins`` can list without a table, in every configuration.

    The distribution declares each as an entry point named ``instance:<name>``, such as
    ``instance:pingap:compression``. The name contains a colon. An instance is built when a location
    or server lists it. An instance with the name of one of pingap's own replaces it.

    Called once, when the configuration first lists an instance of the distribution.

    :returns: name -> the keys of its table in ``[plugins]``, including ``category``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_balancers() -> Mapping[str, BalancerFactory]:
    """Return algorithms for choosing a peer of an upstream, which ``algo`` can name.

    The name is the part of ``algo`` before the first colon; the factory gets the part after it. The
    distribution declares each name as an entry point named ``balancer:<name>``. In a plugin file
    (``category = "python"``), the hook is a class method of the plugin class.

    Called once, when an upstream first uses a name of the distribution. The factory is called when
    an upstream is built, in every process, and again when its peers change.

    :returns: name -> ``factory(peers, options)``, which returns a :class:`pingap.Balancer`. A
        ``ValueError`` from it is a configuration error of ``algo``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_discoveries() -> Sequence[type[Discovery]]:
    """Return the kinds of discovery of a distribution, one per ``upstreams.*.discovery``.

    The distribution declares each as an entry point named ``discovery:<name>``. If an entry point
    refers to a class directly, pingap provides an implementation that returns the class.

    Called once, when the configuration first uses a name of the distribution.

    :returns: the classes.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_certificate_sources() -> Mapping[str, type[CertificateSource]]:
    """Claim keys of ``[certificates.<name>]`` whose class provides the certificate of the table.

    The keys of one class are the settings of one instance for each table. ``tls_cert`` and
    ``tls_key`` can be claimed, too, which replaces the source of pingap. In a table with keys of
    several sources, the first one that has a certificate is used. The distribution declares each
    key as an entry point named ``certificates:<key>``.

    Called once, when the configuration first uses a key of the distribution.

    :returns: key -> class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_listeners(config: ConfigView) -> Mapping[str, Mapping[str, object]]:
    """Return additional servers that a configuration needs, such as one on port 80 for tokens.

    Called in every process for each distribution that the configuration uses, whenever a
    configuration has been read. The result must depend on the configuration alone. The servers are
    checked, opened, reloaded and handed over like those in the configuration.

    :param config: the configuration that was read.
    :returns: name -> the keys of its table in ``[servers]``. A name begins with that of the
        distribution, without ``pingap-``, and a colon: ``acme:tokens``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_server_plugins(config: ConfigView) -> Mapping[str, Sequence[str]]:
    """Return plugins that servers of a configuration need, such as one that answers with tokens.

    Called as ``pingap_listeners`` is, and after it: ``config`` contains the servers that it added. The
    plugins run before those that a server lists, as if they were the first in its ``plugins``.

    :param config: the configuration that was read.
    :returns: name of a server -> names of plugins: of tables in ``[plugins]`` or of
        ``pingap_instances``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_context_keys() -> Sequence[ContextKey[Any]]:
    """Return keys of request values that operators can use in access logs and header values.

    A key called ``country`` is ``{:country}`` in an access log, and ``$country`` or ``:country``
    where header values can contain variables. Its value is a string, a number or a boolean;
    anything else, and text that a header cannot contain, counts as no value. The distribution
    declares each key as an entry point named ``context_key:<name>``, which refers to the module.

    Called when the configuration first uses something of the distribution; return the same keys
    each time.

    :returns: the keys. Their names consist of lower-case letters, digits and ``_``, and differ from
        pingap's variables and from the keys of other distributions.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_storages() -> Mapping[str, StorageFactory]:
    """Return places where configuration can be kept, which ``-c`` names before ``://``.

    The distribution declares each scheme as an entry point named ``storage:<scheme>``. Locations
    without a scheme are files, which the core handles.

    Called once, when ``-c`` first names a scheme of the distribution. The factory is called in every
    process, before the configuration is known.

    :returns: scheme -> ``factory(location)``, which returns a :class:`pingap.ConfigStorage`. A
        ``ValueError`` from it is an error of ``-c``.
    :raises Exception: an error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_formats() -> Mapping[str, ConfigFormat]:
    """Return formats in which configuration can be written.

    The distribution declares each file suffix as an entry point named ``format:<suffix>``, without
    the dot. Once it is installed, files with that suffix are read as well as TOML files, which the
    core reads.

    Called once, when a file of the configuration first has a suffix of the distribution.

    :returns: suffix -> format.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_log_targets() -> Mapping[str, LogTargetFactory]:
    """Return log targets other than files, which ``--log`` and ``servers.*.access_log`` can name.

    The name is the part of the target before the first colon; the factory gets the part after it.
    The distribution declares each name as an entry point named ``log:<name>``, which refers to the
    module. A target with a name that no installed distribution declares is a file name.

    Called once, when a log first uses a name of the distribution. The factory is called when a
    configuration is built that has a target for the first time.

    :returns: name -> ``factory(text)``, which returns a :class:`pingap.LogOutput`. A ``ValueError``
        from it is a configuration error of the key.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_commands() -> Sequence[click.Command]:
    """Add commands to the command line: ``pingap <name>``.

    The distribution declares each as an entry point named ``command:<name>``. ``pingap --help``
    lists them without importing anything; a command is imported when it is used. The value of
    ``-c`` is in ``ctx.obj`` of its context. The commands of pingap itself cannot be replaced.

    Called when a command of the distribution is used.

    :returns: click commands, each with its name.
    :raises Exception: an error that names the distribution; the exit code is 1.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_hookspecs() -> Sequence[object]:
    """Define hooks that other distributions can implement.

    A hook is a function marked with :data:`pingap.hookspec`. The distribution calls it with
    ``worker.hooks.<name>(...)``, using keyword arguments, and gets the results of all
    implementations as a list (:class:`pingap.Worker`). Names of phases and names that begin with
    ``pingap_`` are reserved.

    A distribution that implements such hooks, in a module or in a class that is not a plugin,
    declares an entry point named ``hooks:<the distribution that defines them>``. It is loaded
    together with that one.

    Called when the distribution is loaded.

    :returns: modules or classes that contain such functions.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
async def pingap_startup() -> None:
    """Prepare the process before a listener accepts connections.

    Called once per worker for each distribution that the configuration uses.

    :raises Exception: ends the start with an error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
async def pingap_shutdown() -> None:
    """Clean up after the last request has ended.

    Called once per worker for each distribution whose ``pingap_startup`` was due, even if the start
    failed later.

    :raises Exception: logged; the other distributions are still called.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_connection(connection: ClientConnection) -> bool | None:
    """Inspect an accepted connection; close it or let it continue.

    Runs for each connection, after a PROXY header was read and before TLS and any request: for
    distributions that the configuration uses, then for the plugins of the server
    (``servers.*.plugins``) in listed order. The first refusal decides. All other connections wait
    meanwhile, so it must be quick.

    :param connection: the client and the server; see :class:`pingap.ClientConnection`.
    :returns: False to close it at once without a response; the metric
        ``pingap_connections_refused`` counts it. Anything else lets it continue.
    :raises Exception: counted and logged. The connection is closed if the plugin is a ``guard``;
        otherwise it continues.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_notification(event: Notification) -> None:
    """Handle an event that operators should know of: a backend is down, or a worker crashed.

    Runs in the leading worker, once for each event: for distributions that the configuration uses,
    then for all configured plugin instances. Events arrive one after the other, in the order in
    which they happened. Events that the leader has not begun to handle when its process ends are
    handled by the next one. Up to 100 wait; beyond that, the oldest is dropped and counted. Waiting
    events are lost when all workers shut down.

    :param event: see :class:`pingap.Notification`.
    :returns: nothing. It can be async: all async handlers of an event run at the same time, each
        for at most 30 seconds.
    :raises Exception: counted and logged; the other handlers still run.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_failure(failure: Failure) -> None:
    """Handle an unexpected exception in a plugin or in pingap itself.

    Runs in the worker where the exception happened, once for each: for exceptions of plugins, even
    if the log omits a repeated one, and for those that pingap logs with a traceback. It runs for
    distributions that the configuration uses, then for all configured plugin instances. The request
    waits meanwhile, so it must be quick; send reports from a thread or a background task. It may be
    called in a thread, and before ``pingap_startup``.

    :param failure: the exception and where it happened; see :class:`pingap.Failure`.
    :raises Exception: counted and logged, but passed to no handler; the others still run.

    .. versionadded:: 1.1
    """


PHASES = (
    "server_request",
    "early_request",
    "request",
    "proxy_upstream",
    "upstream_request",
    "request_body",
    "upstream_attempt",
    "upstream_error",
    "upstream_response",
    "upstream_response_body",
    "error_page",
    "response",
    "response_body",
    "websocket",
    "logging",
)
"""Names of the phases, in the order in which they run."""

SERVER_PHASES = ("server_request", "error_page", "logging")
"""Names of the phases that run at a server, even if no location matches."""

UPSTREAM_PHASES = (
    "upstream_request",
    "upstream_attempt",
    "upstream_error",
    "upstream_response",
)
"""Names of the phases that run for the plugins of an upstream."""

LOCATION_PHASES = tuple(phase for phase in PHASES if phase != "server_request")
"""Names of the phases that run for the plugins of a location."""

APPLICATION_HOOKS = (
    "pingap_plugin_categories",
    "pingap_location_keys",
    "pingap_server_keys",
    "pingap_basic_keys",
    "pingap_upstream_keys",
    "pingap_certificate_keys",
    "pingap_instances",
    "pingap_balancers",
    "pingap_discoveries",
    "pingap_certificate_sources",
    "pingap_storages",
    "pingap_formats",
    "pingap_context_keys",
    "pingap_log_targets",
    "pingap_listeners",
    "pingap_server_plugins",
    "pingap_commands",
    "pingap_hookspecs",
    "pingap_startup",
    "pingap_shutdown",
    "pingap_connection",
    "pingap_notification",
    "pingap_failure",
)
"""Names of the application hooks."""

INSTANCE_HOOKS = ("pingap_connection", "pingap_notification", "pingap_failure")
"""Names of the application hooks that methods of plugins can implement, too."""

SYNC_HOOKS = ("pingap_connection", "pingap_failure")
"""Names of the application hooks that cannot be async."""
