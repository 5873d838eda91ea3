"""The hook with which pingap finds the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pingap import ConfigFormat, hookimpl
from pingap_formats.block import Block, KeyPath
from pingap_formats.hcl_reader import read_hcl
from pingap_formats.kdl_reader import read_kdl
from pingap_formats.tables import Tables


class BlockFormat(ConfigFormat):
    """A format that consists of blocks.

    :param read: returns the blocks of a text.
    """

    def __init__(self, read: Callable[[str], Iterable[Block]]) -> None:
        self._read = read

    def parse(self, text: str) -> dict[str, Any]:
        """Return the tables of a text.

        :raises FormatError: the text is not valid.
        """
        return Tables(self._read(text)).data

    def key_lines(self, text: str) -> Mapping[KeyPath, int]:
        """Return the line of each key."""
        return Tables(self._read(text)).lines


HCL = BlockFormat(read_hcl)
KDL = BlockFormat(read_kdl)


@hookimpl
def pingap_formats() -> Mapping[str, ConfigFormat]:
    """Name the formats."""
    return {"hcl": HCL, "kdl": KDL}
