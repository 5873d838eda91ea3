"""Calls the handlers of failures: ``pingap_failure``."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from pingap.observability.failures import Failure
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.process_hooks import Handler


class FailureHandlers:
    """Calls all implementations of the hook.

    :param failures: where those that raise are reported.
    """

    def __init__(self, failures: PluginFailures) -> None:
        self.handlers: Sequence[Handler] = ()
        self._failures = failures
        self._running = threading.local()

    def __call__(self, failure: Failure) -> None:
        """Pass on a failure; exceptions of the handlers themselves are only counted and logged."""
        if not self.handlers or getattr(self._running, "now", False):
            return
        self._running.now = True
        try:
            for handler in self.handlers:
                try:
                    handler.call(failure)
                except BaseException as error:
                    self._failures.report(handler.failure(error), "")
        finally:
            self._running.now = False
