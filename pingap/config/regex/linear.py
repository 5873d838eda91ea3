"""Which expressions Python's ``re`` matches in linear time.

``re`` backtracks: some expressions take exponential time for text that a client chooses. It is used only
for expressions where a simple argument excludes this:

- each unbounded repetition repeats single characters, and is at the top level of an expression that
  begins with ``^``;
- the part after it begins with a character that it cannot match, so that backtracking into it fails
  at once. The last repetition needs no such end: the work after it is bounded for each character;
- everything else (alternatives, optional parts) can match in a few ways only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from pingap.config.regex.sets import POSIX
from pingap.config.regex.syntax import (
    Alternation,
    Assertion,
    Class,
    Concatenation,
    Dot,
    Flags,
    Group,
    Item,
    Named,
    Node,
    Repeat,
)

MOST_WAYS: Final = 64
"""The number of ways in which all bounded parts together may match."""

Signs: TypeAlias = "frozenset[int]"
"""ASCII characters, and ``OTHER`` for all that are not ASCII."""

OTHER: Final = 128
_ALL: Final[Signs] = frozenset(range(129))


def is_linear(tree: Node, *, ignores_case: bool = False, multi_line: bool = False) -> bool:
    """Return whether a search with ``re`` takes linear time at most."""
    parts = list(_flat(tree))
    endless = [place for place, part in enumerate(parts) if _is_endless(part)]
    ways = 1
    for part in parts:
        ways *= 1 if _is_endless(part) else _ways(part)
        if ways > MOST_WAYS:
            return False
    if not endless:
        return True
    if multi_line or not isinstance(parts[0], Assertion) or parts[0].text not in ("^", r"\A"):
        return False
    return all(_ends_clearly(parts, place, ignores_case=ignores_case) for place in endless[:-1])


def _flat(node: Node) -> Iterator[Node]:
    """Yield the parts of the top level, including those in groups without repetition or alternatives."""
    if isinstance(node, Concatenation):
        for below in node.nodes:
            yield from _flat(below)
    elif isinstance(node, Group) and not isinstance(node.node, Alternation):
        yield from _flat(node.node)
    else:
        yield node


def _is_endless(part: Node) -> bool:
    return isinstance(part, Repeat) and part.most is None and _is_single(part.node)


def _is_single(node: Node) -> bool:
    return isinstance(node, Class | Named | Dot)


def _ways(node: Node) -> int:
    """Return in how many ways a bounded part can match at one position; too many if it is unbounded."""
    if isinstance(node, Concatenation):
        return _product(map(_ways, node.nodes))
    if isinstance(node, Alternation):
        return sum(map(_ways, node.nodes))
    if isinstance(node, Group):
        return _ways(node.node)
    if isinstance(node, Repeat):
        if node.most is None:
            return MOST_WAYS + 1
        inner = _ways(node.node)
        if inner == 1:
            return node.most - node.least + 1
        return _product([inner] * node.most) * (node.most - node.least + 1)
    return 1


def _product(numbers: Iterable[int]) -> int:
    product = 1
    for number in numbers:
        product = min(product * number, MOST_WAYS + 1)
    return product


def _ends_clearly(parts: list[Node], place: int, *, ignores_case: bool) -> bool:
    repeat, following = parts[place], parts[place + 1]
    assert isinstance(repeat, Repeat)
    if isinstance(following, Repeat) and following.least:
        following = following.node
    if not _is_single(following):
        return False
    signs, after = _signs(repeat.node), _signs(following)
    if ignores_case:
        signs |= frozenset(ord(chr(sign).swapcase()) for sign in signs if chr(sign).isalpha())
        after |= {OTHER} if OTHER in signs else set()
    return not signs & after


def _signs(node: Node) -> Signs:
    """Return a superset of the characters that a part can match."""
    if isinstance(node, Class):
        signs = frozenset().union(*map(_item_signs, node.items))
        # Both a set and its negation may contain non-ASCII characters.
        return _ALL - (signs - {OTHER}) if node.negated else signs
    return _item_signs(node) if isinstance(node, Named) else _ALL


def _item_signs(item: Item) -> Signs:
    if isinstance(item, tuple):
        first, last = item
        ascii_part = frozenset(range(first, min(last, 127) + 1))
        return ascii_part | {OTHER} if last > 127 else ascii_part
    if isinstance(item, Named) and item.kind != "unicode":
        return _named_signs(item)
    return _ALL


def _named_signs(named: Named) -> Signs:
    if named.kind == "posix":
        signs = frozenset(
            code for code in range(128) if re.match(f"[{POSIX[named.name]}]", chr(code))
        )
        return _ALL - signs if named.negated else signs
    test = {"d": str.isdigit, "w": lambda one: one.isalnum() or one == "_", "s": str.isspace}
    signs = frozenset(code for code in range(128) if test[named.name](chr(code)))
    return (_ALL - signs if named.negated else signs) | {OTHER}


def leading_flags(tree: Node) -> tuple[str, Node]:
    """Return the flags that an expression begins with, and the rest of it."""
    if isinstance(tree, Flags):
        return tree.text, Concatenation()
    if isinstance(tree, Concatenation) and tree.nodes and isinstance(tree.nodes[0], Flags):
        return tree.nodes[0].text, Concatenation(tree.nodes[1:])
    return "", tree
