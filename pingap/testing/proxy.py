"""A real proxy in this process, with sockets and event loop, on a free port."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from pingap.build.runtime import Runtime
from pingap.config import ConfigError
from pingap.config.storage.memory import MemoryStorage
from pingap.plugins.base import Plugin
from pingap.plugins.durable_store import DurableStore
from pingap.testing.build import METRICS_PATH, adjusted, build_runtime
from pingap.testing.client import Answer, Client
from pingap.testing.description import Description, PluginLike
from pingap.testing.fields import FieldsLike, pairs
from pingap.testing.http2 import Http2Client
from pingap.testing.logs import Recorder
from pingap.testing.metrics import Metrics
from pingap.testing.upstream import Upstream
from pingap.testing.websocket_client import WebSocketClient
from pingap.testing.worker_thread import WorkerThread
from pingap.worker.lone_instance import LoneInstance
from pingap.worker.worker import Worker

_LOOPBACK = ip_address("127.0.0.1")


class Proxy:
    """A proxy, configured with TOML or with ``location`` and ``configure``.

    It starts with the first request at the latest, or as a context manager.

    :param toml: the configuration; ``addr = "127.0.0.1:0"`` stands for a free port.
    :param categories: plugin classes that TOML may name by their category. They need not be installed, and
        take precedence over installed ones.
    :param upstream: the default upstream of locations that are described in Python.
    :param state_directory: the directory of ``worker.store``; by default a directory that is removed when the
        proxy stops.
        removed when the proxy stops.
    """

    def __init__(
        self,
        toml: str | None = None,
        *,
        categories: Iterable[type[Plugin]] = (),
        upstream: Upstream | None = None,
        state_directory: Path | None = None,
    ) -> None:
        self._upstream = upstream
        self._state_directory = state_directory
        self._temporary: TemporaryDirectory[str] | None = None
        self._toml = toml
        self._categories = list(categories)
        self._description = Description(upstream.addr if upstream else "")
        self._recorder = Recorder()
        self._leads = True
        self._worker: Worker | None = None
        self._storage: MemoryStorage | None = None
        self._thread: WorkerThread | None = None
        self._clients: list[Client | Http2Client] = []

    # Configuration.

    def location(
        self,
        path: str = "/",
        *,
        plugins: Iterable[PluginLike] = (),
        name: str = "",
        **keys: object,
    ) -> str:
        """Add a location, and return its name; must be called before the first request.

        :param path: as the key ``path``.
        :param plugins: objects; classes; names such as ``"pingap:ping"``; pairs of a category or a
            class, and settings as in TOML: ``("mock", {"status": 418})``.
        :param name: by default derived from the path.
        :param keys: additional keys of the location; ``upstream`` has a default.
        """
        self._require_description()
        return self._description.location(path, plugins, name, keys)

    def configure(self, table: str, **keys: object) -> None:
        """Set keys of a table; must be called before the first request.

        :param table: ``"basic"``, ``"servers.web"``, ``"upstreams.upstream"``, or a new one.
        """
        self._require_description()
        self._description.configure(table, keys)

    def _require_description(self) -> None:
        if self._thread is not None:
            raise RuntimeError("the proxy serves already: describe it before the first request")
        if self._toml is not None:
            raise RuntimeError("this proxy was given TOML: write it there")

    @property
    def toml(self) -> str:
        """The configuration."""
        return self._description.toml() if self._toml is None else self._toml

    @property
    def upstream(self) -> Upstream:
        """The upstream of locations that are described in Python."""
        if self._upstream is None:
            raise RuntimeError("this proxy was made without an upstream")
        return self._upstream

    # Running.

    def start(self) -> Self:
        """Start serving, if not yet started; return the proxy itself.

        :raises ConfigError: with everything that is wrong in the configuration.
        :raises PluginStartError: a plugin's ``startup`` raised.
        """
        if self._thread is None:
            recorder, toml = self._recorder, self.toml
            categories = [*self._categories, *self._description.categories]
            try:
                runtime = build_runtime(toml, categories, recorder.files)
            except ConfigError as error:
                if self._toml is None:  # the test has not seen the lines that it names
                    numbered = enumerate(toml.splitlines(), 1)
                    error.add_note("\n".join(f"{number:3}  {line}" for number, line in numbered))
                raise
            storage = self._storage = MemoryStorage({"pingap.toml": toml})
            store = DurableStore(self._store_directory())
            worker = self._worker = Worker(runtime, store=store, storage=lambda: storage)
            worker.instance = LoneInstance(worker, adjusted)
            basic = runtime.config.basic
            self._thread = WorkerThread(
                worker, lambda number: recorder.attach(basic, number), leads=self._leads
            )
            try:
                worker.bind()
                self._thread.start()
            except BaseException:
                self._thread = None
                self._close(worker)
                raise
        return self

    def stop(self) -> None:
        """Stop: close connections, shut down plugins, and end threads and sockets."""
        for client in self._clients:
            client.close()
        if self._thread is None or self._worker is None:
            return
        thread, self._thread = self._thread, None
        try:
            thread.stop()
        finally:
            self._close(self._worker)

    def _store_directory(self) -> Path:
        if self._state_directory is not None:
            return self._state_directory / "store"
        self._temporary = TemporaryDirectory(prefix="pingap-testing-")
        return Path(self._temporary.name) / "store"

    def _close(self, worker: Worker) -> None:
        worker.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        self._recorder.detach()
        self._recorder.files.close()

    def check(self) -> None:
        """Raise an unexpected error from the log.

        :raises UnexpectedError: there is one; the original exception is its cause.
        """
        self._recorder.check()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self.check()

    def settle(self) -> None:
        """Return when the proxy has handled everything that was sent to it so far."""
        self.start()
        assert self._thread is not None
        self._thread.settle()

    @property
    def storage(self) -> MemoryStorage:
        """The ``worker.storage`` of plugins: it contains ``pingap.toml``. Changes are not served."""
        self.start()
        assert self._storage is not None
        return self._storage

    @property
    def _runtime(self) -> Runtime:
        assert self._worker is not None
        return self._worker.runtime

    def lead(self) -> None:
        """Let the worker lead, so that ``lead`` of the plugins begins.

        It leads from the start, unless ``follow`` is called before the first request.
        """
        self._leads = True
        if self._thread is not None:
            self._thread.lead()

    def follow(self) -> None:
        """Act as if another worker leads; return when ``lead`` of all plugins was cancelled."""
        self._leads = False
        if self._thread is not None:
            self._thread.follow()

    # Requests.

    def address(self, server: str = "") -> tuple[str, int] | str:
        """Return host and port of a server, or the path of its Unix socket.

        :param server: by default the first one.
        """
        self.start()
        assert self._worker is not None
        addresses = self._worker.addresses
        text = addresses[server or next(iter(addresses))][0]
        if text.startswith("unix:"):
            return text.removeprefix("unix:")
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    def port(self, server: str = "") -> int:
        """Return the port of a server; by default of the first one."""
        address = self.address(server)
        if not isinstance(address, tuple):
            raise TypeError(f"a Unix socket has no port: {address}")
        return address[1]

    def connect(self, server: str = "", *, client_ip: str = "", headers: FieldsLike = ()) -> Client:
        """Return a new connection; it is closed after the test at the latest.

        :param client_ip: address that requests seem to come from, by ``X-Forwarded-For``. The proxy must
            trust 127.0.0.1 (``basic.trusted_proxies``); a proxy that is described in Python does.
        :param headers: fields of every request on it.
        """
        client = Client(self.address(server), headers=self._said_by(client_ip, headers))
        self._clients.append(client)
        return client

    def connect_http2(
        self, server: str = "", *, client_ip: str = "", headers: FieldsLike = ()
    ) -> Http2Client:
        """Return a new HTTP/2 connection; arguments as for :meth:`connect`.

        :raises ValueError: the server does not support it.
        """
        address = self.address(server)
        servers = self._runtime.config.servers
        name = server or next(iter(servers))
        if not servers[name].enabled_h2:
            raise ValueError(f"HTTP/2 needs enabled_h2 = true in [servers.{name}]")
        client = Http2Client(address, headers=self._said_by(client_ip, headers))
        self._clients.append(client)
        return client

    def connect_websocket(
        self, target: str, server: str = "", *, client_ip: str = "", headers: FieldsLike = ()
    ) -> WebSocketClient:
        """Open a WebSocket; other arguments as for :meth:`connect`.

        :raises AssertionError: the response does not open one.
        """
        return WebSocketClient(self.connect(server, client_ip=client_ip), target, headers)

    def _said_by(self, client_ip: str, headers: FieldsLike) -> list[tuple[str, str]]:
        fields = pairs(headers)
        if client_ip:
            self._require_trust()
            fields.append(("X-Forwarded-For", client_ip))
        return fields

    def _require_trust(self) -> None:
        if not any(_LOOPBACK in network for network in self._runtime.trusted_proxies):
            raise ValueError('client_ip needs trusted_proxies = ["127.0.0.1/32"] in [basic]')

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: FieldsLike = (),
        body: bytes | Iterable[bytes] = b"",
        trailers: FieldsLike | None = None,
        client_ip: str = "",
        server: str = "",
    ) -> Answer:
        """Make a request on its own connection; see :meth:`Client.request`, :meth:`connect`."""
        with self.connect(server, client_ip=client_ip) as client:
            return client.request(method, target, headers=headers, body=body, trailers=trailers)

    def get(
        self, target: str, *, headers: FieldsLike = (), client_ip: str = "", server: str = ""
    ) -> Answer:
        """Make a GET request on its own connection."""
        return self.request("GET", target, headers=headers, client_ip=client_ip, server=server)

    # Logs and metrics.

    @property
    def log(self) -> str:
        """The application log."""
        if self._thread is not None:
            self._thread.settle()
        return self._recorder.text

    @property
    def access_log(self) -> list[str]:
        """The lines of all access logs."""
        if self._thread is not None:
            self._thread.settle()
        return list(self._recorder.access)

    def wait_for_log(self, text: str) -> str:
        """Return the application log once it contains a text.

        :raises AssertionError: it does not in time.
        """
        found = f"{text!r} does not appear in the log"
        self._recorder.wait(lambda: text in self._recorder.text, found)
        return self._recorder.text

    def wait_for_access_log(self, lines: int = 1) -> list[str]:
        """Return the lines of all access logs once there are this many.

        :raises AssertionError: there are fewer.
        """
        found = f"there are not {lines} lines in the access log"
        self._recorder.wait(lambda: len(self._recorder.access) >= lines, found)
        return list(self._recorder.access)

    def expect_error(self, text: str) -> str:
        """Wait for an error in the application log, and return it with its traceback.

        Errors that are not expected in this way fail the test.

        :param text: a part of it: the name of a plugin or of an exception, or a message.
        :raises AssertionError: there is none.
        """
        return self._recorder.expect_error(text).text

    def metrics(self, server: str = "") -> Metrics:
        """Return the current metrics of a server.

        :param server: by default the first one.
        """
        self.settle()
        servers = self._runtime.config.servers
        path = servers[server or next(iter(servers))].prometheus_metrics or METRICS_PATH
        return Metrics(self.get(path, server=server).text)
