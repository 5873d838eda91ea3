"""Running the process in the foreground, from a built runtime to the exit code."""

from __future__ import annotations

import sys

import anyio

from pingap._version import __version__
from pingap.builder import Runtime
from pingap.observability.logs import set_up_logging
from pingap.plugins import PluginLoadError
from pingap.process.plugin_tasks import PluginStartError, leaves
from pingap.process.sockets import BindError
from pingap.process.worker import Worker

try:
    import uvloop  # noqa: F401
except ImportError:  # not on this platform: plain asyncio serves, more slowly
    _UVLOOP = False
else:
    _UVLOOP = True


def run(runtime: Runtime, log_target: str) -> int:
    """Serve until a signal comes; return the exit code.

    :param log_target: what ``--log`` says.
    """
    basic = runtime.config.basic
    set_up_logging(
        runtime.log_files.open(log_target), basic.log_level, as_json=basic.log_format_json
    )
    worker = Worker(runtime)
    code = 0
    try:
        worker.bind()
        anyio.run(
            worker.run,
            lambda: _announce(runtime, worker),
            backend="asyncio",
            backend_options={"use_uvloop": _UVLOOP},
        )
    except* (BindError, PluginLoadError, PluginStartError) as errors:
        for error in leaves(errors):
            print(f"pingap: {error}", file=sys.stderr)  # noqa: T201
        code = 1
    finally:
        runtime.log_files.close()
    return code


def _announce(runtime: Runtime, worker: Worker) -> None:
    """Say what listens where."""
    label = f" ({name})" if (name := runtime.config.basic.name) else ""
    lines = [f"pingap {__version__}{label} is serving"]
    for name, addresses in worker.addresses.items():
        settings = runtime.config.servers[name]
        for address in addresses:
            scheme = "https" if settings.global_certificates else "http"
            url = address if address.startswith("unix:") else f"{scheme}://{address}"
            count = len(settings.locations)
            lines.append(f"  {url:<32} {name}: {count} location{'s' if count != 1 else ''}")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201
