"""What a plugin is: one class, with its settings, its phases and what it promises."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from pingap.hookspecs import hookimpl

if TYPE_CHECKING:
    from pingap.observability.access_log import LogTag
    from pingap.observability.plugin_metrics import Metric
    from pingap.plugins.background_tasks import BackgroundTasks
    from pingap.plugins.worker import Worker


class PluginSettings(BaseModel):
    """Base of a plugin's settings: the keys of its ``[plugins.<name>]`` table.

    Write a field for each key, with a type, a default if the key is optional, and a description:
    the check of configuration, the documentation and the JSON Schema all come from it. A key that
    is not a field is a configuration error, and so is a value of the wrong type (``"1"`` is no
    number).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # which may hold secrets, in a traceback
    )


class Plugin:
    """Base of all plugins.

    An instance is built for each ``[plugins.<name>]`` table of the category and serves every
    location that lists it, so it holds nothing of one request: that belongs in ``ctx.state``.

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
    """The ``category`` of TOML that selects this class."""

    contract: ClassVar[str] = "1.0"
    """The version of the hook contract that the class needs: the one in which the newest hook or
    argument it uses was added. Another major version, or an older minor one, does not load it."""

    Settings: ClassVar[type[PluginSettings]] = PluginSettings
    """The model of the settings."""

    steps: ClassVar[tuple[str, ...]] = ()
    """The phases between which the TOML key ``step`` chooses, the default first.

    The method of the default phase is called in the chosen one. Empty: the phases are fixed.
    """

    body: ClassVar[Literal["none", "reads", "rewrites"]] = "none"
    """What the plugin's body filters do: ``reads`` keeps the announced length, ``rewrites`` drops
    it. A class that promises ``none`` may not implement a body phase."""

    whole_request_body: int = 0
    """Bytes of request bodies that the plugin wants whole: the body is read before ``request`` runs,
    and is ``request.body`` then; one that is larger is answered with 413. 0: it does not want them.
    May be set by ``__init__``, if it is a setting."""

    reads_headers: ClassVar[tuple[str, ...]] = ()
    """Names of request headers that decide what the plugin does."""

    adds_headers: ClassVar[tuple[str, ...]] = ()
    """Names of request headers that the plugin adds for the upstream or for other plugins. What a
    client sends under such a name is dropped, unless a plugin of the location reads it: nobody can
    pass for somebody by sending what only a plugin should say."""

    may_fail_open: ClassVar[bool] = False
    """Whether ``fail_open = true`` is allowed: requests then pass without the plugin if it fails."""

    guard: ClassVar[bool] = False
    """Decides whether a request may pass: never fails open, and belongs in front of what answers."""

    before: tuple[str, ...] = ()
    """Categories in front of which this plugin belongs, in the list of a location. May be set by
    ``__init__``, if it depends on a setting."""

    after: tuple[str, ...] = ()
    """Categories behind which this plugin belongs, in the list of a location. May be set by ``__init__``,
    too."""

    answers: ClassVar[Literal["content", "public", "internal"]] = "content"
    """What its answers tell, if it answers by itself. ``content``: something of the site, which a
    guard of the location protects. ``public``: nothing that may not be known by all (``ping``, a
    redirect), so that it may stand in front of a guard. ``internal``: the inside of the proxy
    (``stats``); ``pingap lint`` wants a guard for it."""

    def __init__(self, settings: PluginSettings) -> None:
        """Build an instance; a ``ValueError`` is a configuration error of this instance.

        An ``__init__`` of a subclass that has a parameter ``table`` gets the table of the instance, too,
        as a :class:`pingap.ConfigTable`: its section, its name, and all its keys.
        """

    def active_phases(self) -> Collection[str] | None:
        """Name the phases this instance takes part in, if its settings leave some without work.

        :returns: names of phases, or None for all that the class implements.
        """
        return None

    def log_tags(self) -> Mapping[str, LogTag]:
        """Name the tags that this instance adds to access logs, as ``{:<plugin>.<tag>}``.

        :returns: name of the tag -> what makes its text when a request ended.
        """
        return {}

    def collect(self) -> Iterable[Metric]:
        """Make metrics on the spot, for what need not be counted while requests are served.

        Called when a metrics page is read, in each worker, and once more before a worker ends::

            def collect(self) -> Iterable[Metric]:
                size = Gauge("shop_cache_bytes", "Bytes in the cache")
                size.set(self.cache.size)
                yield size

        Gauges show what is: one that is missing the next time is gone. Counters and histograms go
        on; yield the whole count each time.

        :returns: metrics that are not attributes of the plugin, up to 1000, or nothing.
        :raises Exception: counted and logged; what was yielded before is on the page.
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
        """Do what one worker does for all: renew a certificate, remove what is old.

        Runs in one worker at a time, after ``startup``; if it raises, it is called again after a pause.
        It is cancelled, together with its tasks, when the worker shuts down, and another one leads then.

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
        """Name this class: an entry point may point at a plugin class."""
        return (cls,)

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Claim no key of locations."""
        return {}
