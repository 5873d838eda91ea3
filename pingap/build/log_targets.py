"""Logs that go to the log target of a distribution: ``word:text`` instead of a path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pingap.observability.log_outputs import LogOutput, LogTargetFactory
from pingap.plugins.kinds import LOG_TARGET
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry


def output_of(target: str, registry: Registry) -> Callable[[], LogOutput] | None:
    """Return a factory for the output of a target; None for a file and for standard error.

    A word that nothing installed provides may be the beginning of a file name. The factory raises
    ``ValueError`` if the text after the colon is invalid.

    :raises ValueError: its distribution cannot be used.
    """
    if not has_word(target, registry):
        return None
    word, _, text = target.partition(":")
    try:
        return partial(_make, registry.find(LOG_TARGET, word), word, text)
    except (MissingPluginError, PluginLoadError) as error:
        raise ValueError(f"{word}: {error}") from error


def has_word(target: str, registry: Registry) -> bool:
    """Return whether a target begins with the word of a distribution."""
    word, colon, _ = target.partition(":")
    return bool(colon) and word in registry.owners(LOG_TARGET)


def _make(factory: LogTargetFactory, word: str, text: str) -> LogOutput:
    try:
        return factory(text)
    except ValueError as error:
        raise ValueError(f"{word}: {error}") from error
    except Exception as error:  # a bug in the factory
        raise ValueError(f"{word}: {type(error).__name__}: {error}") from error
