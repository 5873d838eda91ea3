"""Replacements with references to groups: ``$1``, ``${1}``, ``$name``, ``${name}``; ``$$`` is a dollar sign.

The syntax is that of the Rust crate ``regex``, as in pingap 0.13.9. References to groups that do not exist are
errors here instead of empty text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

_REFERENCE: Final = re.compile(r"\$(?:\$|\{([^{}]*)\}|([A-Za-z0-9_]+))")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to a group.

    :param name: its name or number.
    """

    name: str


class Template:
    """A replacement.

    :param text: as written.
    """

    def __init__(self, text: str) -> None:
        self.parts: list[str | Reference] = list(_parts(text))

    @property
    def names(self) -> list[str]:
        """The names and numbers that are referred to."""
        return [one.name for one in self.parts if isinstance(one, Reference)]

    @property
    def constant(self) -> str | None:
        """The text, if it does not depend on what is referred to."""
        return None if self.names else self.expand(str)

    def check(self, pattern: Any, others: Collection[str] = ()) -> None:
        """Check that everything that is referred to exists.

        :param pattern: the compiled expression with the groups.
        :param others: further names.
        :raises ValueError: something does not.
        """
        known = [*pattern.groupindex, *others]
        for name in self.names:
            if name in known or (name.isdecimal() and int(name) <= pattern.groups):
                continue
            groups = ", ".join(f"${one}" for one in (*range(pattern.groups + 1), *known))
            hint = _hint(name, pattern.groups, known)
            raise ValueError(f'there is no group "{name}" (known: {groups}){hint}')

    def changed(self, change: Callable[[str], str]) -> Template:
        """Return this template with its literal texts changed."""
        made = Template("")
        made.parts = [one if isinstance(one, Reference) else change(one) for one in self.parts]
        return made

    def expand(self, lookup: Callable[[str], str]) -> str:
        """Return the text, with the values of all references.

        :param lookup: returns the value for a name or number.
        """
        return "".join(one if isinstance(one, str) else lookup(one.name) for one in self.parts)


def group(match: Any, name: str) -> str:
    """Return a group of a match; empty if it did not take part."""
    return match.group(int(name) if name.isdecimal() else name) or ""


def _parts(text: str) -> Iterator[str | Reference]:
    at = 0
    for match in _REFERENCE.finditer(text):
        yield text[at : match.start()]
        name = match[2] if match[1] is None else match[1]
        yield "$" if name is None else Reference(name)
        at = match.end()
    yield text[at:]


def _hint(name: str, groups: int, known: Collection[str]) -> str:
    """Suggest braces: the longest run of letters, digits and ``_`` is the name."""
    for end in range(len(name) - 1, 0, -1):
        begin = name[:end]
        if begin in known or (begin.isdecimal() and int(begin) <= groups):
            return f"; did you mean ${{{begin}}}{name[end:]}?"
    return ""
