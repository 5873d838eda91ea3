"""What a request asks for: types in order of preference, and a size. Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pingap_image_optim.accept import wanted

_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})?(?:x([1-9][0-9]{0,4})?)?")
MOST_PIXELS_OF_A_SIDE: Final = 16383
"""The longest side of a WebP image."""


@dataclass(frozen=True, slots=True)
class Size:
    """The space that an image has to fit in, in pixels; 0 for any number."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width or ''}x{self.height or ''}"


def parse_size(text: str) -> Size:
    """Read ``640``, ``640x``, ``x480`` or ``640x480``.

    :raises ValueError: it is none of these, or too large.
    """
    match = _SIZE.fullmatch(text)
    size = Size(int(match[1] or 0), int(match[2] or 0)) if match is not None else Size(0, 0)
    if not (size.width or size.height) or max(size.width, size.height) > MOST_PIXELS_OF_A_SIDE:
        raise ValueError(
            f'sizes: found "{text}", expected pixels up to {MOST_PIXELS_OF_A_SIDE}, such as "640" (width), '
            '"x480" (height) or "640x480"'
        )
    return size


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of an image.

    :param of_jpeg: types to try for a JPEG, the best first.
    :param of_png: the same for a PNG.
    :param size: None to keep it.
    :param refused: the size in the query that is not among those allowed; empty if there is none.
    """

    of_jpeg: tuple[str, ...] = ()
    of_png: tuple[str, ...] = ()
    size: Size | None = None
    refused: str = ""

    @property
    def variant(self) -> str:
        """What tells the results of this plan from others; empty for what most clients get."""
        types = ",".join(self.of_jpeg)
        if self.of_png != self.of_jpeg:
            types += ";" + ",".join(self.of_png)
        size = self.refused or self.size
        return f"{types} {size}" if size else types


@dataclass(frozen=True, slots=True)
class Planning:
    """Makes plans for requests.

    :param offered: types in order of preference.
    :param sizes: those that clients may ask for.
    :param width: name of the parameter of the query.
    :param height: the same.
    """

    offered: Sequence[str]
    sizes: frozenset[Size]
    width: str
    height: str

    def plan(self, weights: Mapping[str, int], query: str) -> Plan:
        """Return the plan for a request.

        :param weights: of types, as its client takes them.
        :param query: as sent.
        """
        of_jpeg = wanted(weights, self.offered, "jpeg")
        of_png = wanted(weights, self.offered, "png")
        text = self._asked(query) if self.sizes and query else ""
        if not text:
            return Plan(of_jpeg, of_png)
        try:
            size = parse_size(text)
        except ValueError:
            return Plan(of_jpeg, of_png, None, text)
        if size not in self.sizes:
            return Plan(of_jpeg, of_png, None, text)
        return Plan(of_jpeg, of_png, size)

    def _asked(self, query: str) -> str:
        """Return the size that a query asks for, as text; empty if it asks for none."""
        found = {self.width: "", self.height: ""}
        asked = False
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if name in found:
                asked = True
                found[name] = found[name] or value[:_LONGEST_NUMBER]
        return f"{found[self.width]}x{found[self.height]}" if asked else ""


_LONGEST_NUMBER: Final = 6  # more digits than any size has
