"""The base class of plugins, with its settings, its phases and the properties that it declares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from pingap.hookspecs import hookimpl

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from pingap.observability.access_log import LogTag
    from pingap.observability.plugin_metrics import Metric
    from pingap.plugins.background_tasks import BackgroundTasks
    from pingap.plugins.worker import Worker


class PluginSettings(BaseModel):
    """Base of a plugin's settings: the keys of its ``[plugins.<name>]`` table.

    Write a field for each key, with a type, a default if the key is optional, and a description:
    the check of configuration, the documentation and the JSON Schema all come from it. A key that
    is not a field is a configuration error, and so is a value of the wrong type (``"1"`` is not a
    number).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,  # input in a traceback could contain secrets
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe each key with the docstring of its field."""
        from pingap.plugins.settings_docs import field_docstrings  # the source is seldom needed

        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docstrings(cls).items():
            field = cls.model_fields.get(name)
            if field is None or field.description is not None:
                continue
            if (key := field.alias or name) in properties:
                properties[key]["description"] = text
        return schema


class Plugin:
    """Base of all plugins.

    An instance is built for each ``[plugins.<name>]`` table of the category and serves every location that
    lists it. It must therefore not keep data of a single request; use ``ctx.state`` for that.

    Example::

        class Hello(Plugin):
            category = "hello"

            class Settings(PluginSettings):
                name: str = "world"
                \"\"\"Whom to greet.\"\"\"

            def __init__(self, settings: Settings) -> None:
                self.text = f"hello {settings.name}"

            @hookimpl
            def request(self) -> Response:
                return Response.text(200, self.text)
    """

    category: ClassVar[str]
    """The ``category`` in TOML that selects this class."""

    contract: ClassVar[str] = "1.0"
    """The version of the hook contract that the class needs: the one that added the newest hook or
    argument it uses. A pingap with another major version, or an older minor one, does not load it."""

    Settings: ClassVar[type[PluginSettings]] = PluginSettings
    """The model of the settings."""

    steps: ClassVar[tuple[str, ...]] = ()
    """The phases that the TOML key ``step`` can select, the default first.

    The method of the default phase is called in the selected one. Empty: the phases are fixed.
    """

    body: ClassVar[Literal["none", "reads", "rewrites"]] = "none"
    """What the plugin's body filters do: ``reads`` keeps the announced length, ``rewrites`` drops it. A
    class that declares ``none`` must not implement a body phase."""

    whole_request_body: int = 0
    """Size limit in bytes of request bodies that the plugin needs whole: the body is read before ``request``
    runs and is then in ``request.body``; a larger one is answered with 413. 0: not needed. ``__init__`` may
    set it if it is a setting."""

    reads_headers: tuple[str, ...] = ()
    """Names of request headers that the plugin bases its decisions on. ``__init__`` may set it, if it depends
    on a setting."""

    adds_headers: tuple[str, ...] = ()
    """Names of request headers that the plugin adds for the upstream or for other plugins. The same headers
    from clients are dropped, unless a plugin of the location reads them, so that a client cannot
    impersonate the plugin; with ``_`` instead of ``-`` as well. ``__init__`` may set it."""

    may_fail_open: ClassVar[bool] = False
    """Whether ``fail_open = true`` is allowed: requests then pass without the plugin if it fails."""

    guard: ClassVar[bool] = False
    """Decides whether a request may pass: never fails open, and belongs before plugins that answer."""

    before: tuple[str, ...] = ()
    """Categories of plugins that should be listed after this one in a location. ``__init__`` may set it,
    if it depends on a setting."""

    after: tuple[str, ...] = ()
    """Categories of plugins that should be listed before this one in a location. ``__init__`` may set it."""

    sets_origin: ClassVar[bool] = False
    """Whether it sets ``ctx.origin``: requests then need no upstream. Plugins run before an origin as before
    an upstream, so it may be listed anywhere.

    .. versionadded:: 1.1
    """

    predictable: ClassVar[bool] = False
    """Whether its methods up to ``proxy_upstream`` need only the request, ``ctx.captures`` and the settings,
    and only change the request. ``pingap diff`` calls them to tell how a request would be answered.

    .. versionadded:: 1.1
    """

    answers: ClassVar[Literal["content", "public", "internal"]] = "content"
    """What its own responses reveal. ``content``: content of the site, which a guard of the location
    protects. ``public``: nothing confidential (``ping``, a redirect), so the plugin may be listed before a
    guard. ``internal``: internals of the proxy (``stats``), for which ``pingap lint`` expects a guard."""

    def __init__(self, settings: PluginSettings) -> None:
        """Build an instance; a ``ValueError`` is a configuration error of this instance.

        If the ``__init__`` of a subclass has a parameter ``table``, it also gets the table of the instance as
        a :class:`pingap.ConfigTable`: its section, its name, and all its keys.
        """

    def active_phases(self) -> Collection[str] | None:
        """Return the phases this instance takes part in, if its settings leave some of them unused.

        :returns: names of phases, or None for all that the class implements.
        """
        return None

    def log_tags(self) -> Mapping[str, LogTag]:
        """Return the tags that this instance adds to access logs, as ``{:<plugin>.<tag>}``.

        :returns: name of the tag -> function that makes its text when a request has ended.
        """
        return {}

    def collect(self) -> Iterable[Metric]:
        """Create metrics on demand, for values that need not be counted while requests are served.

        Called when a metrics page is read, in each worker, and once more before a worker ends::

            def collect(self) -> Iterable[Metric]:
                size = Gauge("shop_cache_bytes", "Bytes in the cache")
                size.set(self.cache.size)
                yield size

        Gauges show the current value: one that is missing the next time disappears. Counters and histograms
        continue, so yield the total each time.

        :returns: up to 1000 metrics that are not attributes of the plugin.
        :raises Exception: counted and logged; metrics yielded before it are on the page.
        """
        return ()

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Return settings of this instance that are valid but probably wrong, for ``pingap lint``.

        Example::

            def advice(self) -> Iterable[tuple[str, str, str]]:
                if self.address == "0.0.0.0":
                    yield "address", "everyone can connect", "use 127.0.0.1"

        :returns: for each: the key, what is probably wrong, and how to fix it.
        """
        return ()

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Prepare, before any listener accepts connections. Does nothing unless overridden.

        A method without the second parameter is called without it.

        :param worker: what all plugins of the worker process share.
        :param tasks: for background work. Like an anyio task group, except that a failed task does
            not cancel the others; ``start_service`` restarts a task that fails. The tasks are
            cancelled after ``shutdown``.
        :raises Exception: the start fails with an error that names the instance.
        """

    async def lead(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Do work that one worker does for all, such as renewing a certificate or removing old files.

        Runs in one worker at a time, after ``startup``; if it raises, it is called again after a pause.
        It is cancelled, together with its tasks, when the worker shuts down; another worker leads then.

        :param tasks: for background work, as in ``startup``.
        :param worker: what all plugins of the worker process share.

        .. versionadded:: 1.1
        """

    async def shutdown(self) -> None:
        """Clean up, after the last request has ended. Runs even if background tasks failed.

        :raises Exception: counted and logged; the other plugins are still shut down.
        """

    @classmethod
    @hookimpl
    def pingap_plugin_categories(cls) -> Sequence[type[Plugin]]:
        """Return this class, so that an entry point can refer to a plugin class."""
        return (cls,)

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Return no keys of locations."""
        return {}
