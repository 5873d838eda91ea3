"""Testing plugins: a real proxy, a scriptable upstream, a client and a clock, in one process.

:class:`ProxyProcess` is the exception: pingap with its workers, as it is installed.

``pip install 'pingap[testing]'`` installs pytest, which discovers the fixtures (``fixtures``). Everything
here also works without them: :class:`Proxy` and :class:`Upstream` are context managers. The proxy itself
imports nothing of this package.
"""

from pingap.config import ConfigError
from pingap.config.storage.memory import MemoryStorage
from pingap.plugins.services import PluginStartError
from pingap.testing.check import configuration_problems
from pingap.testing.client import Answer, Client
from pingap.testing.clock import Clock
from pingap.testing.fields import Fields
from pingap.testing.filters import filter_every_cut
from pingap.testing.http2 import Http2Client
from pingap.testing.logs import UnexpectedError
from pingap.testing.metrics import Metrics
from pingap.testing.phases import make_context, make_request
from pingap.testing.proxy import Proxy
from pingap.testing.proxy_process import ProxyProcess
from pingap.testing.served import Received, Served
from pingap.testing.upstream import ScriptError, Upstream
from pingap.testing.websocket_client import WebSocketClient
from pingap.testing.worker import FakeUpstream, FakeWorker

__all__ = [
    "Answer",
    "Client",
    "Clock",
    "ConfigError",
    "FakeUpstream",
    "FakeWorker",
    "Fields",
    "Http2Client",
    "MemoryStorage",
    "Metrics",
    "PluginStartError",
    "Proxy",
    "ProxyProcess",
    "Received",
    "ScriptError",
    "Served",
    "UnexpectedError",
    "Upstream",
    "WebSocketClient",
    "configuration_problems",
    "filter_every_cut",
    "make_context",
    "make_request",
]
