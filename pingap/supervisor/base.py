"""What workers begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pingap.build.runtime import Runtime
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.memory import MemoryStorage
from pingap.host.daemon import Parent


class StartError(Exception):
    """A worker cannot serve; the message says why."""


@dataclass(slots=True)
class Base:
    """What a new worker begins with.

    :param runtime: the configuration that serves, built.
    :param counts: server -> how many workers serve it.
    :param log_target: what ``--log`` says.
    :param parent: the process that waits for a daemon to serve.
    :param storage: makes the storage of the configuration.
    """

    runtime: Runtime
    counts: dict[str, int]
    log_target: str = ""
    parent: Parent | None = None
    storage: Callable[[], ConfigStorage] = MemoryStorage
