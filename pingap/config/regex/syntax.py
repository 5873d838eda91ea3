"""The syntax tree of a regular expression in the syntax of the Rust crate ``regex``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]
"""First and last code point."""


@dataclass(frozen=True, slots=True)
class Named:
    r"""A named class: ``\d``, ``\pL``, ``\p{Greek}``, ``[:alpha:]``.

    :param kind: ``perl``, ``unicode`` or ``posix``.
    :param name: a letter in lower case for ``perl``.
    """

    kind: str
    name: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Class:
    """A set of characters: the union of its items.

    :param ignores_case: it stands where ``(?i)`` holds.
    """

    items: tuple[Item, ...]
    negated: bool = False
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """``&&`` (both), ``--`` (the first but not the second) or ``~~`` (exactly one) of two sets."""

    operator: str
    left: Class
    right: Class


Item: TypeAlias = Range | Named | Class | Operation


@dataclass(frozen=True, slots=True)
class Dot:
    """Any character; without ``(?s)``, any character except a newline."""


@dataclass(frozen=True, slots=True)
class Flags:
    """``(?i)``: flags for the rest of the group."""

    text: str


@dataclass(frozen=True, slots=True)
class Assertion:
    r"""A match of the empty string at a position: ``^``, ``$``, ``\A``, ``\z``, ``\b``, ``\B``, ``\<``, ``\>``."""

    text: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repetition.

    :param most: the upper bound; None for no bound.
    """

    node: Node
    least: int
    most: int | None
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A group.

    :param name: empty for an unnamed group; None for a group that does not capture.
    :param flags: the flags in ``(?i:...)``.
    """

    node: Node
    name: str | None = None
    flags: str = ""


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Parts that match one after the other."""

    nodes: tuple[Node, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Alternation:
    """Alternatives, of which one matches."""

    nodes: tuple[Node, ...]


Node: TypeAlias = (
    Class | Named | Dot | Flags | Assertion | Repeat | Group | Concatenation | Alternation
)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it; items of classes are not nodes."""
    yield node
    if isinstance(node, Concatenation | Alternation):
        for below in node.nodes:
            yield from walk(below)
    elif isinstance(node, Repeat | Group):
        yield from walk(node.node)
