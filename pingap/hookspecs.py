# mypy: disable-error-code="empty-body"
"""Every hook of pingap: what a plugin may implement.

Phases (first part) concern one request and are methods of a plugin class; they run per location,
in the order of the location's ``plugins``. A server may list plugins as well (``servers.*.plugins``): those
in ``SERVER_PHASES`` run for all of its requests, also where no location matches, and the others in each
of its locations, before those of the location's own plugins. Application hooks (second part, prefix
``pingap_``) concern the process and belong to a distribution; they run in the order of installation
names. Those in ``INSTANCE_HOOKS`` may be methods of a plugin class as well: then they run for each of its
instances.

All phases have in common:

- An implementation takes only the arguments it names.
- It may be ``async``. A sync one is a plain call; an async one costs a task.
- A sync one may return an awaitable instead of its result, for the rare request that has to wait; it is
  then treated as what an async one returns, and all others stay plain calls.
- It may raise :class:`pingap.HTTPError` to answer with that status.
- Any other exception answers 500, is counted and logged with the plugin instance and the location;
  the client learns nothing of it. ``logging`` runs whatever happened.
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
    from pingap.http.messages import Request, Response
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
    """Look at a request of the server before a location is chosen; answer it, or let it go on.

    Runs once per request, for the plugins of the server, until a plugin answers. What has to work on
    every host and path belongs here: tokens of a certificate authority, a metrics page, a ban.

    :param request: the head as received; headers may be changed in place, ``request.rewrite`` changes
        the target, also for the choice of the location.
    :param ctx: the state of this request; ``ctx.location`` is empty.
    :returns: a response to send at once, or None to go on. The first response wins; no phase of a
        location runs for it.
    :raises Exception: ends the request with 500.

    .. versionadded:: 1.1
    """


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
def upstream_request(request: Request, headers: Headers, peer: Peer, ctx: RequestContext) -> None:
    """Change the header fields of one attempt to send the request to an upstream.

    Runs before each attempt, every plugin in listed order, after the configured header changes. Trace
    context and signatures belong here: they differ from attempt to attempt.

    :param request: the head of the request; it cannot be changed any more.
    :param headers: the fields of this attempt; may be changed in place.
    :param peer: where the request will be sent.
    :param ctx: the state of this request; ``ctx.upstream_retries`` counts the attempts before.
    :raises Exception: ends the request with 500; nothing is sent.

    .. versionadded:: 1.1
    """


@hookspec
def upstream_attempt(request: Request, attempt: UpstreamAttempt, ctx: RequestContext) -> None:
    """Take note of one attempt that ended: a response head arrived, or it failed.

    Runs once for each attempt, every plugin in listed order, before it is decided whether there is
    another one.

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

    Runs when no attempt is left, in listed order, until a plugin returns something.

    :param request: the head of the request.
    :param error: why there is no response, with the status that the client would get.
    :param ctx: the state of this request.
    :returns: a response to send, a :class:`pingap.Retry` to try again after a delay, or None to leave
        the error as it is.
    :raises Exception: ends the request with 500.

    .. versionadded:: 1.1
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
        completed falsely; 500 if a filter holds the head (``hold_head``).

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
        completed falsely; 500 if a filter holds the head (``hold_head``).

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def error_page(request: Request, error: HTTPError, ctx: RequestContext) -> Response | None:
    """Make the response for an error, instead of the page of pingap.

    Runs for every error that a client gets a response for, in listed order, until a plugin answers:
    first the plugins of the location, then those of the server. ``response`` runs for the response.

    :param request: the head; of a request that could not be read, what is known of it.
    :param error: its status, message and headers.
    :param ctx: the state of this request.
    :returns: the response, or None for the page of the next plugin, at last that of pingap.
    :raises Exception: counted and logged; the client gets the page of pingap.

    .. versionadded:: 1.1
    """


@hookspec
def websocket(request: Request, response: Response, ctx: RequestContext) -> WebSocketFilter | None:
    """Ask to see or change the messages of a WebSocket.

    Runs after ``response`` when an upstream has agreed to a WebSocket, for clients of HTTP/1.1 and
    HTTP/2, in listed order. The filter of the plugin that is listed first stands next to the client.
    With no filter the bytes of the WebSocket pass unseen.

    A location with such a plugin offers upstreams no extension but permessage-deflate, which is
    decoded.

    :param request: the head, as it was sent.
    :param response: the head of the answer, with ``Sec-WebSocket-Protocol`` if one was chosen.
    :param ctx: the state of this request.
    :returns: a filter for this one WebSocket, or None. Its ``closed`` is called exactly once.
    :raises Exception: here: ends the request with 500. In the filter: both sides are closed with 1011.

    .. versionadded:: 1.1
    """


@hookspec
def logging(request: Request, response: Response | None, ctx: RequestContext) -> None:
    """Take note of a request that ended, well or badly.

    Runs once per request, after the last byte, also after errors and when the client left: for the
    plugins of the location, then for those of the server, also where no location matched. Changes nothing. Must be quick: the next request of the connection waits.

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

    A location that has such keys gets one unnamed instance of their class, in front of the plugins
    it lists; the keys are its settings, under their own names. The distribution declares each key as
    an entry point named ``location:<key>``. A key that pingap itself honours cannot be claimed.

    Called once, when the configuration first uses a key of the distribution.

    :returns: key -> plugin class. An ``__init__`` with a parameter ``table`` gets the table as a
        :class:`pingap.ConfigTable`.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 0.1
    """


@hookspec
def pingap_server_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[servers.<name>]`` that belong to the distribution.

    A server that has such keys gets one unnamed instance of their class, in front of the plugins it
    lists. Otherwise as ``pingap_location_keys``, with entry points named ``server:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_basic_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[basic]`` that belong to the distribution.

    There is one instance of the class for the process. Its phases run for the requests of all servers,
    in front of the plugins of each server. Otherwise as ``pingap_location_keys``, with entry points
    named ``basic:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_upstream_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[upstreams.<name>]`` that belong to the distribution.

    An upstream that has such keys gets one unnamed instance of their class. Its phases run for attempts
    at this upstream, behind those of the location, also if a plugin has chosen it by ``ctx.upstream``;
    it can have ``upstream_request``, ``upstream_attempt``, ``upstream_error`` and
    ``upstream_response``. Otherwise as ``pingap_location_keys``, with entry points named
    ``upstream:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_certificate_keys() -> Mapping[str, type[Plugin]]:
    """Claim keys of ``[certificates.<name>]`` that belong to the distribution.

    A certificate that has such keys gets one unnamed instance of their class. It can have
    ``server_request``, ``error_page`` and ``logging``, which run for the requests of all servers: a
    certificate authority may ask for its token anywhere. Otherwise as ``pingap_location_keys``, with
    entry points named ``certificate:<key>``.

    :returns: key -> plugin class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_instances() -> Mapping[str, Mapping[str, object]]:
    """Name plugin instances that every configuration has: what ``plugins`` may list without a table.

    The distribution declares each as an entry point named ``instance:<name>``, such as
    ``instance:pingap:compression``. The name has a colon in it. An instance is built when a location or
    server lists it. One that has the name of an instance of pingap itself takes its place.

    Called once, when the configuration first lists an instance of the distribution.

    :returns: name -> the keys of its table in ``[plugins]``, ``category`` among them.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
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
def pingap_certificate_sources() -> Mapping[str, type[CertificateSource]]:
    """Claim keys of ``[certificates.<name>]``: a table that has one gets its certificate from the class.

    The keys of one class are the settings of one instance for each table. ``tls_cert`` and ``tls_key``
    may be claimed, too, instead of the source of pingap; in a table with keys of several sources, the
    first one that has a certificate counts. The distribution declares each key as an entry point named
    ``certificates:<key>``.

    Called once, when the configuration first uses a key of the distribution.

    :returns: key -> class.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_listeners(config: ConfigView) -> Mapping[str, Mapping[str, object]]:
    """Ask for further servers that a configuration needs, such as one on port 80 for tokens.

    Called for each distribution that the configuration uses, whenever a configuration was read, in
    every process; the result may depend on nothing but the configuration. The servers are checked,
    opened, reloaded and handed over as those that are written.

    :param config: the configuration that was read.
    :returns: name -> the keys of its table in ``[servers]``. A name begins with that of the
        distribution, without ``pingap-``, and a colon: ``acme:tokens``.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_context_keys() -> Sequence[ContextKey[Any]]:
    """Name values of a request that operators may use: in access logs and in the values of headers.

    A key called ``country`` is ``{:country}`` in an access log, and ``$country`` or ``:country`` where
    header values may have variables. Its value is a text, a number or a truth value; what is none of
    these, or cannot stand in a header, counts as no value. The distribution declares each key as an entry
    point named ``context_key:<name>``, which leads to the module.

    Called when the configuration first uses something of the distribution; return the same keys each time.

    :returns: the keys. Their names have lower-case letters, digits and ``_``, and are none of pingap's own
        variables nor of another distribution's keys.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_storages() -> Mapping[str, StorageFactory]:
    """Name where configuration can be kept: what ``-c`` may say in front of ``://``.

    The distribution declares each scheme as an entry point named ``storage:<scheme>``. Files, a
    location without a scheme, are the core's own.

    Called once, when ``-c`` first names a scheme of the distribution. The factory is called in every
    process, before the configuration is known.

    :returns: scheme -> ``factory(location)``, which returns a :class:`pingap.ConfigStorage`. A
        ``ValueError`` that it raises is an error of ``-c``.
    :raises Exception: an error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_formats() -> Mapping[str, ConfigFormat]:
    """Name formats in which configuration can be written.

    The distribution declares each suffix of files as an entry point named ``format:<suffix>``, without
    dot. Once it is installed, files of that suffix are read beside those in TOML, which is the core's own.

    Called once, when a file of the configuration first has a suffix of the distribution.

    :returns: suffix -> format.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_log_targets() -> Mapping[str, LogTargetFactory]:
    """Name targets of logs beside files: what ``--log`` and ``servers.*.access_log`` may begin with.

    The word is what stands in front of the first colon of the target, and the factory gets what stands
    behind it. The distribution declares each word as an entry point named ``log:<word>``, which leads to
    the module. A text whose word no installed distribution declares is the name of a file.

    Called once, when a log first uses a word of the distribution. The factory is called when a
    configuration is built that has a target for the first time.

    :returns: word -> ``factory(text)``, which returns a :class:`pingap.LogOutput`. A ``ValueError`` that it
        raises is a configuration error of the key.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_commands() -> Sequence[click.Command]:
    """Add commands to the command line: ``pingap <name>``.

    The distribution declares each as an entry point named ``command:<name>``. ``pingap --help`` lists
    them without importing anything; a command is imported when it is used. What stands behind ``-c`` is
    in ``ctx.obj`` of its context. The commands of pingap itself cannot be replaced.

    Called when a command of the distribution is used.

    :returns: commands of click, each with its name.
    :raises Exception: an error that names the distribution; the exit code is 1.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_hookspecs() -> Sequence[object]:
    """Define hooks that other distributions may implement.

    A hook is a function that is marked with :data:`pingap.hookspec`. The distribution calls it by
    ``worker.hooks.<name>(...)``, with keyword arguments, and gets the results of all implementations as
    a list (:class:`pingap.Worker`). Names of phases and names that begin with ``pingap_`` are taken.

    A distribution that implements such hooks, in a module or in a class that is no plugin, declares an
    entry point that is named ``hooks:<the distribution that defines them>``; it is loaded with that one.

    Called when the distribution is loaded.

    :returns: modules or classes that contain such functions.
    :raises Exception: a configuration error that names the distribution.

    .. versionadded:: 1.1
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


@hookspec
def pingap_connection(connection: ClientConnection) -> bool | None:
    """Look at a connection that was accepted, and close it or let it go on.

    Runs for each connection, after a PROXY header was read, and before TLS and any request: for
    distributions of which the configuration uses something, then for the plugins of the server
    (``servers.*.plugins``) in listed order. The first one that refuses decides. Everybody else waits
    meanwhile, so it must be quick.

    :param connection: who connects to which server; see :class:`pingap.ClientConnection`.
    :returns: False to close it at once, without an answer; it is counted in the metric
        ``pingap_connections_refused``. Anything else lets it go on.
    :raises Exception: counted and logged. If the plugin is a ``guard``, the connection is closed, else
        it goes on.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_notification(event: Notification) -> None:
    """Handle an event that operators should know of: a backend is down, a worker crashed.

    Runs in one worker, the one that leads, once for each event: of distributions of which the
    configuration uses something, then of all configured plugin instances. Events come one after the
    other, in the order in which they happened. What no leader has begun to handle when its process ends
    is handled by the next one; up to 100 wait, of more the oldest is dropped and counted. When all workers
    shut down, what waits is lost.

    :param event: see :class:`pingap.Notification`.
    :returns: nothing. It may be async: all async handlers of an event run at the same time, each for
        30 seconds at most.
    :raises Exception: counted and logged; the other handlers still run.

    .. versionadded:: 1.1
    """


@hookspec
def pingap_failure(failure: Failure) -> None:
    """Handle an unexpected exception in a plugin or in pingap itself.

    Runs in the worker where it happened, once for each: for those of plugins, also when the log leaves a
    repeated one out, and for those that pingap logs with a traceback. Of distributions of which the
    configuration uses something, then of all configured plugin instances. The request waits meanwhile, so
    it must be quick; send reports from a thread or a background task. It may be called in a thread, and
    before ``pingap_startup``.

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
"""Names of the phases that run at a server, also where no location matches."""

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
"""Names of the application hooks that methods of plugins may implement, too."""

SYNC_HOOKS = ("pingap_connection", "pingap_failure")
"""Names of the application hooks that cannot be async."""
