"""The interface of configuration file formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pingap.config.problem import KeyPath


class FormatError(ValueError):
    """A text is not valid.

    :param message: the error, without a full stop: ``is not valid JSON: expected a comma``.
    :param line: its line, counted from 1, if known.

    .. versionadded:: 1.1
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class ConfigFormat(ABC):
    """A format in which configuration can be written; ``pingap_formats`` provides it.

    Both methods are called with the text of a whole file. They do no IO and keep no state; they are
    called in several threads and processes.

    .. versionadded:: 1.1
    """

    @abstractmethod
    def parse(self, text: str) -> dict[str, Any]:
        """Return the tables of a text, as ``tomllib`` does for TOML.

        :returns: consists of ``dict`` with ``str`` keys, ``list``, ``str``, ``int``, ``float``, ``bool`` and
            the types of ``datetime``.
        :raises FormatError: the text is not valid.
        """

    @abstractmethod
    def key_lines(self, text: str) -> Mapping[KeyPath, int]:
        """Return the line of each key of a text that ``parse`` accepts, counted from 1.

        Called only when a problem is shown with its line: ``{("servers", "web", "addr"): 3}``. A path without
        a line gets that of the table around it.
        """
