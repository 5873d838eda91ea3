"""Rules for JSON: ``set``, ``default``, ``remove`` and ``rename``, each with a path. Nothing here does IO.

A path is ``user.name``, ``items[0].id``, ``items[*].price``, ``*.id``, ``"a.b".c`` or ``[-1]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pingap import Request, RequestContext, Template

MOST_SEGMENTS: Final = 64
"""Segments of a path."""
_SEGMENT: Final = re.compile(
    r"""(?:(?P<all>\*)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<name>[^.\[\]"\s*]+))|\[(?P<index>\*|-?\d{1,9})\]"""
)
_EXPECTED: Final = "expected set PATH VALUE, default PATH VALUE, remove PATH or rename PATH NAME"


class _Every:
    """All members of an object, or all elements of an array."""


EVERY: Final = _Every()
Segment: TypeAlias = "str | int | _Every"
Expand: TypeAlias = Callable[[Template], "str | None"]


@dataclass(frozen=True, slots=True)
class JSONRule:
    """A rule.

    :param verb: ``set``, ``default``, ``remove`` or ``rename``.
    :param value: of ``set`` and ``default``: a JSON value, or a variable.
    :param name: the new name, of ``rename``.
    """

    verb: str
    path: tuple[Segment, ...]
    value: object = None
    name: str = ""

    def apply(self, root: object, expand: Expand) -> bool:
        """Apply the rule to a parsed document; return whether it had something to do.

        :param expand: returns the text of a variable.
        """
        value = expand(self.value) if isinstance(self.value, Template) else self.value
        creates = self.verb in ("set", "default")
        changed = False
        for holder in list(_holders(root, self.path[:-1], creates=creates and value is not None)):
            for key in list(_keys(holder, self.path[-1], creates=creates)):
                changed |= self._at(holder, key, value)
        return changed

    def _at(self, holder: Any, key: Any, value: object) -> bool:
        """Apply it to one member or element."""
        exists = not isinstance(holder, dict) or key in holder
        if self.verb == "rename":
            return isinstance(holder, dict) and exists and _rename(holder, key, self.name)
        removes = self.verb == "remove" or (isinstance(self.value, Template) and value is None)
        if removes and self.verb != "default":
            if exists:
                del holder[key]
            return exists
        if removes or (self.verb == "default" and exists):
            return False
        holder[key] = json.loads(json.dumps(value)) if isinstance(value, dict | list) else value
        return True


def _rename(holder: dict[str, object], key: str, name: str) -> bool:
    """Rename a member; it keeps its place, and replaces one that has the name already."""
    members = [
        (name if one == key else one, held)
        for one, held in holder.items()
        if one == key or one != name
    ]
    holder.clear()
    holder.update(members)
    return True


def _holders(root: object, path: tuple[Segment, ...], *, creates: bool) -> Iterator[Any]:
    """Yield the objects and arrays at the end of a path; missing objects are created if that is asked for."""
    if not path:
        yield root
        return
    segment, rest = path[0], path[1:]
    if creates and isinstance(root, dict) and isinstance(segment, str) and segment not in root:
        root[segment] = {}
    for key in _keys(root, segment, creates=False):
        yield from _holders(root[key], rest, creates=creates)  # type: ignore[index]


def _keys(holder: object, segment: Segment, *, creates: bool) -> Iterator[Any]:
    """Yield the keys and indexes that a segment stands for; the last index first, so that each can be removed."""
    if isinstance(holder, dict):
        if segment is EVERY:
            yield from list(holder)
        elif isinstance(segment, str) and (creates or segment in holder):
            yield segment
    elif isinstance(holder, list):
        if segment is EVERY:
            yield from reversed(range(len(holder)))
        elif isinstance(segment, int) and -len(holder) <= segment < len(holder):
            yield segment


def parse_json_rule(entry: str) -> JSONRule:
    """Read a rule.

    :raises ValueError: it is invalid; the message is for the operator.
    """
    verb, _, rest = entry.strip().partition(" ")
    if verb not in ("set", "default", "remove", "rename"):
        raise ValueError(f'found "{entry[:100]}", {_EXPECTED}')
    path, end = _parse_path(rest.lstrip())
    rest = rest.lstrip()[end:].strip()
    if verb == "remove":
        if rest:
            raise ValueError(f'found "{rest[:100]}" behind the path, {_EXPECTED}')
        return JSONRule(verb, path)
    if not rest:
        raise ValueError(f'found "{entry[:100]}", {_EXPECTED}')
    if verb == "rename":
        if not isinstance(path[-1], str):
            raise ValueError(
                "only a member of an object can be renamed, not an element or all members"
            )
        return JSONRule(verb, path, name=_parse_name(rest))
    if path[-1] is EVERY and verb == "default":
        raise ValueError("default needs the name of a member")
    return JSONRule(verb, path, value=_parse_value(rest))


def _parse_path(text: str) -> tuple[tuple[Segment, ...], int]:
    segments: list[Segment] = []
    at = 0
    while at < len(text) and not text[at].isspace():
        dotted = bool(segments) and text[at] == "."
        match = _SEGMENT.match(text, at + dotted)
        is_index = match is not None and match["index"] is not None
        if match is None or (is_index if dotted else segments and not is_index):
            raise ValueError(f'"{text[:100]}" has no valid path: character {at + 1}')
        segments.append(_segment(match))
        at = match.end()
    if not segments:
        raise ValueError(f"there is no path: {_EXPECTED}")
    if len(segments) > MOST_SEGMENTS:
        raise ValueError(f"a path has at most {MOST_SEGMENTS} segments")
    return tuple(segments), at


def _segment(match: re.Match[str]) -> Segment:
    if match["all"] or match["index"] == "*":
        return EVERY
    if match["index"]:
        return int(match["index"])
    return _parse_name(match["quoted"] or match["name"])


def _parse_name(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        name = json.loads(text)
    except ValueError:
        raise ValueError(f"{text[:100]} is not a name in quotes") from None
    assert isinstance(name, str)  # it begins with a quote
    return name


def _parse_value(text: str) -> object:
    if text.startswith(("$", ":")):
        return Template(text)
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        raise ValueError(
            f"{text[:100]} is neither JSON nor a variable; a string needs quotes"
        ) from None


def _refuse(text: str) -> object:
    raise ValueError(text)


def expander(request: Request, ctx: RequestContext) -> Expand:
    """Return the function that expands variables for a request."""
    return lambda value: value.expand(request, ctx)
