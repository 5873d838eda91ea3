"""A serving process from its command line to its exit code."""

from __future__ import annotations

import sys

import anyio

from pingap._version import __version__
from pingap.builder import Runtime, build
from pingap.config import Config, load_snapshot
from pingap.observability.logs import set_up_logging
from pingap.plugins import Registry
from pingap.process.listening import Listening, open_all, workers_in_all, workers_of
from pingap.process.master import Master
from pingap.process.options import ServeOptions
from pingap.process.plugin_tasks import leaves
from pingap.process.sockets import BindError
from pingap.process.supervisor import Base, StartError, Supervisor
from pingap.process.upgrade import HandOverError, TakeOver, wait_for_sockets


def serve(options: ServeOptions) -> int:
    """Serve until a signal ends it; return the exit code.

    :raises ConfigError: the configuration is wrong.
    """
    registry = Registry()
    config = load_snapshot(options.read(), location_keys=registry.location_keys)
    runtime = build(config, registry, options.log)
    for warning in (*config.warnings, *runtime.warnings):
        _say(f"warning: {warning}")
    take_over: TakeOver | None = None
    try:
        if options.upgrade:
            _say("waiting for the running pingap to hand over its sockets: send it SIGQUIT")
            take_over = wait_for_sockets(config.basic.upgrade_sock)
        return _supervise(options, runtime, take_over)
    except* (BindError, HandOverError, StartError) as errors:
        reason = "; ".join(str(error) for error in leaves(errors))
    finally:
        runtime.log_files.close()
    if take_over is not None:
        take_over.failed(reason)
    _say(f"pingap: {reason}")
    return 1


def _supervise(options: ServeOptions, runtime: Runtime, take_over: TakeOver | None) -> int:
    config, basic = runtime.config, runtime.config.basic
    set_up_logging(
        runtime.log_files.open(options.log), basic.log_level, as_json=basic.log_format_json
    )
    inherited = take_over.inherited if take_over is not None else None
    sockets = open_all(config, options.threads, inherited)
    counts = {name: workers_of(config, name, options.threads) for name in config.servers}
    base = Base(runtime, counts, options.log)
    supervisor = Supervisor(base, sockets, workers_in_all(config, options.threads))

    def ready() -> None:
        _announce(config, sockets)
        if take_over is not None:
            take_over.succeeded()

    # (asyncio's own loop: it is light, and it can be left behind in a process that was forked.)
    anyio.run(Master(supervisor, options).run, ready, backend="asyncio")
    return 0


def _announce(config: Config, sockets: list[Listening]) -> None:
    """Say what listens where."""
    label = f" ({name})" if (name := config.basic.name) else ""
    lines = [f"pingap {__version__}{label} is serving"]
    for one in sockets:
        settings = config.servers[one.server]
        scheme = "https" if settings.global_certificates else "http"
        url = one.text if one.text.startswith("unix:") else f"{scheme}://{one.text}"
        count = len(settings.locations)
        line = f"  {url:<32} {one.server}: {count} location{'s' if count != 1 else ''}"
        if line not in lines:  # workers may have sockets of their own
            lines.append(line)
    _say("\n".join(lines))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
