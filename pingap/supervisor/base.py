"""The parameters with which workers start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pingap.build.runtime import Runtime
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.memory import MemoryStorage
from pingap.host.daemon import Parent
from pingap.supervisor.control_socket import ControlSocket


class StartError(Exception):
    """A worker cannot serve; the message gives the reason."""


@dataclass(slots=True)
class Base:
    """The parameters of a new worker.

    :param runtime: the current configuration, built.
    :param counts: server -> number of workers that serve it.
    :param log_target: the value of ``--log``.
    :param parent: the process that waits for a daemon to serve.
    :param storage: makes the storage of the configuration.
    :param control: the socket of operators, which workers close.
    """

    runtime: Runtime
    counts: dict[str, int]
    log_target: str = ""
    parent: Parent | None = None
    storage: Callable[[], ConfigStorage] = MemoryStorage
    control: ControlSocket | None = None
